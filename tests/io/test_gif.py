"""A GIF that was cut off anywhere is told from a whole one."""

import numpy as np
import pytest
from PIL import Image
from video_makers import write_video

from msnvis.io.gif import is_complete
from msnvis.io.readers import open_source

NOISE = list(np.random.default_rng(0).integers(0, 255, (12, 24, 32, 3), np.uint8))


def by_ffmpeg(path):
    return write_video(path, codec="gif", pix_fmt="rgb8", images=NOISE)


def by_pillow(path):
    """With a colour table for each frame, a comment and a repeat count."""
    first, *rest = [Image.fromarray(image) for image in NOISE[:3]]
    first.save(path, save_all=True, append_images=rest, comment=b"; not the end ;", loop=0, duration=40)
    return path


@pytest.mark.parametrize("make", [by_ffmpeg, by_pillow])
def test_whole_and_cut_files(make, tmp_path):
    whole = make(tmp_path / "whole.gif")
    data = whole.read_bytes()
    assert is_complete(whole)
    cut = tmp_path / "cut.gif"
    cut.write_bytes(data + b"what some programs add")
    assert is_complete(cut)
    for length in {0, 1, 13, 14, len(data) - 2, len(data) - 1, *range(20, len(data), 97)}:
        cut.write_bytes(data[:length])
        assert not is_complete(cut), length


@pytest.mark.parametrize("missing", [0, 1, 700, 3000])
def test_a_cut_gif_gives_the_frames_it_has_and_a_warning(missing, tmp_path):
    path = by_ffmpeg(tmp_path / "clip.gif")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - missing])
    source = open_source(path)
    count = len(list(source.frames()))
    assert 3 <= count <= 12 and (count == 12 or missing > 1)
    told = [f"clip.gif is truncated: {count} frames could be read"] if missing else []
    assert source.warnings[-1:] == told
    assert [frame.index for frame in source.frames_reversed()] == list(range(count))[::-1]
    assert open_source(path).describe().warnings[-1:] == told


def test_an_end_before_the_cut_is_no_reason_to_warn(tmp_path):
    path = by_ffmpeg(tmp_path / "clip.gif")
    path.write_bytes(path.read_bytes()[:-1])
    source = open_source(path, end=2)
    assert len(list(source.frames())) == 2 and source.warnings == []
