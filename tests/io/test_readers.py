"""Opening sources: limits, what is not there, arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from video_makers import number_of, numbered, read, write_video

from msnvis.errors import InputError, OptionError
from msnvis.io.readers import open_source, source_from_frames
from msnvis.io.source import fit, parse_limit, working_size


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (30, 30),
        ("30", 30),
        (12.5, 12.5),
        ("12.5s", 12.5),
        ("12s", 12.0),
        ("12.5", 12.5),
        ("1:02.5", 62.5),
        ("01:02:03", 3723.0),
        (" 3s ", 3.0),
        (0, 0),
        (None, None),
    ],
)
def test_limits_are_frame_numbers_or_times(written, meant):
    limit = parse_limit("start", written)
    assert limit == meant and type(limit) is type(meant)


@pytest.mark.parametrize(
    "written", ["soon", "", "-3", "1:2:3:4", "12,5s", "1e3", -1, -0.5, math.nan, math.inf, True, [1], "5 s"]
)
def test_other_limits_are_option_errors(written):
    with pytest.raises(OptionError, match="start"):
        parse_limit("start", written)


@pytest.mark.parametrize(
    "options",
    [
        {"start": 5, "end": 5},
        {"start": 6, "end": 5},
        {"start": "2s", "end": "1s"},
        {"end": 0},
        {"stride": 0},
        {"stride": -1},
        {"stride": 1.5},
        {"max_side": 0},
        {"max_side": 1.5},
    ],
)
def test_senseless_options_are_refused_before_anything_is_opened(tmp_path, options):
    with pytest.raises(OptionError):
        open_source(tmp_path / "missing.mp4", **options)


@given(height=st.integers(1, 5000), width=st.integers(1, 5000), side=st.none() | st.integers(1, 5000))
@settings(max_examples=50, deadline=None)
def test_working_size_keeps_the_shape_within_the_limit(height, width, side):
    small_height, small_width = working_size((height, width), side)
    assert small_height >= 1 and small_width >= 1
    if side is None or side >= max(height, width):
        assert (small_height, small_width) == (height, width)
    else:
        assert max(small_height, small_width) == side
        assert abs(small_height / height - small_width / width) <= 1 / min(height, width) + 1e-9 or 1 in (
            small_height,
            small_width,
        )


def test_shrinking_averages_areas():
    board = np.indices((4, 4)).sum(0) % 2 * 200
    image = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    assert (fit(image, (2, 2)) == 100).all()


def test_missing_empty_and_forbidden_files(tmp_path):
    with pytest.raises(InputError, match=r"missing\.mp4 does not exist"):
        open_source(tmp_path / "missing.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(InputError, match=r"empty\.mp4 is an empty file"):
        open_source(tmp_path / "empty.mp4")
    with pytest.raises(InputError, match=r"no file matches .*\*\.png"):
        open_source(str(tmp_path / "*.png"))


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path):
    path = write_video(tmp_path / "take [1].mkv", 2, codec="ffv1", pix_fmt="yuv444p")
    source = open_source(str(path))
    assert source.name == "take [1]"
    assert [number_of(frame.image) for frame in source.frames()] == [0, 1]


def test_arrays_in_memory_are_read_in_both_directions():
    arrays = np.stack([numbered(number) for number in range(5)])
    source = source_from_frames(arrays, name="made", fps=10)
    frames = list(source.frames())
    assert (source.name, source.num_frames, source.size, source.live) == ("made", 5, (48, 64), False)
    assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
    assert np.allclose([frame.timestamp for frame in frames], [0, 0.1, 0.2, 0.3, 0.4])
    assert read(source.frames_reversed()) == read(frames)[::-1]


def test_an_iterator_is_live():
    source = source_from_frames(numbered(number) for number in range(3))
    assert source.live and source.num_frames is None and source.size is None
    assert [number_of(frame.image) for frame in source.frames()] == [0, 1, 2]
    assert source.num_frames == 3 and source.size == (48, 64)
    with pytest.raises(InputError, match="frames is live and can only be read forward"):
        source.frames_reversed()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (np.zeros((4, 6)), r"frame 1 of frames must be an RGB uint8 array \(H, W, 3\), not float64 \(4, 6\)"),
        (np.zeros((4, 6, 4), np.uint8), r"not uint8 \(4, 6, 4\)"),
        ([[1, 2]], "not list"),
        (np.zeros((0, 6, 3), np.uint8), "frame 1 of frames is empty: 6x0 pixels"),
    ],
)
def test_wrong_arrays_are_named(wrong, told):
    source = source_from_frames([np.zeros((4, 6, 3), np.uint8), wrong])
    with pytest.raises(InputError, match=told):
        list(source.frames())


def test_no_arrays_at_all():
    with pytest.raises(InputError, match="frames holds no frames"):
        source_from_frames([])


def test_arrays_of_other_sizes_are_scaled_with_one_warning():
    source = source_from_frames([numbered(1), numbered(2, (96, 128)), numbered(3, (24, 32))])
    frames = list(source.frames())
    assert [(number_of(frame.image), frame.image.shape) for frame in frames] == [
        (1, (48, 64, 3)),
        (2, (48, 64, 3)),
        (3, (48, 64, 3)),
    ]
    assert source.warnings == [
        "the frames of frames change size: frame 1 is 128x96, the first 64x48; "
        "all are scaled to the size of the first"
    ]
