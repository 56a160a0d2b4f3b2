"""Frames as YUV: the same picture as in RGB, whatever the file holds."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Colorspace
from video_makers import SIZE, set_display_matrix, write_video

from msnvis.io.canvas import Canvas
from msnvis.io.overlay import OverlayRenderer, write_overlay
from msnvis.io.picture import BT601, BT709
from msnvis.io.readers import open_source, source_from_frames
from msnvis.structures import Detections, VideoInstances


def soft(number, size=SIZE):
    """Colours that neither compression nor half their resolution changes much."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.stack([70 + rows, 40 + 2 * columns, 150 - rows + 4 * number], axis=2).astype(np.uint8)


def rgb_of(planes, matrix):
    """By the definition in ITU-T H.273, with colours of half the resolution repeated."""
    luma, *halves = (plane.astype(float) for plane in planes)
    blue, red = (np.repeat(np.repeat(half, 2, axis=0), 2, axis=1) for half in halves)
    share_red, share_blue = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722)}[matrix]
    y = (luma - 16) / 219
    r = y + 2 * (1 - share_red) * (red - 128) / 224
    b = y + 2 * (1 - share_blue) * (blue - 128) / 224
    g = (y - share_red * r - share_blue * b) / (1 - share_red - share_blue)
    return np.clip(np.stack([r, g, b], axis=2) * 255, 0, 255)


def check_pictures(source, tolerance=3.0):
    frames, pictures = list(source.frames()), []
    for picture in source.pictures():
        pictures.append((picture.index, picture.timestamp))
        frame = frames[picture.index]
        height, width = frame.image.shape[:2]
        assert picture.size == (height, width)
        assert [side % 2 for side in picture.planes[0].shape] == [0, 0]
        shown = rgb_of(picture.planes, picture.matrix)[:height, :width]
        assert np.abs(shown - frame.image).mean() < tolerance
        np.testing.assert_array_equal(picture.image, frame.image)
    assert pictures == [(frame.index, frame.timestamp) for frame in frames]
    return picture.matrix


def tagged(path, colorspace, color_range=1):
    """`soft` frames in H.264 that says with which matrix and range they are stored."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "5"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = colorspace, color_range
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(soft(number), format="rgb24")
            frame = frame.reformat(
                format="yuv420p",
                dst_colorspace={1: "ITU709", 5: "ITU601", 6: "ITU601", 9: "BT2020"}[colorspace],
                dst_color_range=color_range,
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("colorspace, matrix", [(1, BT709), (5, BT601), (6, BT601), (9, BT601)])
@pytest.mark.parametrize("color_range", [1, 2])
def test_every_colour_space_and_range(colorspace, matrix, color_range, tmp_path):
    if colorspace == 9 and "BT2020" not in Colorspace.__members__:
        pytest.skip("PyAV before 18 cannot make such a file")
    path = tagged(tmp_path / "a.mp4", colorspace, color_range)
    assert check_pictures(open_source(path)) == matrix


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("max_side", [None, 40, 33])
def test_every_format_and_working_size(pix_fmt, max_side, tmp_path):
    path = write_video(tmp_path / "a.mp4", pix_fmt=pix_fmt, images=[soft(n) for n in range(3)])
    check_pictures(open_source(path, max_side=max_side), tolerance=4)


@pytest.mark.parametrize("turn", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1)])
@pytest.mark.parametrize("max_side", [None, 33])
def test_turned_and_mirrored(turn, max_side, tmp_path):
    path = write_video(tmp_path / "a.mp4", images=[soft(n) for n in range(3)])
    set_display_matrix(path, *turn)
    check_pictures(open_source(path, max_side=max_side), tolerance=4)


def test_odd_sizes_of_files_and_of_arrays(tmp_path):
    images = [soft(n, (33, 47)) for n in range(3)]
    path = write_video(tmp_path / "a.mkv", codec="ffv1", images=images)
    check_pictures(open_source(path))
    check_pictures(source_from_frames(images))


def test_window_and_stride(tmp_path):
    path = write_video(tmp_path / "a.mp4", images=[soft(n) for n in range(9)])
    check_pictures(open_source(path, start=2, end=8, stride=2))


def test_most_videos_are_not_converted(tmp_path):
    path = write_video(tmp_path / "a.mp4", images=[soft(n) for n in range(3)])
    with av.open(str(path)) as container:
        stored = [frame.to_ndarray()[: SIZE[0]] for frame in container.decode(video=0)]
    for luma, picture in zip(stored, open_source(path).pictures(), strict=True):
        np.testing.assert_array_equal(picture.planes[0], luma)


@pytest.mark.parametrize("colorspace", [1, 6])
def test_overlay_of_a_file_is_that_of_its_images(colorspace, tmp_path):
    path = tagged(tmp_path / "a.mp4", colorspace)
    source = open_source(path)
    mask = np.zeros((1, *SIZE), bool)
    mask[0, 10:40, 12:50] = True
    found = Detections.from_masks(mask, [0.9], [[1.0]], ids=[4])
    video = VideoInstances.from_frames("a", [found] * 3, [0, 0.04, 0.08], ("person",))
    write_overlay(video, source, tmp_path / "overlay.mp4")
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert container.streams.video[0].codec_context.colorspace == colorspace
    for frame, shown in zip(source.frames(), open_source(tmp_path / "overlay.mp4").frames(), strict=True):
        wanted = OverlayRenderer().render(frame.image, found.rles, [4], ["person 4 0.90"])
        blurred = [cv2.blur(image, (5, 5)).astype(int) for image in (wanted, shown.image)]
        assert np.abs(blurred[0] - blurred[1]).mean() < 4
        assert np.abs(wanted.astype(int) - frame.image).mean() > 15


@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_colours_are_those_of_the_matrix(matrix):
    planes = [np.full((8, 8), 16, np.uint8), *(np.full((4, 4), 128, np.uint8) for _ in range(2))]
    drawn = [plane.copy() for plane in planes]
    mask = np.ones((8, 8), np.uint8)
    Canvas(planes, drawn, matrix).fill(mask, mask, 0, 0, (30, 200, 90), opacity=1)
    assert np.abs(rgb_of(drawn, matrix) - [30, 200, 90]).max() < 2
