"""Evaluation by several processes: the same numbers and the same complaints."""

from __future__ import annotations

import json
import os
import threading
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msnvis import masks as mask_ops
from msnvis.errors import InputError, MsnvisError, OptionError
from msnvis.evaluation import evaluate, evaluator
from msnvis.evaluation.workers import can_fork, spread

SIZE = (12, 16)
VIDEOS = 50

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes cannot be forked safely here")


def masks(rng, length=3):
    return [
        mask_ops.to_json(rle) for rle in mask_ops.encode(rng.random((length, *SIZE)) < rng.uniform(0.4, 1))
    ]


@pytest.fixture
def inputs():
    """50 videos with up to three objects and tracks in two classes, some of them without any."""
    rng = np.random.default_rng(0)
    videos = [{"id": i, "height": SIZE[0], "width": SIZE[1], "length": 3} for i in range(1, VIDEOS + 1)]
    entries = [
        {"video_id": video["id"], "category_id": int(rng.integers(1, 3)), "segmentations": masks(rng)}
        for video in videos
        for _ in range(rng.integers(0, 4))
    ]
    results = [
        {
            "video_id": int(number),
            "category_id": 1 + place % 2,
            "score": rng.random(),
            "segmentations": masks(rng),
        }
        for place, number in enumerate(np.sort(rng.integers(1, VIDEOS + 1, 120)))
    ]
    annotations = [{"id": i, **entry} for i, entry in enumerate(entries, start=1)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    return results, {"videos": videos, "categories": categories, "annotations": annotations}


@pytest.mark.parametrize("in_file", [1, 40, 10**6, None], ids=lambda at_a_time: f"portions-{at_a_time}")
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_the_number_of_workers_changes_nothing(inputs, in_file, class_agnostic, monkeypatch, tmp_path):
    results, truth = inputs
    one = evaluate(results, truth, class_agnostic=class_agnostic, bootstrap=5)
    if in_file:  # only what is read from a file meanwhile is worked on in portions
        monkeypatch.setattr(evaluator, "_MASKS_PER_PORTION", in_file * 6)
        results = tmp_path / "results.json"
        results.write_text(json.dumps(inputs[0]))
    two = evaluate(results, truth, class_agnostic=class_agnostic, bootstrap=5, workers=2)
    assert 0 < one.statistics["mAP"] < 1
    assert one.to_dict() == two.to_dict()
    np.testing.assert_array_equal(one.precision, two.precision)
    for first, second in zip(one.matches, two.matches, strict=True):
        np.testing.assert_array_equal(first.matches, second.matches)
        np.testing.assert_array_equal(first.tracks.iou, second.tracks.iou)


class _Masks(NamedTuple):
    num_masks: int


@given(st.lists(st.integers(1, 9)), st.integers(0, 20))
def test_a_portion_holds_as_much_as_it_may(sizes, most):
    portions = list(evaluator._portions(map(_Masks, sizes), most))
    assert [batch.num_masks for portion in portions for batch in portion] == sizes
    totals = [sum(batch.num_masks for batch in portion) for portion in portions]
    assert all(total <= most or len(portion) == 1 for total, portion in zip(totals, portions, strict=True))
    assert all(total + after[0].num_masks > most for total, after in zip(totals, portions[1:], strict=False))


@pytest.mark.parametrize("where", ["results", "annotations"])
def test_broken_masks_are_named_as_by_one_worker(inputs, where):
    results, truth = inputs
    entries = results if where == "results" else truth["annotations"]
    entries[7]["segmentations"][1] = {"size": list(SIZE), "counts": "04"}
    with pytest.raises(InputError, match="frame 1: the runs cover 4 pixels of a frame of 192") as one:
        evaluate(results, truth)
    with pytest.raises(InputError) as two:
        evaluate(results, truth, workers=2)
    assert str(one.value) == str(two.value)


def test_work_is_done_elsewhere_and_in_order():
    done = list(spread(lambda item: (item, os.getpid()), [[3, 1], [2]], workers=2))
    assert [(item, result[0]) for item, result in done] == [(3, 3), (1, 1), (2, 2)]
    assert os.getpid() not in {result[1] for _, result in done}


def test_a_lost_process_is_said():
    with pytest.raises(MsnvisError, match="a worker process was lost"):
        list(spread(os._exit, [[1]], workers=2))


def test_nothing_is_forked_beside_other_threads():
    before, release = can_fork(), threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        assert not can_fork()
    finally:
        release.set()
        thread.join()
    assert can_fork() == before


def test_no_workers_are_refused(inputs):
    with pytest.raises(OptionError, match="workers=0"):
        evaluate(*inputs, workers=0)
