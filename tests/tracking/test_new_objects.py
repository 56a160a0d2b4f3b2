import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis import masks as mask_ops
from msnvis.structures import UNNAMED
from msnvis.tracking.new_objects import find_duplicates, find_new_objects

CAR, PERSON = 0, 1


def boxes(*corners: tuple[int, int, int, int]) -> list[mask_ops.RLE]:
    """Masks of rectangles ``x1 y1 x2 y2`` in a frame of 20 x 20."""
    masks = np.zeros((len(corners), 20, 20), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, corners, strict=True):
        mask[y1:y2, x1:x2] = True
    return mask_ops.encode(masks)


def test_only_an_object_of_the_same_class_is_in_the_way():
    tracked = boxes((0, 0, 10, 10))
    candidate = boxes((5, 0, 15, 10))  # half of it is covered
    assert find_new_objects(candidate, [CAR], tracked, [CAR], room=9) == []
    assert find_new_objects(candidate, [PERSON], tracked, [CAR], room=9) == [0]


def test_an_unnamed_object_may_be_of_any_class():
    tracked, candidate = boxes((0, 0, 10, 10)), boxes((5, 0, 15, 10))
    assert find_new_objects(candidate, [UNNAMED], tracked, [CAR], room=9) == []
    assert find_new_objects(candidate, [CAR], tracked, [UNNAMED], room=9) == []


def test_tolerance_is_the_share_of_the_candidate_that_is_covered():
    tracked = boxes((0, 0, 10, 10))
    tenth, fifth = boxes((9, 0, 19, 10)), boxes((8, 0, 18, 10))
    assert find_new_objects(tenth, [CAR], tracked, [CAR], room=9) == [0]
    assert find_new_objects(fifth, [CAR], tracked, [CAR], room=9) == []
    assert find_new_objects(fifth, [CAR], tracked, [CAR], room=9, overlap_tolerance=0.2) == [0]
    assert find_new_objects(tenth, [CAR], tracked, [CAR], room=9, overlap_tolerance=0.0) == []


def test_the_same_pixels_are_one_object_whatever_the_classes():
    tracked, candidate = boxes((0, 0, 10, 10)), boxes((0, 0, 10, 9))  # IoU 0.9
    assert find_new_objects(candidate, [PERSON], tracked, [CAR], room=9) == []
    assert find_new_objects(candidate, [PERSON], tracked, [CAR], room=9, duplicate_iou=0.95) == [0]


def test_a_chosen_candidate_stands_in_the_way_of_the_next():
    candidates = boxes((0, 0, 10, 10), (5, 0, 15, 10), (12, 12, 18, 18))
    assert find_new_objects(candidates, [CAR, CAR, CAR], [], [], room=9) == [0, 2]


def test_no_more_than_there_is_room_for():
    candidates = boxes((0, 0, 4, 4), (5, 5, 9, 9), (10, 10, 14, 14))
    assert find_new_objects(candidates, [CAR] * 3, [], [], room=2) == [0, 1]
    assert find_new_objects(candidates, [CAR] * 3, [], [], room=0) == []


def test_the_later_of_two_duplicates_goes():
    masks = boxes((0, 0, 10, 10), (12, 12, 18, 18), (0, 0, 10, 9), (12, 12, 18, 18))
    assert find_duplicates(masks) == [2, 3]


def test_what_repeats_only_a_removed_mask_stays():
    # IoU of neighbours 8/10, of the first and the last 6/10.
    assert find_duplicates(boxes((0, 0, 8, 1), (0, 0, 10, 1), (2, 0, 10, 1))) == [1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(1, 9)] * 2), max_size=6))
def test_what_is_left_are_no_duplicates_and_what_went_was_one(rectangles):
    masks = boxes(*((x, y, x + w, y + h) for x, y, w, h in rectangles))
    removed = find_duplicates(masks, 0.5)
    kept = [i for i in range(len(masks)) if i not in removed]
    iou = mask_ops.iou_matrix(masks, masks)
    assert all(iou[a, b] <= 0.5 for a in kept for b in kept if a < b)
    assert all((iou[:i, i] > 0.5).any() for i in removed)
