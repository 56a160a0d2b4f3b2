"""A live source that is recorded while it is read."""

import numpy as np
import pytest
import squares

from msnvis.errors import InputError
from msnvis.io.readers import source_from_frames
from msnvis.io.recording import Recording


def live(images, fps=10):
    return source_from_frames(iter(images), name="camera", fps=fps)


def test_the_replay_shows_what_was_read(tmp_path):
    images = squares.frames(8)
    recording = Recording(live(images), tmp_path / "live.mp4")
    assert recording.live
    seen = list(recording.frames())
    assert all(np.array_equal(frame.image, image) for frame, image in zip(seen, images, strict=True))
    replay = recording.replay()
    assert (replay.name, replay.live) == ("camera", False)
    again = list(replay.frames())
    assert [frame.index for frame in again] == list(range(8))
    assert [frame.timestamp for frame in again] == pytest.approx(
        [frame.timestamp for frame in seen], abs=1e-3
    )
    for frame, image in zip(again, images, strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 6


def test_what_was_read_before_the_reader_gave_up_is_there(tmp_path):
    recording = Recording(live(squares.frames(30)), tmp_path / "live.mp4")
    for frame in recording.frames():
        if frame.index == 4:
            break
    assert len(list(recording.replay().frames())) == 5


def test_what_was_read_before_an_interruption_is_there(tmp_path):
    def images():
        yield from squares.frames(5)
        raise KeyboardInterrupt

    recording = Recording(live(images()), tmp_path / "live.mp4")
    with pytest.raises(KeyboardInterrupt):
        list(recording.frames())
    assert len(list(recording.replay().frames())) == 5


def test_nothing_recorded(tmp_path):
    with pytest.raises(InputError):
        Recording(live(squares.frames(3)), tmp_path / "live.mp4").replay()


def test_it_cannot_be_read_backward(tmp_path):
    with pytest.raises(InputError, match="forward"):
        Recording(live(squares.frames(3)), tmp_path / "live.mp4").frames_reversed()
