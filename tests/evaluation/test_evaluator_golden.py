"""The same numbers as the official code, whose answers `make_golden.py` has written down."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from msnvis.evaluation import evaluate

GOLDEN = Path(__file__).parent / "golden"
CASES = json.loads(gzip.decompress((GOLDEN / "ytvis.json.gz").read_bytes()))


@pytest.fixture(scope="module")
def arrays():
    return np.load(GOLDEN / "ytvis.npz")


@pytest.mark.parametrize("name", CASES)
def test_all_numbers_are_the_official_ones(name, arrays):
    case = CASES[name]
    report = evaluate(case["results"], case["truth"], class_agnostic=case["class_agnostic"])
    np.testing.assert_allclose(list(report.statistics.values()), case["official"], rtol=0, atol=1e-12)
    for key in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(getattr(report, key), arrays[f"{name}/{key}"])


def test_the_cases_reach_every_statistic():
    official = np.array([case["official"] for case in CASES.values()])
    assert ((official > 0) & (official < 1)).any(axis=0).all()
    assert (official == -1).any(axis=0).all()
    assert len(CASES) >= 26


def test_the_order_of_videos_in_a_file_changes_nothing_but_ties(tmp_path):
    """Results of a video may be scattered over the file; each part is compared on its own."""
    case = CASES["random 0"]
    by_score = sorted(case["results"], key=lambda entry: entry["score"])
    assert len({entry["video_id"] for entry in by_score[:5]}) > 1
    file = tmp_path / "results.json"
    file.write_text(json.dumps(by_score))
    report = evaluate(file, case["truth"])
    np.testing.assert_allclose(list(report.statistics.values()), case["official"], rtol=0, atol=1e-12)
