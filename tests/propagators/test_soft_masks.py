import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.propagators.soft_masks import (
    decide_by_colour,
    follow_edges,
    harden,
    optical_flow,
    reliable_pixels,
    shrink,
    soften,
    tight_crop,
    warp,
)


def test_soften_gives_the_share_of_each_pixel_that_is_covered():
    mask = np.zeros((8, 12), bool)
    mask[2:6, 4:7] = True  # at half size: column 2 is covered, column 3 by one half
    soft, x, y = soften(*tight_crop(mask), (8, 12), (4, 6))
    assert (x, y) == (2, 1)
    np.testing.assert_allclose(soft, [[1, 0.5], [1, 0.5]], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_softening_at_the_same_size_is_lossless(data):
    height, width = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width)))
    mask = mask.reshape(height, width)
    mask[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = True
    crop, left, top = harden(*soften(*tight_crop(mask), mask.shape, mask.shape), mask.shape, mask.shape)
    back = np.zeros_like(mask)
    back[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    np.testing.assert_array_equal(back, mask)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(60, 200), st.integers(60, 200)),
    st.tuples(st.floats(0.3, 1), st.floats(0.3, 1)),
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(20, 170), st.integers(20, 170)),
)
def test_softening_and_hardening_keep_a_box_to_a_pixel_of_the_flow(size, scale, corner_and_side):
    left, top, width, height = corner_and_side
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    flow_size = tuple(max(1, round(side * s)) for side, s in zip(size, scale, strict=True))
    crop, x0, y0 = harden(*soften(*tight_crop(mask), size, flow_size), flow_size, size)
    back = np.zeros(size, bool)
    back[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    rows, columns = np.nonzero(back)
    edges = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]
    expected = [top, min(size[0], top + height), left, min(size[1], left + width)]
    np.testing.assert_allclose(edges, expected, atol=max(1 / min(scale), 1) + 1)


def test_shrink_bounds_the_longest_side_and_copies():
    image = np.zeros((100, 300, 3), np.uint8)
    assert shrink(image, 150).shape == (50, 150, 3)
    assert shrink(image, 300) is not image and shrink(image, 999).shape == image.shape


def test_warp_takes_pixels_from_their_origin():
    soft = np.ones((2, 2), np.float32)
    rows, columns = np.mgrid[0:6, 0:8].astype(np.float32)
    moved = warp(soft, 3, 1, np.dstack([columns - 2, rows - 1]))  # everything moves by (2, 1)
    expected = np.zeros((6, 8))
    expected[2:4, 5:7] = 1
    np.testing.assert_allclose(moved, expected, atol=1e-6)


@pytest.mark.parametrize(
    "height, width", [(1, 1), (2, 100), (20, 300), (31, 480), (480, 31), (3, 90), (40, 90)]
)
def test_flow_of_frames_of_any_shape_follows_the_motion(height, width):
    """DIS itself reads beyond its buffers where frames are wide and less than 32 pixels high."""
    texture = np.random.default_rng(0).integers(0, 256, (height, width + 2)).astype(np.uint8)
    texture = cv2.resize(
        cv2.resize(texture, None, fx=0.5, fy=1), (width + 2, height)
    )  # no finer than its steps
    for preset in (cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM):
        dis = cv2.DISOpticalFlow_create(preset)
        flow = optical_flow(dis, texture[:, 2:].copy(), texture[:, :-2].copy())
        assert flow.shape == (height, width, 2) and np.isfinite(flow).all()
        if min(height, width) >= 20:
            assert abs(np.median(flow[..., 0]) - 2) < 0.5


def test_flow_is_reliable_where_there_and_back_agree():
    rows, columns = np.mgrid[0:20, 0:20].astype(np.float32)
    backward = np.full((20, 20, 2), -2, np.float32)
    forward = np.full((20, 20, 2), 2, np.float32)
    forward[:, :10] = 7  # what was on the left goes elsewhere: what is here now was not there
    origin = backward + np.dstack([columns, rows])
    reliable = reliable_pixels(backward, forward, origin)
    assert reliable[:, 12:].all() and not reliable[:, :11].any()


def test_colour_decides_only_where_the_warp_is_unsure():
    warped = np.zeros((60, 60), np.float32)
    warped[20:40, 20:40] = 1
    against = np.full((60, 60), -3, np.float32)
    for_it = np.full((60, 60), 3, np.float32)
    assert decide_by_colour(warped, against)[30, 30] > 0.9  # sure, in the middle
    assert decide_by_colour(warped, for_it)[5, 5] == 0  # far away
    assert decide_by_colour(warped, against)[30, 39] < 0.5 < decide_by_colour(warped, for_it)[30, 40]


def test_colour_alone_decides_where_the_flow_is_not_believed():
    warped = np.ones((9, 9), np.float32)
    nowhere = np.zeros((9, 9), bool)
    evidence = np.where(np.arange(9) < 4, -1, 1)[None].repeat(9, axis=0).astype(np.float32)
    soft = decide_by_colour(warped, evidence, nowhere)
    assert (soft[:, :4] < 0.5).all() and (soft[:, 4:] > 0.5).all()


def test_edges_move_to_those_of_the_image():
    guide = np.zeros((40, 40), np.float32)
    guide[:, 20:] = 1
    soft = np.zeros((40, 40), np.float32)
    soft[:, 21:] = 1  # a pixel short of the edge in the image
    followed = follow_edges(soft, guide)
    np.testing.assert_array_equal(followed >= 0.5, guide == 1)


def test_edges_stay_where_the_image_has_none():
    soft = np.zeros((40, 40), np.float32)
    soft[:, 21:] = 1
    followed = follow_edges(soft, np.full((40, 40), 0.5, np.float32))
    np.testing.assert_array_equal(followed >= 0.5, soft == 1)
