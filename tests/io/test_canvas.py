"""Drawing on planes: the same picture whether it is drawn in RGB or in YUV 4:2:0."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from msnvis import masks as mask_ops
from msnvis.io.canvas import Canvas
from msnvis.io.overlay import OverlayRenderer
from msnvis.io.picture import BT601, frame_planes, i420_planes, to_i420


def smooth(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([60 + rows, 40 + columns, 90 + rows // 2], axis=2).astype(np.uint8)


def drawn_as_frame(image, draw):
    """What a decoder shows of a frame that `draw` has drawn on."""
    picture = to_i420(image)
    frame = av.VideoFrame(picture.shape[1], picture.shape[0] * 2 // 3, "yuv420p")
    draw(Canvas(i420_planes(picture), frame_planes(frame), BT601))
    return cv2.cvtColor(frame.to_ndarray(), cv2.COLOR_YUV2RGB_I420)


@pytest.mark.parametrize("size", [(90, 130), (91, 133), (2, 2), (1, 1), (6, 34)])
def test_planes_are_those_of_the_frame(size):
    image = smooth(*size)
    shown = drawn_as_frame(image, lambda canvas: None)
    even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert shown.shape[:2] == even
    assert np.abs(shown[: size[0], : size[1]].astype(int) - image).max() <= 6


@pytest.mark.parametrize("left, top", [(10, 20), (11, 20), (10, 21), (11, 21)])
@pytest.mark.parametrize("is_mixed", [True, False])
def test_fill_in_yuv_is_the_fill_in_rgb(left, top, is_mixed):
    image, mask = smooth(90, 130), np.ones((40, 50), np.uint8)
    how = (mask, mask * np.uint8(is_mixed), left, top, (230, 60, 120), 0.45)
    canvas = Canvas.from_rgb(image)
    canvas.fill(*how)
    shown = drawn_as_frame(image, lambda canvas: canvas.fill(*how))
    difference = np.abs(shown.astype(int) - canvas.rgb())
    assert difference.mean() < 2.5
    # Colours have half the resolution, so only the pixels at the rim may differ much.
    assert difference[top + 2 : top + 38, left + 2 : left + 48].max() <= 6
    outside = np.ones((90, 130), bool)
    outside[top - 2 : top + 42, left - 2 : left + 52] = False
    assert difference[outside].max() <= 6


def test_objects_and_labels_in_yuv_are_those_in_rgb():
    image = smooth(120, 160)
    masks = np.zeros((2, 120, 160), bool)
    masks[0, 30:90, 20:70] = masks[1, 41:100, 55:121] = True
    objects = (mask_ops.encode(masks), [1, 2], ["person 1 0.90", "dog 2 0.80"])
    shown = drawn_as_frame(image, lambda c: OverlayRenderer().draw(c, (120, 160), *objects))
    wanted = OverlayRenderer().render(image, *objects)
    luma = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(int) for picture in (shown, wanted)]
    # Clipping of strong colours at the rims moves the brightness of few pixels.
    assert (np.abs(luma[0] - luma[1]) > 20).mean() < 0.01
    assert (np.abs(luma[1] - cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) > 20).mean() > 0.1


@pytest.mark.parametrize("matrix", [None, BT601])
def test_a_fill_is_mixed_inside_and_pure_on_the_outline(matrix):
    plain = np.full((12, 12, 3), 100, np.uint8)
    mask = np.zeros((6, 6), np.uint8)
    mask[:, :5] = 1
    inside = np.zeros_like(mask)
    inside[2:4, 2:4] = 1
    if matrix is None:
        canvas = Canvas.from_rgb(plain)
        canvas.fill(mask, inside, 4, 2, (200, 0, 50), 0.25)
        shown = canvas.rgb()
        wanted = plain.copy()
        wanted[2:8, 4:9], wanted[4:6, 6:8] = (200, 0, 50), (125, 75, 88)
        np.testing.assert_array_equal(shown, wanted)
    else:  # of colours there is a sample in each other pixel
        shown = drawn_as_frame(plain, lambda canvas: canvas.fill(mask, inside, 4, 2, (200, 0, 50), 0.25))
        assert np.abs(shown[4, 4].astype(int) - (200, 0, 50)).max() <= 4
        assert np.abs(shown[4, 6].astype(int) - (125, 75, 88)).max() <= 4
        assert np.abs(shown[4, 10].astype(int) - 100).max() <= 4


@pytest.mark.parametrize("left, top", [(4, 2), (5, 2), (4, 3), (5, 3)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize("is_mixed", [True, False])
def test_an_object_a_pixel_wide_is_drawn_even_where_the_colour_planes_have_no_sample(
    shape, left, top, is_mixed
):
    image = smooth(8, 12)
    drawn = to_i420(image)
    canvas = Canvas(i420_planes(to_i420(image)), i420_planes(drawn), BT601)
    canvas.fill(np.ones(shape, np.uint8), np.full(shape, is_mixed, np.uint8), left, top, (255,) * 3, 0.45)
    changed = i420_planes(drawn)[0] != i420_planes(to_i420(image))[0]
    wanted = np.zeros((8, 12), bool)
    wanted[top : top + shape[0], left : left + shape[1]] = True
    np.testing.assert_array_equal(changed, wanted)


def test_the_picture_itself_is_not_drawn_on():
    image = smooth(20, 30)
    picture = to_i420(image)
    before = picture.copy()
    frame = av.VideoFrame(30, 20, "yuv420p")
    everywhere = np.ones((9, 9), np.uint8)
    Canvas(i420_planes(picture), frame_planes(frame), BT601).fill(
        everywhere, everywhere, 3, 3, (1, 2, 3), 0.5
    )
    np.testing.assert_array_equal(picture, before)
