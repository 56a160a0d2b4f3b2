import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.merging.store import DetectionStore
from msnvis.structures import Detections


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.integers(1, 4), st.integers(1, 40), st.booleans(), st.integers(0, 2**32 - 1))
def test_what_goes_in_comes_out(count, num_classes, side, with_ids, seed):
    rng = np.random.default_rng(seed)
    before = Detections.empty((side, side + 1), num_classes)
    if count:
        masks = rng.random((count, side, side + 1)) > 0.6
        before = Detections.from_masks(masks, rng.random(count), rng.random((count, num_classes)))
    if with_ids:
        before.ids = rng.integers(0, 2**40, len(before))
    store = DetectionStore()
    store[3] = before
    after = store.pop(3)
    assert after.size == before.size and after.rles == before.rles
    np.testing.assert_array_equal(after.scores, before.scores)
    np.testing.assert_allclose(after.class_scores, before.class_scores, atol=5e-4)
    assert after.class_scores.shape == before.class_scores.shape
    assert (after.ids is None) == (before.ids is None)
    if with_ids:
        np.testing.assert_array_equal(after.ids, before.ids)


def test_frames_are_taken_out_once():
    store = DetectionStore()
    for index in (4, 2):
        store[index] = Detections.empty((2, 3), 1)
    assert sorted(store) == [2, 4] and len(store) == 2 and 2 in store
    store.pop(2)
    assert 2 not in store and len(store) == 1
    with pytest.raises(KeyError):
        store.pop(2)


def test_masks_are_in_memory_once():
    found = Detections.from_masks(np.eye(6, dtype=bool)[None].repeat(3, axis=0), np.ones(3), np.ones((3, 40)))
    first, second = DetectionStore(), DetectionStore()
    first[0] = found
    second[0] = first[0][[2, 0]]
    assert second[0].rles[0]["counts"] is first[0].rles[2]["counts"] is found.rles[2]["counts"]


def test_changing_what_was_put_in_or_taken_out_changes_nothing():
    found = Detections.from_masks(np.ones((1, 2, 2), bool), [0.5], [[0.25, 1.0]])
    store = DetectionStore()
    store[0] = found
    found.class_scores[:] = 0
    store[0].class_scores[:] = 0
    assert store[0].class_scores.tolist() == [[0.25, 1.0]]
