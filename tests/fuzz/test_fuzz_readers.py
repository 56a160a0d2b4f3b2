"""No input brings a reader down: all are read or refused in one sentence, in bounded time and memory.

The quick profile tries the same inputs each time. The long one (`-m slow`) tries others each time, of which
hypothesis shows the smallest that fails; `MSNVIS_FUZZ_TRIES` says how many for each reader.
"""

import os

import pytest
from fuzz_readers import READERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUICK = settings(max_examples=12, derandomize=True, database=None)
LONG = settings(max_examples=int(os.environ.get("MSNVIS_FUZZ_TRIES", "1000")))


@pytest.mark.parametrize("name", READERS)
def test_what_is_valid_is_read(guard, name):
    outcome = guard.attempt(name, READERS[name].make())
    if "pip install msnvis[" in outcome.text:
        pytest.skip(outcome.text)
    assert outcome.verdict == "read", outcome.text


def check_hostile(guard, name, profile):
    @settings(profile, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def attempt(random):
        outcome = guard.attempt(name, READERS[name].hostile(random))
        assert outcome.is_fine, f"{outcome.verdict}: {outcome.text}"

    attempt()


@pytest.mark.parametrize("name", READERS)
def test_no_mutated_file_brings_a_reader_down(guard, name):
    check_hostile(guard, name, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_no_mutated_file_of_many_brings_a_reader_down(guard, name):
    check_hostile(guard, name, LONG)
