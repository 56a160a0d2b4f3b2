"""Video files in both directions: identity of frames, times, windows, damage."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from unittest import mock

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video_makers import number_of, numbered, read, set_display_matrix, write_video

from msnvis.errors import InputError, OptionError, OutputError
from msnvis.io import video_file
from msnvis.io.decoding import Clock
from msnvis.io.readers import open_source
from msnvis.store.checkpoint import read_checkpoint, write_checkpoint

COUNT = 40
#: File name -> how it is written; together: B-frames, open groups, one group, intra only, transport and
#: program streams (which seek inexactly), no timestamps at all, animation.
KINDS = {
    "b_frames.mp4": {"options": {"bf": "3", "g": "10"}},
    "b_frames.mkv": {"options": {"bf": "3", "g": "10"}},
    "b_frames.ts": {"options": {"bf": "3", "g": "10"}},
    "b_frames.avi": {"options": {"bf": "3", "g": "10"}},
    "open_groups.mp4": {"options": {"bf": "3", "g": "10", "x264-params": "open-gop=1:b-adapt=0:scenecut=0"}},
    "open_groups.ts": {"options": {"bf": "3", "g": "10", "x264-params": "open-gop=1:b-adapt=0:scenecut=0"}},
    "one_group.mp4": {"options": {"bf": "3", "g": "1000", "x264-params": "scenecut=0"}},
    "refresh.mkv": {"options": {"g": "10", "x264-params": "intra-refresh=1:scenecut=0:bframes=0"}},
    "intra.mov": {"codec": "png", "pix_fmt": "rgb24", "size": (49, 65)},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "g": "9"}},
    "raw.h264": {"options": {"bf": "3", "g": "10"}},
    "animation.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "ten_bit.mkv": {"codec": "ffv1", "pix_fmt": "yuv420p10le"},
}


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {name: write_video(folder / name, COUNT, **how) for name, how in KINDS.items()}


def limited(frames_in_memory: int, frames_on_disk: int, size: tuple[int, int]):
    """Chunks of so many frames of `size`."""
    frame = 3 * size[0] * size[1]
    return mock.patch.multiple(
        video_file, MEMORY_BYTES=frames_in_memory * frame, DISK_BYTES=frames_on_disk * frame
    )


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_comes_once_in_order_with_its_time(videos, name):
    source = open_source(videos[name])
    frames = list(source.frames())
    assert [number_of(frame.image) for frame in frames] == list(range(COUNT))
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert np.allclose([frame.timestamp for frame in frames], np.arange(COUNT) / 25, atol=1e-3)
    assert source.fps == pytest.approx(25)
    assert source.num_frames == COUNT
    assert source.size == source.source_size == KINDS[name].get("size", (48, 64))
    assert source.warnings == []


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("chunk", [(3, 3), (4, 17), (1000, 1000)])
def test_reversed_gives_the_same_frames_last_first(videos, name, chunk):
    source = open_source(videos[name])
    forward = read(source.frames())
    with limited(*chunk, source.size):
        assert read(source.frames_reversed()) == forward[::-1]
        assert read(open_source(videos[name]).frames_reversed()) == forward[::-1], "without a forward pass"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(data=st.data())
def test_any_window_is_what_was_asked_for_in_both_directions(videos, data):
    name = data.draw(st.sampled_from(sorted(KINDS)))
    limits = st.one_of(st.none(), st.integers(0, COUNT), st.integers(0, COUNT).map(lambda n: (n - 0.5) / 25))
    start, end, stride = data.draw(limits), data.draw(limits), data.draw(st.integers(1, 7))
    first = 0 if start is None else start if isinstance(start, int) else max(0, round(start * 25 + 0.5))
    last = COUNT if end is None else end if isinstance(end, int) else round(end * 25 + 0.5)
    expected = list(range(COUNT))[first:last:stride]
    start, end = (max(0.0, limit) if isinstance(limit, float) else limit for limit in (start, end))
    if not expected:
        with pytest.raises(OptionError):
            list(open_source(videos[name], start=start, end=end, stride=stride).frames())
        return
    source = open_source(videos[name], start=start, end=end, stride=stride)
    memory = data.draw(st.integers(1, 12))
    with limited(memory, memory + data.draw(st.integers(0, 20)), source.size):
        frames = list(source.frames())
        assert [number_of(frame.image) for frame in frames] == expected
        assert read(source.frames_reversed()) == read(frames)[::-1]
    assert source.num_frames == len(expected)
    assert np.allclose([frame.timestamp for frame in frames], np.array(expected) / 25, atol=1e-3)


def test_memory_is_bounded_however_long_a_group_of_pictures(tmp_path):
    path = write_video(tmp_path / "long.mp4", 250, options={"g": "100000", "x264-params": "scenecut=0"})
    source = open_source(path)
    whole = 250 * 48 * 64 * 3
    with limited(10, 60, source.size):
        tracemalloc.start()
        count = sum(1 for _ in source.frames_reversed())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert count == 250
    assert peak < whole / 5  # ten frames and what handling one takes


def test_full_temporary_folder_is_one_sentence(videos):
    source = open_source(videos["one_group.mp4"])
    full = mock.Mock(side_effect=OSError(28, "No space left on device"))
    with (
        limited(2, 30, source.size),
        mock.patch.object(video_file.tempfile, "TemporaryFile", full),
        pytest.raises(OutputError, match=r"No space left on device.*TMPDIR"),
    ):
        list(source.frames_reversed())


UNEVEN = [0, 40, 50, 500, 510, 700, 1000, 1001, 2000, 2400]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("shift", [0, 5000])
def test_variable_frame_rate_keeps_true_times_counted_from_where_players_begin(tmp_path, ending, shift):
    path = write_video(tmp_path / f"uneven.{ending}", 10, pts=[shift + time for time in UNEVEN])
    source = open_source(path)
    frames = list(source.frames())
    assert [number_of(frame.image) for frame in frames] == list(range(10))
    assert np.allclose([frame.timestamp for frame in frames], np.array(UNEVEN) / 1000, atol=2e-3)
    assert read(source.frames_reversed()) == read(frames)[::-1]
    assert source.describe().variable_frame_rate
    assert source.warnings == []


def clock_times(pts: list[int | None], **options) -> list[float]:
    clock = Clock(origin=0.0, fps=10.0, **options)
    times = []
    for stamp in pts:
        frame = av.VideoFrame(16, 16, "rgb24")
        frame.pts, frame.time_base = stamp, Fraction(1, 1000)
        times.append(round(clock.tick(frame), 6))
    return times


def test_clock_mends_missing_repeated_and_restarting_timestamps():
    assert clock_times([0, 100, None, 300]) == [0, 0.1, 0.2, 0.3]
    assert clock_times([0, 100, 100, 200]) == [0, 0.1, 0.15, 0.2]
    assert clock_times([5000, 5100, 0, 100]) == [5.0, 5.1, 5.2, 5.3]
    assert clock_times([None, None]) == [0, 0.1]
    assert clock_times([700, 600], is_timed=False) == [0, 0.1]


# A red, green, blue and black quarter, as stored and as four ways to show it.
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
SHOWN = {
    (0, 1, -1, 0): ([[BLUE, RED], [BLACK, GREEN]], 90),
    (0, -1, 1, 0): ([[GREEN, BLACK], [RED, BLUE]], 270),
    (-1, 0, 0, -1): ([[BLACK, BLUE], [GREEN, RED]], 180),
    (-1, 0, 0, 1): ([[GREEN, RED], [BLACK, BLUE]], 0),
}


@pytest.mark.parametrize("matrix", SHOWN)
def test_rotation_and_mirroring_of_phones_are_applied(tmp_path, matrix):
    image = np.array([[RED, GREEN], [BLUE, BLACK]], np.uint8).repeat(24, axis=0).repeat(32, axis=1)
    path = write_video(tmp_path / "phone.mp4", images=[image] * 3)
    set_display_matrix(path, *matrix)
    corners, degrees = SHOWN[matrix]
    source = open_source(path, max_side=32)
    shown = next(source.frames()).image
    assert shown.shape[:2] == source.size == ((32, 24) if degrees in (90, 270) else (24, 32))
    assert source.source_size == ((64, 48) if degrees in (90, 270) else (48, 64))
    height, width = source.size
    found = shown[[[height // 4], [3 * height // 4]], [[width // 4, 3 * width // 4]]]
    assert np.abs(found.astype(int) - np.array(corners)).max() < 40
    assert source.describe().rotation == degrees


def test_max_side_shrinks_and_never_enlarges(videos):
    source = open_source(videos["b_frames.mp4"], max_side=32)
    frames = list(source.frames())
    assert source.size == (24, 32) and source.source_size == (48, 64)
    assert all(frame.image.shape == (24, 32, 3) for frame in frames)
    assert [number_of(frame.image) for frame in frames] == list(range(COUNT))
    assert read(source.frames_reversed()) == read(frames)[::-1]
    assert open_source(videos["b_frames.mp4"], max_side=1000).size == (48, 64)


def test_ten_bits_keep_their_brightness(videos):
    image = next(open_source(videos["ten_bit.mkv"], start=5).frames()).image
    assert number_of(image) == 5
    assert image.max() > 240 and image.min() < 15


@pytest.mark.parametrize("size", [(1, 1), (49, 65), (1, 64)])
def test_odd_sizes_and_single_frames(tmp_path, size):
    path = write_video(tmp_path / "odd.mkv", 1, codec="ffv1", pix_fmt="yuv444p", size=size)
    source = open_source(path)
    frames = list(source.frames())
    assert [frame.image.shape for frame in frames] == [(*size, 3)]
    assert read(source.frames_reversed()) == read(frames)
    assert frames[0].timestamp == 0.0


# ---------------------------------------------------------------- damaged and unsuitable files


#: Pictures that compress badly, so that every byte matters.
NOISE = list(np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8))


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi"])
def test_truncated_video_gives_the_frames_it_has_and_a_warning(tmp_path, ending):
    options = {"movflags": "faststart"} if ending == "mp4" else {}
    # With several threads x264 may make other bytes, and a cut that falls between two packets is not noticed.
    whole = write_video(
        tmp_path / f"whole.{ending}", images=NOISE, options={"threads": "1"}, container_options=options
    )
    cut = tmp_path / f"cut.{ending}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    expected = read(open_source(whole).frames())
    source = open_source(cut)
    frames = read(source.frames())
    assert 15 <= len(frames) < 40
    assert frames[:15] == expected[:15]
    assert source.num_frames == len(frames)
    assert any("cut." in warning for warning in source.warnings)
    assert read(source.frames_reversed())[::-1][:15] == frames[:15]
    if ending == "mp4":
        assert source.warnings == [f"cut.mp4 is truncated: {len(frames)} of 40 frames could be read"]
        assert open_source(cut).describe().warnings


@pytest.mark.parametrize("flags", ["frag_keyframe+empty_moov", "faststart"])
def test_the_frames_before_a_torn_end_are_all_there(tmp_path, flags):
    """The decoder's threads would lose those that wait for their turn when the last packet is incomplete."""
    whole = write_video(
        tmp_path / "whole.mp4", images=NOISE, options={"g": "10"}, container_options={"movflags": flags}
    )
    with av.open(str(whole)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for last in (26, 27, 28):
        torn = tmp_path / f"torn{last}.mp4"
        torn.write_bytes(whole.read_bytes()[: packets[last].pos + packets[last].size // 2])
        source = open_source(torn)
        assert len(read(source.frames())) == last
        assert len(source.warnings) == 1 and f"torn{last}.mp4 is truncated: {last} " in source.warnings[0]
        info = open_source(torn).describe()
        assert info.num_frames == last and info.warnings == source.warnings


def test_whole_videos_warn_of_nothing_even_with_longer_sound(tmp_path):
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=8000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        container.mux(video.encode())
        for _ in range(40):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.rate = 8000
            container.mux(sound.encode(silence))
        container.mux(sound.encode())
    source = open_source(path)
    assert len(list(source.frames())) == 10
    assert source.warnings == []


def test_damage_in_the_middle_is_survived_and_told(tmp_path):
    path = write_video(tmp_path / "scratched.ts", images=NOISE, options={"g": "10"})
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(data) // 3, len(data) // 2, 40):
        data[place] ^= 0x55
    path.write_bytes(data)
    source = open_source(path)
    frames = list(source.frames())
    assert len(frames) > 30
    assert source.warnings == [
        "scratched.ts is damaged: some of its frames are missing or only partly restored"
    ]
    assert [frame.index for frame in source.frames_reversed()] == list(range(len(frames)))[::-1]


def test_mp4_without_its_index_is_an_input_error(tmp_path):
    whole = write_video(tmp_path / "whole.mp4", 40)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(
        InputError, match=r"^cut\.mp4 is not a video that can be read: it is damaged, incomplete"
    ):
        open_source(cut)


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4"])
@pytest.mark.parametrize("repeats", [1, 1000])
def test_text_is_not_a_video(tmp_path, name, repeats):
    (tmp_path / name).write_text("these are notes\n" * repeats)
    with pytest.raises(InputError, match=rf"^{name} is .*not a video|^{name} is not a video"):
        open_source(tmp_path / name)


def test_sound_alone_is_not_a_video(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.rate = 8000
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    with pytest.raises(InputError, match=r"^song\.m4a has no video stream, only audio$"):
        open_source(path)


def test_unknown_codec_says_how_to_convert(tmp_path):
    path = write_video(tmp_path / "odd.mp4", 3)
    data = path.read_bytes()
    place = data.rindex(b"avc1")
    path.write_bytes(data[:place] + b"zzzz" + data[place + 4 :])
    with pytest.raises(InputError, match=r"^odd\.mp4 is coded with a codec .* convert it"):
        open_source(path)


def test_frames_beyond_the_pixel_limit_are_refused(tmp_path):
    path = write_video(tmp_path / "big.mp4", 2)
    with pytest.raises(InputError, match=r"^big\.mp4 has frames of 64x48 pixels, more than"):
        open_source(path, max_pixels=64 * 48 - 1)


def test_sizes_that_change_are_scaled_to_the_first_with_one_warning(tmp_path):
    first = write_video(tmp_path / "a.ts", 10, options={"g": "5"})
    second = write_video(tmp_path / "b.ts", 10, size=(64, 96), options={"g": "5"})
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    source = open_source(joined)
    frames = list(source.frames())
    assert [number_of(frame.image) for frame in frames] == [*range(10), *range(10)]
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    times = [frame.timestamp for frame in frames]
    assert all(later > earlier for earlier, later in pairwise(times))
    assert source.warnings == [
        "the frames of joined.ts change size: frame 10 is 96x64, the first 64x48; "
        "all are scaled to the size of the first"
    ]
    assert read(source.frames_reversed()) == read(frames)[::-1]


def test_start_beyond_the_end_is_an_option_error(videos):
    with pytest.raises(OptionError, match=r"start \(40\) lies beyond the end of b_frames\.mp4, .* 40 frames"):
        open_source(videos["b_frames.mp4"], start=40)
    with pytest.raises(OptionError, match=r"beyond the end of b_frames\.mp4"):
        open_source(videos["b_frames.mp4"], start="1:00")
    with pytest.raises(OptionError, match=r"no frame of raw\.h264 .* 40 frames and ends at 1\.56 s"):
        list(open_source(videos["raw.h264"], start=99).frames())  # its header does not say how long it is


def test_description_of_a_video(videos):
    info = open_source(videos["one_group.mp4"]).describe()
    assert (info.codec, info.pixel_format, info.source_size) == ("h264", "yuv420p", (48, 64))
    assert (info.num_frames, info.fps, info.keyframe_interval) == (COUNT, pytest.approx(25), COUNT)
    assert info.duration == pytest.approx(COUNT / 25, abs=0.01)
    assert info.variable_frame_rate is False and info.live is False and info.warnings == []
    text = str(info)
    assert "one_group.mp4" in text and "64x48" in text and "25 fps" in text and "1.60 s" in text


@pytest.mark.parametrize("name", KINDS)
def test_picked_frames_are_those_of_a_full_read(videos, name):
    source = open_source(videos[name], start=2, stride=2)
    assert [(f.index, number_of(f.image)) for f in source.pick({3, 1})] == [(1, 4), (3, 8)]
    every = {frame.index: (frame.timestamp, number_of(frame.image)) for frame in source.frames()}
    for wanted in ([], [0], [1, 5, len(every) - 1], [7, len(every) + 5]):
        found = [(f.index, (f.timestamp, number_of(f.image))) for f in source.pick(wanted)]
        assert found == [(index, every[index]) for index in wanted if index in every]


def test_picking_from_a_long_file_does_not_decode_all_of_it(tmp_path):
    path = write_video(tmp_path / "long.mp4", 200, options={"g": "10", "x264-params": "scenecut=0"})
    source = open_source(path)
    assert sum(1 for _ in source.frames()) == 200
    with mock.patch.object(source, "_decode_from_start") as from_start:
        assert [number_of(frame.image) for frame in source.pick([15, 105])] == [15, 105]
    assert not from_start.called


PARTS = [(0, COUNT), (0, 7), (13, 29), (31, COUNT), (20, 21)]


@pytest.mark.parametrize("name", KINDS)
def test_parts_are_those_of_a_full_read(videos, name, tmp_path):
    source = open_source(videos[name])
    every = read(source.frames())
    write_checkpoint(tmp_path / "state", source.state_dict())
    told = open_source(videos[name])  # as in another process
    told.load_state_dict(read_checkpoint(tmp_path / "state"))
    assert told.num_frames == COUNT
    for first, last in PARTS:
        for of in (open_source(videos[name]), told):
            assert read(of.part(first, last)) == every[first:last]
            with limited(4, 9, of.size):
                assert read(of.part_reversed(first, last)) == every[first:last][::-1]


def test_parts_of_a_window(videos):
    source = open_source(videos["b_frames.mp4"], start=0.9, stride=3)
    every = read(source.frames())
    assert read(source.part(2, 4)) == every[2:4] and len(every) == 6
    assert read(source.part_reversed(2, 4)) == every[2:4][::-1]


@pytest.mark.parametrize("name", ["part", "part_reversed"])
def test_a_part_is_read_without_what_is_before_it(tmp_path, name):
    path = write_video(tmp_path / "long.mp4", 200, options={"g": "10", "x264-params": "scenecut=0"})
    source = open_source(path)
    assert sum(1 for _ in source.frames()) == 200
    with mock.patch.object(source, "_decode_from_start") as from_start:
        assert {number_of(frame.image) for frame in getattr(source, name)(105, 133)} == set(range(105, 133))
    assert not from_start.called


def test_a_part_where_a_seek_brings_other_frames_is_decoded_from_the_start(videos):
    source = open_source(videos["b_frames.mp4"])
    every = read(source.frames())
    state = source.state_dict()
    state["checksums"][25:] += 1  # what comes after the seek is believed up to here
    source.load_state_dict(state)
    assert read(source.part(12, 38)) == every[12:38]


def test_a_part_of_a_file_that_became_shorter_is_an_input_error(videos, tmp_path):
    source = open_source(videos["intra.mov"])
    assert len(read(source.frames())) == COUNT
    shorter = open_source(write_video(tmp_path / "intra.mov", 20, **KINDS["intra.mov"]))
    shorter.load_state_dict(source.state_dict())
    with pytest.raises(InputError, match="changed or became unreadable"):
        read(shorter.part(10, 30))


def test_tags_that_are_no_utf8_are_no_reason_to_refuse(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "ABCDEFGH"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in np.zeros((3, 48, 64, 3), np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert content.count(b"ABCDEFGH") == 1
    path.write_bytes(content.replace(b"ABCDEFGH", b"AB\xff\xfe\xe4FGH"))
    assert len(list(open_source(path).frames())) == 3
