"""Changed masks: their IoUs are counted here from pixels, apart from the code under test."""

import numpy as np
import pytest
import torch

from msnvis import masks as mask_ops
from msnvis.selection.augmentation import are_close, with_neighbour, with_resized_mask, with_strong_changes
from msnvis.selection.pair_store import Pair

SIZE = (64, 80)


def box(x, y, width, height):
    mask = np.zeros((1, *SIZE), bool)
    mask[0, y : y + height, x : x + width] = True
    return mask_ops.encode(mask)[0]


def pair_of(first, second, truth):
    ious = mask_ops.iou_matrix([first, second], [truth])[:, 0].astype(np.float32)
    return Pair(np.zeros((*SIZE, 3), np.uint8), first, second, truth, ious, np.zeros(2, np.float32))


@pytest.fixture
def pair():
    """The second mask is true, the first reaches too far to the right by 12 of 30 pixels."""
    truth = box(10, 20, 30, 24)
    return pair_of(box(10, 20, 42, 24), truth, truth)


def true_ious(pair):
    first, second, truth = mask_ops.decode([pair.first, pair.second, pair.truth], SIZE)
    return [(m & truth).sum() / (m | truth).sum() for m in (first, second)]


def test_a_mask_too_large_or_too_small_is_labelled_by_what_it_became(pair):
    sides = set()
    for seed in range(40):
        other = with_resized_mask(pair, np.random.default_rng(seed))
        assert other.ious == pytest.approx(true_ious(other))
        assert other.truth == pair.truth and (mask_ops.areas([other.first, other.second]) > 0).all()
        if other is not pair:
            changed = other.second != pair.truth
            before, after = (pair.truth, other.second) if changed else (pair.first, other.first)
            sides.add((changed, int(np.sign(np.diff(mask_ops.areas([before, after]).astype(int))[0]))))
    assert {(True, 1), (True, -1), (False, 1), (False, -1)} <= sides


@pytest.mark.parametrize("change", [with_resized_mask, lambda pair, *rest: with_neighbour(pair, pair, *rest)])
def test_a_changed_pair_without_a_clear_winner_is_not_used(pair, change):
    assert all(change(pair, np.random.default_rng(s), 1.0) is pair for s in range(5))


def test_a_mask_that_covers_a_neighbour_is_the_worse_for_it(pair):
    neighbour = box(42, 10, 20, 40)
    other = pair_of(neighbour, neighbour, neighbour)
    changed = [with_neighbour(pair, other, np.random.default_rng(seed)) for seed in range(20)]
    for one in changed:
        assert one.ious == pytest.approx(true_ious(one))
        assert one.ious[0] < pair.ious[0] or one.ious[1] < pair.ious[1]
    # The union of 30 x 24 and 20 x 40 pixels, which do not touch.
    merged = 30 * 24 / (30 * 24 + 20 * 40)
    assert {one.ious[1] == pytest.approx(merged) for one in changed} == {True, False}
    assert any(one.ious[0] > one.ious[1] for one in changed)


def test_what_is_far_away_is_not_merged(pair):
    far = box(70, 0, 8, 8)
    other = pair_of(far, far, far)
    assert all(with_neighbour(pair, other, np.random.default_rng(s)) is pair for s in range(10))


@pytest.mark.parametrize(("gap", "close"), [(5, True), (6, False)])
def test_closeness_is_a_quarter_of_the_larger_side(gap, close):
    assert are_close(box(4, 4, 20, 10), box(24 + gap, 4, 8, 10)) is close
    assert are_close(box(4, 4, 10, 20), box(4, 24 + gap, 10, 8)) is close


def test_masks_that_overlap_are_close():
    assert are_close(box(4, 4, 20, 10), box(10, 6, 4, 4))


@pytest.fixture
def crop():
    """A white square on dark ground, twice; the first mask and the true one are the square."""
    crop = np.full((9, 64, 64), 30, np.uint8)
    crop[:, 20:44, 16:48] = 220
    crop[[3, 8]] = (crop[[3, 8]] > 127) * np.uint8(255)
    crop[7] = 0
    return crop


def test_masks_move_with_the_image(crop):
    moved = 0
    for seed in range(30):
        changed = with_strong_changes(crop, np.random.default_rng(seed))
        assert changed.shape == crop.shape and changed.dtype == np.uint8
        assert set(np.unique(changed[[3, 7, 8]])) <= {0, 255}
        assert np.array_equal(changed[:3], changed[4:7]) and np.array_equal(changed[3], changed[8])
        assert not changed[7].any()
        inside, grey = changed[8] > 0, changed[:3].mean(axis=0)
        # Black is what is hidden or came in from outside.
        assert np.median(grey[inside & (grey > 0)]) > np.median(grey[~inside & (grey > 0)])
        moved += not np.array_equal(changed[8], crop[8])
    assert moved > 25


def test_two_images_are_changed_alike(crop):
    crop[4:7] = 255 - crop[4:7]
    changed = with_strong_changes(crop, np.random.default_rng(3))
    first, second = changed[:3].astype(float).ravel(), changed[4:7].astype(float).ravel()
    seen = (first > 0) & (second > 0)
    assert np.corrcoef(first[seen], second[seen])[0, 1] < -0.7  # not -1: brightness clips


def test_what_is_done_depends_on_the_generator_alone(crop):
    before = torch.random.get_rng_state()
    changed = [with_strong_changes(crop, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(changed[0], changed[1]) and not np.array_equal(changed[0], changed[2])
    assert torch.equal(before, torch.random.get_rng_state())
