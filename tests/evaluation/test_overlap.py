"""The overlap of whole tracks against counting pixels."""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis import masks as mask_ops
from msnvis.evaluation import evaluate, overlap
from msnvis.evaluation.overlap import compare
from msnvis.evaluation.runs import read_runs


@st.composite
def two_sets(draw):
    """``(D, T, H, W)`` and ``(G, T, H, W)`` bool: specks, and solid shapes that are like each other."""
    length, height, width = draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    first = draw(hnp.arrays(bool, (draw(st.integers(1, 3)), length, height, width)))
    second = draw(hnp.arrays(bool, (draw(st.integers(0, 3)), length, height, width)))
    common = draw(hnp.arrays(bool, (length, height, width)))
    solid = draw(st.booleans())
    return (first | common, second | common) if solid else (first, second)


def encoded(tracks):
    """Masks without pixels are None in the first track and empty masks in the others."""
    return [
        [
            rle if mask.any() or number else None
            for mask, rle in zip(masks, mask_ops.encode(masks), strict=True)
        ]
        for number, masks in enumerate(tracks)
    ]


@given(two_sets(), st.sampled_from([1, 5, 1000]))
@settings(max_examples=200, deadline=None)
def test_iou_is_that_of_the_pixels(sets, at_once):
    """Exact from 0.5 on, and nothing else is taken for as much; in blocks of frames and in one go."""
    first, second = sets
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_MASKS_AT_ONCE", at_once)
        allowed = np.ones((len(first), len(second)), bool)
        iou, areas = compare(encoded(first), encoded(second), first.shape[2:], allowed)
    np.testing.assert_array_equal(areas, first.sum(axis=(2, 3)))
    shared = (first[:, None] & second).sum(axis=(2, 3, 4))
    union = (first[:, None] | second).sum(axis=(2, 3, 4))
    expected = shared / np.maximum(union, 1)
    np.testing.assert_array_equal(iou[expected >= 0.5], expected[expected >= 0.5])
    assert np.isin(iou[expected < 0.5], [0, *expected[expected < 0.5]]).all()


@given(two_sets(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_pairs_left_out_change_no_statistic(sets, class_agnostic):
    """In blocks of single frames no pair is left out for its boxes and areas."""
    first, second = (
        [[mask_ops.to_json(m) for m in mask_ops.encode(track)] for track in part] for part in sets
    )
    _, length, height, width = sets[0].shape
    truth = {
        "videos": [{"id": 1, "width": width, "height": height, "length": length}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": i + 1, "video_id": 1, "category_id": i % 2 + 1, "segmentations": masks}
            for i, masks in enumerate(second)
        ],
    }
    results = [
        {"video_id": 1, "category_id": i % 2 + 1, "score": i / 3, "segmentations": masks}
        for i, masks in enumerate(first)
    ]
    some = evaluate(results, truth, class_agnostic=class_agnostic)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_MASKS_AT_ONCE", 1)
        every = evaluate(results, truth, class_agnostic=class_agnostic)
    assert some.to_dict() == every.to_dict()
    np.testing.assert_array_equal(some.precision, every.precision)
    np.testing.assert_array_equal(some.recall, every.recall)


def test_pairs_that_are_not_allowed_are_not_compared():
    square = mask_ops.encode(np.ones((1, 4, 4), bool))[0]
    iou, _ = compare([[square]] * 2, [[square]], (4, 4), np.array([[True], [False]]))
    assert iou.tolist() == [[1], [0]]


def test_broken_masks_are_refused():
    with pytest.raises(ValueError, match="cover"):
        read_runs([[{"size": [4, 4], "counts": b"04"}]], (4, 4), 1)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6)))
@settings(max_examples=100, deadline=None)
def test_runs_cover_the_masks(masks):
    num_frames, height, width = masks.shape
    runs = read_runs(encoded([masks, ~masks]), (height, width), num_frames)
    for number, track in enumerate([masks, ~masks]):
        painted = np.zeros(num_frames * width * height, int)
        for start, stop in zip(*runs.edges[number], strict=True):
            painted[start:stop] += 1
        expected = track.transpose(0, 2, 1).ravel().astype(int)
        np.testing.assert_array_equal(painted, expected)
        np.testing.assert_array_equal(runs.areas[number], track.sum(axis=(1, 2)))
        for frame in np.flatnonzero(track.any(axis=(1, 2))):
            rows, columns = np.flatnonzero(track[frame].any(axis=1)), np.flatnonzero(track[frame].any(axis=0))
            box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            found = runs.boxes[:, number, frame]
            assert (found[:2] <= box[:2]).all() and (found[2:] >= box[2:]).all()
            # Where no run goes on in the next column, the box is tight.
            assert (track[frame, 0].any() and track[frame, -1].any()) or found.tolist() == box.tolist()
