import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.errors import InputError
from msnvis.store import DetectionStore, Journal, RunStore
from msnvis.store.tables import MaskTable
from msnvis.structures import Detections


def a_store() -> DetectionStore:
    return DetectionStore(MaskTable(Journal.temporary(), kind=1), kind=2)


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
    store = a_store()
    store[3] = before
    after = store[3]
    assert after.size == before.size == store.size and after.rles == before.rles
    np.testing.assert_array_equal(after.scores, before.scores)
    np.testing.assert_allclose(after.class_scores, before.class_scores, atol=5e-4)
    assert after.class_scores.shape == before.class_scores.shape
    assert (after.ids is None) == (before.ids is None)
    if with_ids:
        np.testing.assert_array_equal(after.ids, before.ids)
        objects = store.objects(3)
        assert [(o.id, o.score) for o in objects] == list(
            zip(before.ids.tolist(), before.scores.tolist(), strict=True)
        )
        read = [store.masks.journal.read(*o.place) for o in objects]
        assert read == [rle["counts"] for rle in before.rles]


def test_frames_are_known_by_their_indices():
    store = a_store()
    assert store.size is None
    for index in (4, 2):
        store[index] = Detections.empty((2, 3), 1)
    assert list(store) == [2, 4] and len(store) == 2
    assert [index in store for index in range(6)] == [False, False, True, False, True, False]
    for index in (3, 7, -2):
        with pytest.raises(KeyError):
            store[index]


def test_masks_are_kept_once():
    found = Detections.from_masks(np.eye(6, dtype=bool)[None].repeat(3, axis=0), np.ones(3), np.ones((3, 40)))
    found.rles[1] = {"size": [6, 6], "counts": b"1234"}
    store = RunStore()
    store.found[0] = found
    tracked = found[[2, 0]]
    tracked.ids = np.array([1, 2])
    store.tracked["forward"][0] = tracked
    assert {o.place for o in store.tracked["forward"].objects(0)} == {
        store.found.masks.put(0, [found.rles[0]["counts"]])[0]
    }
    store.found[1] = found  # another frame
    store.found[0]
    store.tracked["backward"][0] = tracked
    (place,) = {o.place for o in store.tracked["backward"].objects(0)}
    assert place == store.tracked["forward"].objects(0)[0].place


def test_changing_what_was_put_in_or_taken_out_changes_nothing():
    found = Detections.from_masks(np.ones((1, 2, 2), bool), [0.5], [[0.25, 1.0]])
    store = a_store()
    store[0] = found
    found.class_scores[:] = 0
    store[0].class_scores[:] = 0
    assert store[0].class_scores.tolist() == [[0.25, 1.0]]


@pytest.mark.parametrize("payload", [b"", b"\xff" * 17, b"\xff" * 40])
def test_nonsense_with_a_right_checksum_is_refused(payload):
    store = a_store()
    store.payloads[0] = payload
    with pytest.raises(InputError, match="damaged"):
        store[0]


def test_a_place_outside_of_the_journal_is_refused_without_reading():
    store = a_store()
    for place in ((10**15, 5), (-1, 5), (0, 2**62), (5, -1)):
        with pytest.raises(InputError, match="damaged"):
            store.masks.get(0, [place])


def test_a_frame_that_cannot_be_takes_no_memory():
    journal = Journal.temporary()
    journal.append(2, 2**60, b"")
    with pytest.raises(InputError, match="damaged"):
        RunStore(journal)
