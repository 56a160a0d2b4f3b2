"""The overlay: what is drawn, and the video as a decoder sees it."""

from __future__ import annotations

from itertools import combinations, pairwise

import av
import numpy as np
import pytest

from msnvis import masks as mask_ops
from msnvis.io import overlay
from msnvis.io.colours import PALETTE, colour_of, text_colour_on
from msnvis.io.overlay import OPACITY, OverlayRenderer, OverlayVideo, write_overlay
from msnvis.io.readers import open_source, source_from_frames
from msnvis.structures import Detections, VideoInstances


def picture(height=120, width=160, seed=0):
    """Smooth, so that compression changes little."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows + seed, columns, rows + columns // 2], axis=2).astype(np.uint8)


def mask_at(size, x1, y1, x2, y2):
    mask = np.zeros((1, *size), bool)
    mask[0, y1:y2, x1:x2] = True
    return mask_ops.encode(mask)[0]


def decoded(path):
    with av.open(str(path)) as container:
        return [(float(f.time), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]


def tinted(image, track_id):
    return image * (1 - OPACITY) + np.array(colour_of(track_id)) * OPACITY


def test_fill_outline_and_background():
    image = picture()
    before = image.copy()
    drawn = OverlayRenderer().render(image, [mask_at((120, 160), 40, 30, 80, 70)], [3], [""])
    np.testing.assert_array_equal(image, before)
    np.testing.assert_allclose(drawn[31:69, 41:79], tinted(image[31:69, 41:79], 3), atol=1)
    assert (drawn[30, 40:80] == colour_of(3)).all()
    assert (drawn[30:70, 79] == colour_of(3)).all()
    outside = np.ones((120, 160), bool)
    outside[30:70, 40:80] = False
    np.testing.assert_array_equal(drawn[outside], image[outside])


def test_later_objects_are_on_top_and_not_blended_twice():
    image = picture()
    rles = [mask_at((120, 160), 10, 10, 90, 90), mask_at((120, 160), 50, 50, 130, 110)]
    drawn = OverlayRenderer().render(image, rles, [1, 2], ["", ""])
    np.testing.assert_allclose(drawn[52:88, 52:88], tinted(image[52:88, 52:88], 2), atol=1)


def test_frames_of_changing_size_and_masks_of_another_are_drawn():
    renderer = OverlayRenderer()
    rle = mask_at((60, 80), 20, 15, 40, 35)
    for height, width in [(120, 160), (60, 80), (1, 1), (240, 320)]:
        drawn = renderer.render(picture(height, width), [rle], [1], ["person 1 0.90"])
        assert drawn.shape == (height, width, 3)
    np.testing.assert_allclose(drawn[100, 120], tinted(picture(240, 320)[100, 120], 1), atol=1)


@pytest.mark.parametrize(
    "box", [(0, 0, 20, 10), (300, 0, 320, 10), (0, 230, 15, 240), (305, 200, 320, 240), (0, 0, 320, 240)]
)
def test_labels_stay_inside_the_frame(box):
    size = (240, 320)
    chip, mask = overlay.label_chip("person 3 0.92", colour_of(3), 9)
    rle = mask_at(size, *box)
    image = picture(*size)
    plain = OverlayRenderer().render(image, [rle], [3], [""])
    labelled = OverlayRenderer().render(image, [rle], [3], ["person 3 0.92"])
    rows, columns = np.nonzero((plain != labelled).any(axis=2))
    # The ground of the label may equal the outline; its text does not.
    assert len(rows) > (chip != colour_of(3)).any(axis=2).sum() / 2
    assert columns.max() - columns.min() < chip.shape[1]
    assert rows.max() - rows.min() < chip.shape[0]
    assert mask.shape == chip.shape[:2]


def test_labels_of_neighbours_do_not_hide_each_other():
    size = (240, 320)
    rles = [mask_at(size, 100, 100, 140, 180), mask_at(size, 104, 102, 144, 182)]
    image = np.zeros((*size, 3), np.uint8)
    plain = OverlayRenderer().render(image, rles, [1, 2], ["", ""])
    labelled = OverlayRenderer().render(image, rles, [1, 2], ["person 1 0.90", "person 2 0.90"])
    changed = (plain != labelled).any(axis=2)
    for track_id in (1, 2):
        chip, mask = overlay.label_chip(f"person {track_id} 0.90", colour_of(track_id), 9)
        places = np.lib.stride_tricks.sliding_window_view(labelled, chip.shape)[:, :, 0]
        inside = mask[..., None] > 0
        found = [
            (y, x)
            for y, x in np.argwhere(changed[: places.shape[0], : places.shape[1]])
            for y, x in [(y, max(x - int(np.argmax(mask[0] > 0)), 0))]
            if ((places[y, x] == chip) | ~inside).all()
        ]
        assert found, f"label {track_id} is not to be seen whole"


def test_colours_are_distinct_and_their_text_readable():
    assert min(np.abs(np.subtract(a, b)).sum() for a, b in combinations(PALETTE, 2)) > 60
    assert colour_of(1) == colour_of(1 + len(PALETTE)) != colour_of(2)
    for colour in PALETTE:
        luma = np.dot([0.299, 0.587, 0.114], np.subtract(colour, text_colour_on(colour)))
        assert abs(luma) > 90


@pytest.fixture
def video():
    times = np.array([10.0, 10.04, 10.1, 10.5, 10.52])  # a variable frame rate that does not start at 0
    rle = mask_at((120, 160), 40, 30, 100, 90)
    frames = [
        Detections((120, 160), [rle], np.array([0.9]), np.array([[1.0]]), np.array([5]))
        if index != 3
        else Detections((120, 160), [], np.zeros(0), np.zeros((0, 1)), np.zeros(0, np.int64))
        for index in range(5)
    ]
    return VideoInstances.from_frames("clip", frames, times, ("person",))


def test_video_has_all_frames_drawn_on_where_objects_are(video, tmp_path):
    images = [picture(seed=10 * i) for i in range(5)]
    write_overlay(video, source_from_frames(images), tmp_path / "overlay.mp4")
    frames = decoded(tmp_path / "overlay.mp4")
    assert len(frames) == 5
    for index, (_, shown) in enumerate(frames):
        inside = shown[40:80, 50:90].astype(float)
        expected = tinted(images[index], 5)[40:80, 50:90] if index != 3 else images[index][40:80, 50:90]
        assert np.abs(inside - expected).mean() < 6
        assert np.abs(shown[100:, 110:].astype(float) - images[index][100:, 110:]).mean() < 6
    assert (
        np.abs(tinted(images[0], 5) - images[0])[40:80, 50:90].mean() > 30
    )  # a difference that would be seen


def test_video_keeps_the_clock_of_the_source(video, tmp_path):
    path, again = tmp_path / "vfr.mp4", tmp_path / "overlay.mp4"
    with OverlayVideo(path, fps=25) as clip:
        for timestamp in video.timestamps:
            clip.write(picture(), timestamp)
    source = open_source(path)
    video.timestamps = np.array([frame.timestamp for frame in source.frames()])
    write_overlay(video, source, again)
    for file in (path, again):
        np.testing.assert_allclose([time for time, _ in decoded(file)], [0, 0.04, 0.1, 0.5, 0.52], atol=1e-4)


def test_video_ends_with_the_results(video, tmp_path):
    write_overlay(video, source_from_frames([picture()] * 9), tmp_path / "overlay.mp4")
    assert len(decoded(tmp_path / "overlay.mp4")) == 5


def test_equal_and_backward_timestamps_do_not_stop_the_encoder(tmp_path):
    with OverlayVideo(tmp_path / "a.mp4") as clip:
        for timestamp in (0.0, 0.0, 0.04, 0.02, 0.08):
            clip.write(picture(), timestamp)
    times = [time for time, _ in decoded(tmp_path / "a.mp4")]
    assert len(times) == 5
    assert all(a < b for a, b in pairwise(times))


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 47), (48, 1), (64, 64)])
def test_odd_sizes_are_padded_to_even(size, tmp_path):
    image = picture(*size)
    with OverlayVideo(tmp_path / "a.mp4") as clip:
        for index in range(3):
            clip.write(image, index / 25)
    frames = decoded(tmp_path / "a.mp4")
    assert len(frames) == 3
    height, width = size
    shown = frames[0][1]
    assert shown.shape == (height + height % 2, width + width % 2, 3)
    assert np.abs(shown[:height, :width].astype(float) - image).mean() < 12


def test_colours_are_declared_as_they_were_converted(tmp_path):
    with OverlayVideo(tmp_path / "a.mp4") as clip:
        clip.write(picture(), 0.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_range) == (6, 1)


def test_without_x264_it_is_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(overlay, "CODECS", ("no such encoder", "mpeg4"))
    with OverlayVideo(tmp_path / "a.mp4", fps=25) as clip:
        for timestamp in (0.0, 0.04, 0.3):
            clip.write(picture(), timestamp)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    frames = decoded(tmp_path / "a.mp4")
    np.testing.assert_allclose([time for time, _ in frames], [0, 0.04, 0.3], atol=1e-4)
    assert np.abs(frames[2][1].astype(float) - picture()).mean() < 8
