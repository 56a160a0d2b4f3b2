"""Parts of a video as sources of their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from video_makers import number_of, numbered, write_video

from msnvis.io.part import SourcePart
from msnvis.io.readers import open_source, source_from_frames


def brief(frames) -> list[tuple[int, float, int]]:
    return [(frame.index, round(frame.timestamp, 4), number_of(frame.image)) for frame in frames]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 8), st.integers(1, 9), st.sets(st.integers(1, 8)))
def test_frames_and_cuts_count_from_the_first_of_the_part(first, last, cuts):
    whole = source_from_frames([numbered(number) for number in range(9)], fps=10)
    if first >= last:
        return
    part = SourcePart(whole, first, last, sorted(cuts))
    expected = [(number - first, number / 10, number) for number in range(first, last)]
    assert brief(part.frames()) == expected
    assert brief(part.frames_reversed()) == expected[::-1]
    assert (part.offset, part.num_frames, part.size) == (first, len(expected), whole.size)
    assert {first + cut for cut in part.cuts} == {cut for cut in cuts if first < cut < last}


def test_parts_of_images_have_the_same_stand_ins(tmp_path):
    for number in range(6):
        Image.fromarray(numbered(number)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"no image")
    whole = open_source(tmp_path)
    part = SourcePart(open_source(tmp_path), 3, 5, [])
    assert [number for _, _, number in brief(whole.frames())] == [0, 1, 2, 2, 4, 5]
    assert [number for _, _, number in brief(part.frames())] == [2, 4]
    assert [number for _, _, number in brief(part.frames_reversed())] == [4, 2]
    assert len(part.warnings) == 1


def test_a_part_is_told_from_others_and_from_the_whole(tmp_path):
    whole = open_source(write_video(tmp_path / "clip.mp4", 9))
    identities = [whole.identity(), *(SourcePart(whole, a, b, []).identity() for a, b in ((0, 5), (5, 9)))]
    assert len({str(identity) for identity in identities}) == 3
    assert SourcePart(source_from_frames(np.zeros((4, 2, 2, 3), np.uint8)), 1, 2, []).identity() is None


@pytest.mark.parametrize("name", ["part", "part_reversed"])
def test_reading_a_part_ends_with_it(name):
    """Of a source that knows no better than to read all, nothing is read behind the part."""
    frames = [numbered(number) for number in range(6)]
    frames[5 if name == "part" else 0] = "broken"
    whole = source_from_frames(np.stack([numbered(0)] * 6))
    whole._frames = frames
    assert len(brief(getattr(whole, name)(2, 4))) == 2
