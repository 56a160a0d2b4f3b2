"""Reading ahead in a thread: the same items, the same errors, never far ahead, nothing left behind."""

from __future__ import annotations

import threading

import pytest
from video_makers import SIZE, read, write_video

from msnvis.errors import InputError
from msnvis.io import video_file
from msnvis.io.ahead import ahead
from msnvis.io.readers import open_source


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.mark.parametrize("length", [0, 1, 3, 4, 50])
def test_the_items_are_the_same(length):
    assert list(ahead(iter(range(length)))) == list(range(length))
    assert threads() == []


def test_an_error_comes_at_its_place():
    def items():
        yield from "ab"
        raise InputError("the disk was pulled out")

    taken = []
    with pytest.raises(InputError, match="pulled out"):
        for item in ahead(items()):
            taken.append(item)
    assert taken == ["a", "b"]
    assert threads() == []


def test_it_is_never_further_ahead_than_allowed():
    made = []

    def items():
        for number in range(40):
            made.append(number)
            yield number

    for number in ahead(items(), depth=3):
        assert len(made) <= number + 1 + 3
    assert len(made) == 40


def test_what_nobody_asks_for_is_not_begun():
    def items():
        raise AssertionError("nobody has asked")
        yield

    iterator = ahead(items())
    assert threads() == []
    iterator.close()


def test_closing_ends_the_thread_and_closes_the_items():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    iterator = ahead(items())
    assert next(iterator) == 1
    assert len(threads()) == 1
    iterator.close()
    assert closed.is_set()
    assert threads() == []


def test_a_file_read_in_several_places_at_once(tmp_path):
    path = write_video(tmp_path / "a.mp4", 60, options={"g": "7"})
    source = open_source(path)
    forward, backward = read(source.frames()), read(source.frames_reversed())
    both = list(zip(source.frames(), source.frames_reversed(), source.pictures(), strict=True))
    assert read(frame for frame, _, _ in both) == forward
    assert read(frame for _, frame, _ in both) == backward == forward[::-1]
    assert [(picture.index, picture.image.tobytes()) for _, _, picture in both] == [
        (index, pixels) for index, _, pixels in forward
    ]


def watched(monkeypatch, memory_frames):
    """Lets so many frames of a chunk wait; gives a list of how many waited after each that was added."""
    stacks, counts = [], []

    class Watched(video_file._Stack):
        def push(self, frame, number):
            stacks.append(self)
            super().push(frame, number)
            counts.append(sum(len(stack._waiting) for stack in set(stacks)))

    monkeypatch.setattr(video_file, "_Stack", Watched)
    monkeypatch.setattr(video_file, "MEMORY_BYTES", memory_frames * SIZE[0] * SIZE[1] * 3 // 2)
    return counts


@pytest.mark.parametrize("memory_frames", [1, 5, 12])
def test_no_more_than_two_chunks_wait(memory_frames, tmp_path, monkeypatch):
    source = open_source(write_video(tmp_path / "a.mp4", 60, options={"g": "6"}))
    forward = read(source.frames())
    counts = watched(monkeypatch, memory_frames)
    assert read(source.frames_reversed()) == forward[::-1]
    assert len(counts) == 60
    assert max(counts) <= 2 * memory_frames


@pytest.mark.parametrize("memory_frames", [1, 5, 12])
@pytest.mark.parametrize("taken", [1, 7])
def test_a_backward_pass_that_is_given_up_leaves_no_thread(taken, memory_frames, tmp_path, monkeypatch):
    source = open_source(write_video(tmp_path / "a.mp4", 60, options={"g": "6"}))
    watched(monkeypatch, memory_frames)
    frames = source.frames_reversed()
    assert [next(frames).index for _ in range(taken)] == list(range(59, 59 - taken, -1))
    frames.close()
    assert threads() == []


def test_a_file_that_goes_away_is_told_by_the_same_error(tmp_path):
    path = write_video(tmp_path / "a.mp4", 40, options={"g": "5"})
    source = open_source(path)
    read(source.frames())
    path.unlink()
    with pytest.raises(InputError, match=r"a\.mp4 cannot be opened"):
        list(source.frames_reversed())
    assert threads() == []


@pytest.mark.parametrize("taken", [1, 7])
def test_a_forward_pass_that_is_given_up_leaves_no_thread(taken, tmp_path):
    frames = open_source(write_video(tmp_path / "a.mp4", 40)).frames()
    assert [next(frames).index for _ in range(taken)] == list(range(taken))
    frames.close()
    assert threads() == []


def test_one_decoder_serves_all_chunks_of_a_backward_pass(tmp_path, monkeypatch):
    source = open_source(write_video(tmp_path / "a.mp4", 60, options={"g": "5"}))
    forward = read(source.frames())
    watched(monkeypatch, memory_frames=5)
    opened = []
    monkeypatch.setattr(source, "_open", lambda open_=source._open: opened.append(1) or open_())
    assert read(source.frames_reversed()) == forward[::-1]
    assert len(opened) == 1
