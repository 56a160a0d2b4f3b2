"""The summary picture: which frames it shows and what its timeline says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from msnvis import masks as mask_ops
from msnvis.errors import OutputError
from msnvis.io.colours import colour_of
from msnvis.io.readers import source_from_frames
from msnvis.io.summary import MARGIN, WIDTH, choose_frames, clock_text, write_summary
from msnvis.structures import Track, VideoInstances

SIZE = (60, 80)
DOT = mask_ops.encode(np.pad(np.ones((1, 20, 30), bool), ((0, 0), (20, 20), (25, 25))))[0]


def video_of(length, presence=(), cuts=()):
    """A track for each collection of frames in `presence`."""
    tracks = [
        Track(number, 0, 0.9, {i: DOT for i in frames}, {i: 0.9 for i in frames})
        for number, frames in enumerate(presence, start=1)
    ]
    return VideoInstances("clip", SIZE, np.arange(length) / 25, ("person",), tracks, cuts=tuple(cuts))


def grey(length):
    return source_from_frames([np.full((*SIZE, 3), 90, np.uint8)] * length)


def pixels(path, colour):
    return (np.array(Image.open(path)) == colour).all(axis=2)


@given(st.integers(0, 60), st.sets(st.integers(1, 59)), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_chosen_frames_are_in_order_and_in_every_shot(length, cuts, most):
    cuts = sorted(cut for cut in cuts if cut < length)
    chosen = choose_frames(video_of(length, cuts=cuts), most)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(length, most)
    assert all(0 <= index < length for index in chosen)
    if len(cuts) < most and length:
        starts = np.array([0, *cuts])
        shown = set(np.searchsorted(starts, chosen, side="right").tolist())
        assert shown == set(range(1, len(starts) + 1))


def test_frames_with_objects_are_preferred():
    video = video_of(100, [[3, 30, 61, 99], [61, 62]])
    assert choose_frames(video, 4) == [3, 30, 61, 99]


def test_contact_sheet_shows_the_objects_and_the_timeline_their_times(tmp_path):
    video = video_of(50, [range(50), range(25, 50)], cuts=[25])
    write_summary(video, grey(50), tmp_path / "summary.png")
    image = Image.open(tmp_path / "summary.png")
    assert image.width == WIDTH
    for track_id, share in ((1, 1.0), (2, 0.5)):
        # Below the contact sheet, whose colours are blended, only chip and bar have the plain colour.
        rows = pixels(tmp_path / "summary.png", colour_of(track_id))[-140:]
        longest = int(rows.sum(axis=1).max())
        bar = longest - 46  # the chip stands in the same row
        assert bar / (WIDTH - 2 * MARGIN - 324) == pytest.approx(share, abs=0.03)
    assert pixels(tmp_path / "summary.png", (90, 90, 90)).sum() > 12 * 350 * 250 * 0.5


def test_gaps_are_gaps_in_the_bar(tmp_path):
    write_summary(video_of(40, [[*range(10), *range(30, 40)]]), grey(40), tmp_path / "summary.png")
    row = max(pixels(tmp_path / "summary.png", colour_of(1))[-110:], key=np.sum)
    assert np.count_nonzero(np.diff(row.astype(int)) == 1) >= 3  # chip, first bar, second bar


@pytest.mark.parametrize(("length", "presence"), [(1, [[0]]), (5, []), (0, []), (3, [[1]] * 60)])
def test_extremes_are_drawn(length, presence, tmp_path):
    source = grey(max(length, 1))
    write_summary(video_of(length, presence), source, tmp_path / "summary.png")
    with Image.open(tmp_path / "summary.png") as image:
        assert image.width == WIDTH
        assert image.height < 4000


def test_portrait_single_pixel_and_vast_aspect(tmp_path):
    for height, width in [(160, 90), (1, 1), (500, 2), (2, 500)]:
        source = source_from_frames([np.zeros((height, width, 3), np.uint8)] * 2)
        video = VideoInstances("clip", (height, width), np.arange(2) / 25, ())
        write_summary(video, source, tmp_path / "summary.png")
        assert Image.open(tmp_path / "summary.png").height < 4000


def test_live_sources_get_the_timeline_only(tmp_path):
    def unread():
        raise AssertionError("a live source must not be read again")
        yield

    write_summary(video_of(3, [[1]]), source_from_frames(unread()), tmp_path / "summary.png")
    assert Image.open(tmp_path / "summary.png").height < 300


def test_unwritable_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"summary\.png cannot be written"):
        write_summary(video_of(1), grey(1), tmp_path / "file" / "summary.png")


def test_times_read_as_people_write_them():
    assert [clock_text(s, 10) for s in (0, 59.4, 60, 3599.6)] == ["0 s", "59 s", "1:00", "1:00:00"]
