"""One process for all hostile input: it takes seconds to start."""

import pytest
from fuzz_guard import Guard


@pytest.fixture(scope="session")
def guard():
    with Guard() as guard:
        yield guard
