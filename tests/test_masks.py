"""Masks against pycocotools and plain NumPy."""

from __future__ import annotations

import json
import tracemalloc

import cv2
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from msnvis import masks as mask_ops

quick = settings(max_examples=60, deadline=None)


@st.composite
def mask_stacks(draw, most=5):
    """(N, H, W) bool: noise, blocks, full and empty: runs cross columns and touch every border."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    stack = []
    for _ in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from(["noise", "block", "full", "empty"]))
        if kind == "noise":
            mask = draw(hnp.arrays(bool, (height, width)))
        else:
            mask = np.full((height, width), kind == "full")
        if kind == "block":
            x1, x2 = sorted(draw(st.tuples(st.integers(0, width), st.integers(0, width))))
            y1, y2 = sorted(draw(st.tuples(st.integers(0, height), st.integers(0, height))))
            mask[y1:y2, x1:x2] = True
        stack.append(mask)
    return np.array(stack, dtype=bool).reshape(-1, height, width)


def reference(masks):
    return [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]


@given(mask_stacks())
@quick
def test_encode_gives_the_bytes_of_pycocotools(masks):
    assert mask_ops.encode(masks) == reference(masks)


@given(mask_stacks())
@quick
def test_encode_takes_any_nonzero_value_and_memory_order(masks):
    assert mask_ops.encode(np.asfortranarray(masks) * np.uint8(200)) == reference(masks)
    assert mask_ops.encode(masks[:, ::-1, ::-1]) == reference(masks[:, ::-1, ::-1])


@given(mask_stacks())
@quick
def test_decode_inverts_encode(masks):
    decoded = mask_ops.decode(reference(masks), masks.shape[1:])
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, masks)


def test_large_runs_survive():
    mask = np.zeros((1, 1500, 1400), bool)
    mask[0, 700:, 3:] = True
    assert mask_ops.encode(mask) == reference(mask)
    np.testing.assert_array_equal(mask_ops.decode(reference(mask), (1500, 1400)), mask)


@given(mask_stacks())
@quick
def test_crops_are_the_tight_boxes(masks):
    for mask, (crop, left, top) in zip(masks, mask_ops.decode_crops(reference(masks)), strict=True):
        rows, columns = np.nonzero(mask)
        if not len(rows):
            assert crop.size == 0
            continue
        assert (left, top) == (columns.min(), rows.min())
        np.testing.assert_array_equal(crop, mask[top : rows.max() + 1, left : columns.max() + 1])


@given(mask_stacks(most=1), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
@quick
def test_encode_crop_equals_encoding_the_frame(masks, left, top, right, bottom):
    for mask in masks:
        frame = np.pad(mask, ((top, bottom), (left, right)))
        assert [mask_ops.encode_crop(mask, left, top, frame.shape)] == reference([frame])


def test_encode_crop_refuses_a_crop_beyond_the_frame():
    with pytest.raises(ValueError, match="not inside a frame of 4x3"):
        mask_ops.encode_crop(np.ones((2, 2), bool), left=3, top=0, size=(3, 4))


@given(mask_stacks())
@quick
def test_areas_and_boxes_by_counting(masks):
    rles = reference(masks)
    assert mask_ops.areas(rles).tolist() == masks.sum(axis=(1, 2)).tolist()
    for mask, box in zip(masks, mask_ops.boxes(rles), strict=True):
        rows, columns = np.nonzero(mask)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0] * 4
        assert box.tolist() == expected


@given(mask_stacks(), mask_stacks())
@quick
def test_overlaps_by_counting(first, second):
    if first.shape[1:] != second.shape[1:]:
        second = first[::-1, ::-1]
    rles = reference(first), reference(second)
    intersection = np.array([[(a & b).sum() for b in second] for a in first]).reshape(len(first), len(second))
    union = np.array([[(a | b).sum() for b in second] for a in first]).reshape(len(first), len(second))
    assert mask_ops.intersections(*rles).tolist() == intersection.tolist()
    np.testing.assert_allclose(mask_ops.iou_matrix(*rles), intersection / np.maximum(union, 1))


def test_masks_of_different_frames_have_no_overlap():
    small, large = reference(np.ones((1, 2, 2), bool)), reference(np.ones((1, 3, 3), bool))
    with pytest.raises(ValueError, match="different size"):
        mask_ops.iou_matrix(small, large)
    with pytest.raises(ValueError, match="in a frame of size"):
        mask_ops.decode(small, (3, 3))


@given(mask_stacks(), st.permutations([1, 7, 255, 256, 70_000]))
@quick
def test_label_map_paints_in_order(masks, ids):
    ids = ids[: len(masks)]
    expected = np.zeros(masks.shape[1:], np.int64)
    for mask, number in zip(masks, ids, strict=True):
        expected[mask] = number
    labels = mask_ops.label_map(reference(masks), ids, masks.shape[1:])
    assert labels.dtype == (
        np.uint8 if max(ids, default=0) < 256 else np.uint16 if max(ids) < 65536 else np.int32
    )
    np.testing.assert_array_equal(labels, expected)
    by_id = mask_ops.from_label_map(labels)
    assert by_id == dict(zip(by_id, reference([expected == i for i in by_id]), strict=True))
    assert set(by_id) == set(expected[expected > 0].tolist())


def test_label_map_keeps_zero_for_the_background():
    with pytest.raises(ValueError, match="background"):
        mask_ops.label_map(reference(np.ones((1, 2, 2), bool)), [0], (2, 2))


@given(mask_stacks(), st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=5, max_size=5))
@quick
def test_without_overlaps_gives_each_pixel_to_the_best(masks, scores):
    scores = np.array(scores[: len(masks)])
    expected = np.zeros_like(masks)
    for y, x in np.ndindex(masks.shape[1:]):
        claims = np.flatnonzero(masks[:, y, x])
        if len(claims):
            expected[claims[np.argmax(scores[claims])], y, x] = True
    disjoint = mask_ops.without_overlaps(reference(masks), scores)
    np.testing.assert_array_equal(mask_ops.decode(disjoint, masks.shape[1:]), expected)


@given(mask_stacks(), st.sampled_from([2, 4]))
@quick
def test_resize_equals_resizing_the_whole_frame(masks, factor):
    size = (masks.shape[1] * factor, masks.shape[2] * factor)
    resized = mask_ops.decode(mask_ops.resize(reference(masks), size), size)
    for mask, result in zip(masks, resized, strict=True):
        whole = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
        certain = abs(whole - 0.5) > 0.01  # an exact half may round either way
        np.testing.assert_array_equal(result[certain], whole[certain] > 0.5)


def test_resize_by_odd_factors_keeps_shape_and_place():
    disc = np.zeros((1, 270, 480), np.uint8)
    cv2.circle(disc[0], (470, 100), 60, 1, -1)  # cut by the right border
    there = mask_ops.resize(mask_ops.encode(disc), (720, 1281))
    truth = np.zeros((1, 720, 1281), np.uint8)
    cv2.circle(
        truth[0], (round(470.5 * 1281 / 480), round(100.5 * 720 / 270)), round(60.5 * 720 / 270), 1, -1
    )
    assert mask_ops.iou_matrix(there, mask_ops.encode(truth))[0, 0] > 0.97
    assert mask_ops.boxes(there)[0, 2] == 1281
    back = mask_ops.resize(there, (270, 480))
    assert mask_ops.iou_matrix(back, mask_ops.encode(disc))[0, 0] > 0.99


def test_resize_to_the_same_size_changes_nothing():
    rles = reference(np.eye(5, dtype=bool)[None])
    assert mask_ops.resize(rles, (5, 5)) == rles


@given(mask_stacks())
@quick
def test_json_forms_all_mean_the_same(masks):
    size = masks.shape[1:]
    for mask, rle in zip(masks, reference(masks), strict=True):
        text = json.loads(json.dumps(mask_ops.to_json(rle)))
        flat = mask.ravel(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff(edges, prepend=0, append=flat.size).tolist()
        counts = [0, *counts] if flat[0] else counts
        padded = [*counts, 0, 0]  # legal, but not what an encoder writes
        assert mask_ops.from_json(text, size) == rle
        assert mask_ops.from_json({"size": list(size), "counts": counts}, size) == rle
        assert mask_ops.from_json({"size": list(size), "counts": padded}, size) == rle


def test_polygons_are_filled():
    square = [[1, 1, 5, 1, 5, 4, 1, 4]]
    [mask] = mask_ops.decode([mask_ops.from_json(square, (6, 8))], (6, 8))
    expected = np.zeros((6, 8), bool)
    expected[1:4, 1:5] = True
    np.testing.assert_array_equal(mask, expected)
    assert mask_ops.areas([mask_ops.from_json([], (6, 8))]).tolist() == [0]


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ({"size": [4, 4], "counts": "0"}, "cover 0 pixels of a frame of 16"),
        ({"size": [4, 4], "counts": [8]}, "cover 8 pixels of a frame of 16"),
        ({"size": [4, 4], "counts": [20, -4]}, "negative"),
        ({"size": [4, 4], "counts": [2**70]}, "longer than any frame"),
        ({"size": [4, 4], "counts": [2**62, 2**62, 2**62, 2**62, 16]}, "pixels of a frame of 16"),
        ({"size": [4, 4], "counts": [16.0]}, "whole numbers"),
        ({"size": [4, 4], "counts": None}, "whole numbers"),
        ({"size": [4, 4], "counts": ""}, "no runs"),
        ({"size": [4, 4], "counts": "P"}, "cut off"),
        ({"size": [4, 4], "counts": "ooooooooooooo1"}, "longer than any frame"),
        ({"size": [4, 4], "counts": "0~"}, "unexpected character"),
        ({"size": [4, 4], "counts": "é"}, "cover 15 pixels|unexpected character"),
        ({"size": [5, 4], "counts": "d0"}, r"size \[5, 4\] in a frame of size \[4, 4\]"),
        ({"size": None, "counts": "`0"}, "in a frame of size"),
        ({"counts": "`0"}, "'size' and 'counts'"),
        ("`0", "'size' and 'counts'"),
        ([[0, 0, 1]], "three points"),
        ([["a", "b", "c", "d", "e", "f"]], "corner that is no number"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "leaves the frame"),
        ([[0, 0, float("nan"), 0, 1, 1]], "leaves the frame"),
    ],
)
def test_foreign_masks_are_refused_with_the_reason(segmentation, reason):
    with pytest.raises(ValueError, match=reason):
        mask_ops.from_json(segmentation, (4, 4))


@given(mask_stacks())
@settings(max_examples=100, deadline=None)
def test_strict_areas_count_the_pixels(masks):
    areas = mask_ops.strict_areas(reference(masks), masks.shape[1:])
    np.testing.assert_array_equal(areas, masks.sum(axis=(1, 2)))


@given(
    st.text(st.characters(min_codepoint=46, max_codepoint=113), max_size=6), st.sampled_from([(2, 2), (4, 5)])
)
@example("T0", (2, 2))
@example("1110", (1, 3))
@example("0100", (1, 1))
@example("é", (4, 4))
@settings(max_examples=500, deadline=None)
def test_strict_areas_take_no_mask_that_validate_refuses(text, size):
    [full] = mask_ops.encode(np.ones((1, *size)))
    rle = {"size": list(size), "counts": text.encode()}
    try:
        areas = mask_ops.strict_areas([full, rle, full], size)
    except ValueError:
        return
    checked = mask_ops.validate(rle, size)
    assert areas.tolist() == [size[0] * size[1], mask_ops.areas([checked])[0], size[0] * size[1]]
    assert mask_ops.areas([rle])[0] == areas[1]  # as pycocotools sees it, unmended


@given(st.lists(st.integers(-1, 9) | st.sampled_from([1.0, None, 2**31, 2**32]), max_size=8))
@example([0, 12])
@example([3, 0, 0, 9])
@settings(max_examples=300, deadline=None)
def test_compressed_runs_are_taken_only_where_they_are_a_mask(counts):
    size = (3, 4)
    try:
        rle = mask_ops.compress_runs(counts, size)
        areas = mask_ops.strict_areas([rle], size)
    except (TypeError, ValueError):
        return
    assert rle == mask_ops.from_json({"size": [3, 4], "counts": counts}, size)
    assert areas == sum(counts[1::2])


@pytest.mark.parametrize(
    ("counts", "size"), [([2**31], (3, 4)), ([2**32 - 1, 0, 2**32 - 1], (2**20, 2**20)), ([13], (3, 4))]
)
def test_runs_longer_than_the_frame_never_reach_pycocotools(counts, size):
    """It would write behind the end of its memory."""
    with pytest.raises(ValueError, match="longer than the frame"):
        mask_ops.compress_runs(counts, size)


@given(mask_stacks())
@quick
def test_runs_are_compressed_to_what_encode_gives(masks):
    size = masks.shape[1:]
    for mask, rle in zip(masks, reference(masks), strict=True):
        flat = mask.ravel(order="F")
        edges = np.flatnonzero(np.diff(flat, prepend=False))
        counts = np.diff(edges, prepend=0, append=flat.size).tolist()
        assert mask_ops.compress_runs(counts, size) == rle


@given(st.binary(max_size=40), st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=200, deadline=None)
def test_no_bytes_break_validate(counts, height, width):
    try:
        rle = mask_ops.validate({"size": [height, width], "counts": counts}, (height, width))
    except ValueError:
        return
    decoded = coco_mask.decode(rle)
    assert reference([decoded]) == [rle]
    np.testing.assert_array_equal(mask_ops.decode([rle], (height, width))[0], decoded)


def test_a_short_rle_of_a_vast_frame_allocates_nothing():
    side = 100_000
    runs = coco_mask.frPyObjects({"size": [side, side], "counts": [5]}, side, side)["counts"]
    tracemalloc.start()
    with pytest.raises(ValueError, match="allowed"):
        mask_ops.validate({"size": [side, side], "counts": runs}, (side, side))
    with pytest.raises(ValueError, match="in a frame of size"):
        mask_ops.validate({"size": [side, side], "counts": runs}, (4, 4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("count", [255, 256, 600])
def test_areas_of_more_masks_than_a_byte_counts(count):
    """pycocotools counts the masks of one call in a byte under NumPy 2; a long track has more."""
    one = np.zeros((1, 6, 8), bool)
    one[0, 1:3, 2:7] = True
    rles = mask_ops.encode(one) * count
    assert mask_ops.areas(rles).tolist() == [10] * count
    assert mask_ops.intersections(rles, rles[:1]).tolist() == [[10]] * count
