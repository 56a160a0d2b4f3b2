"""Live sources that drop out: a local web server breaks connections off, a stand-in for OpenCV the camera."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import threading
import time
from typing import ClassVar

import cv2
import numpy as np
import pytest
from dropping import dropping_server
from video_makers import number_of, numbered, write_video

from msnvis.errors import InputError, OptionError
from msnvis.io.readers import open_source


@pytest.fixture
def serve():
    """Starts a server as `dropping_server` does; gives it and the address."""
    with contextlib.ExitStack() as servers:
        yield lambda *arguments, **options: servers.enter_context(dropping_server(*arguments, **options))


@pytest.fixture
def clip(tmp_path):
    """Makes the bytes of a clip of these numbers, 25 a second; its clock begins at `since` seconds."""
    count = itertools.count()

    def make(numbers, size=(48, 64), since=0.0):
        path = tmp_path / f"{next(count)}.ts"
        images = [numbered(number, size) for number in numbers]
        pts = [int(1000 * since) + 40 * place for place in range(len(images))]
        return write_video(path, images=images, pts=pts, options={"g": "5", "bf": "0"}).read_bytes()

    return make


def read(source):
    frames = list(source.frames())
    return [number_of(frame.image) for frame in frames], frames


def test_a_stream_that_drops_and_comes_back_goes_on_after_a_marked_gap(serve, clip):
    server, address = serve([clip(range(10)), None, None, clip(range(100, 110), since=7)])
    source = open_source(address, reconnect=60, backoff=0.05)
    frames = list(itertools.islice(source.frames(), 20))
    assert [number_of(frame.image) for frame in frames] == [*range(10), *range(100, 110)]
    assert [frame.index for frame in frames] == list(range(20))
    times = np.array([frame.timestamp for frame in frames])
    steps = np.diff(times)
    assert np.delete(steps, 9) == pytest.approx(np.full(18, 0.04), abs=1e-3)
    # Three pauses of 0.05, 0.1 and 0.2 s lie before the connection that works.
    assert 0.35 <= steps[9] < 0.35 + server.requests[3] - server.requests[0]
    gaps = {frame.index: frame.gap for frame in frames if frame.gap}
    assert gaps == {10: pytest.approx(steps[9])}
    assert source.warnings == [f"street.ts dropped out before frame 10: {gaps[10]:.2f} s are missing"]
    pauses = np.diff(server.requests)
    assert (pauses[:3] >= [0.05, 0.1, 0.2]).all()


def test_a_stream_that_never_comes_back_ends_with_what_there_is(serve, clip):
    server, address = serve([clip(range(10))])
    source = open_source(address, reconnect=0.3, backoff=0.05)
    server.shutdown()
    server.socket.close()  # nobody listens any more
    began = time.monotonic()
    numbers, _ = read(source)
    assert numbers == list(range(10)) and source.num_frames == 10
    assert time.monotonic() - began >= 0.3
    [warning] = source.warnings
    assert warning.startswith("street.ts broke off after frame 9: street.ts cannot be opened")


def test_nobody_asks_again_where_reconnecting_is_off(serve, clip):
    server, address = serve([clip(range(10)), clip(range(10, 20))])
    numbers, _ = read(open_source(address, reconnect=0))
    assert numbers == list(range(10)) and len(server.requests) == 1


def test_frames_of_another_size_after_the_gap_are_scaled_to_the_first(serve, clip):
    _, address = serve([clip(range(10)), clip(range(20, 25), size=(96, 128))])
    source = open_source(address, reconnect=0.2, backoff=0.02)
    numbers, frames = read(source)
    assert numbers == [*range(10), *range(20, 25)]
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert any("128x96" in warning for warning in source.warnings)


def test_frames_that_are_too_large_after_the_gap_are_refused(serve, clip):
    _, address = serve([clip(range(10)), clip(range(20, 25), size=(96, 128))])
    source = open_source(address, reconnect=0.2, backoff=0.02, max_pixels=48 * 64)
    assert read(source)[0] == list(range(10))
    assert len(source.warnings) == 1


def test_a_recording_that_breaks_off_is_read_on_without_a_gap(serve, clip):
    whole = clip(range(30))
    _, address = serve([whole[: len(whole) // 2], whole[: len(whole) * 3 // 4], whole], length=len(whole))
    source = open_source(address, backoff=0.02)
    numbers, frames = read(source)
    assert numbers == list(range(30))
    assert [frame.timestamp for frame in frames] == pytest.approx(np.arange(30) / 25, abs=1e-3)
    assert not any(frame.gap for frame in frames)


def test_a_recording_without_a_length_ends_once(serve, clip):
    whole = clip(range(30))
    server, address = serve(itertools.repeat(whole))
    source = open_source(address, backoff=0.02)
    assert read(source)[0] == list(range(30))
    assert len(server.requests) == 2


def test_a_stream_of_jpegs_has_the_clock_on_the_wall(serve):
    def pictures(numbers):
        for number in numbers:
            jpeg = cv2.imencode(".jpg", numbered(number))[1].tobytes()
            yield b"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg
            yield b"\r\n"

    kind = "multipart/x-mixed-replace; boundary=cut"
    answers = [b"".join(pictures(numbers)) for numbers in (range(10), range(10), range(20, 30))]
    _, address = serve(answers, kind=kind)
    source = open_source(address, reconnect=0.2, backoff=0.05)
    began = time.monotonic()
    numbers, frames = read(source)
    assert numbers == [*range(10), *range(10), *range(20, 30)]
    times = [frame.timestamp for frame in frames]
    assert (np.diff(times) > 0).all() and times[-1] < time.monotonic() - began
    assert [frame.index for frame in frames if frame.gap >= 0.05] == [10, 20]


def test_gaps_of_frames_left_out_count_for_the_next_one(serve, clip):
    _, address = serve([clip(range(10)), clip(range(20, 30)), clip(range(30, 40))])
    source = open_source(address, start=5, stride=4, reconnect=0.2, backoff=0.05)
    numbers, frames = read(source)
    assert numbers == [5, 9, 23, 27, 31, 35, 39]
    assert [frame.index for frame in frames if frame.gap] == [2, 4]


def test_a_start_behind_the_end_of_a_stream_is_told(serve, clip):
    _, address = serve([clip(range(10))])
    source = open_source(address, start=10, reconnect=0)
    with pytest.raises(OptionError, match=r"^no frame of street\.ts lies between start and end: it has 10 "):
        read(source)


@pytest.mark.parametrize("options", [{"reconnect": -1}, {"reconnect": float("nan")}, {"backoff": 0}])
def test_patience_that_makes_no_sense(options):
    with pytest.raises(OptionError):
        open_source("http://127.0.0.1:9/street.ts", **options)


def test_stop_ends_the_wait_for_a_connection_at_once(serve, clip):
    server, address = serve([clip(range(10))])
    source = open_source(address, reconnect=600, backoff=300)
    frames = source.frames()
    assert [number_of(next(frames).image) for _ in range(10)] == list(range(10))
    threading.Timer(0.2, source.stop).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        next(frames)
    assert time.monotonic() - began < 60 and len(server.requests) == 1


def test_stop_ends_the_wait_for_a_silent_address_at_once(monkeypatch, clip):
    monkeypatch.setattr("msnvis.io.live.TIMEOUT_SECONDS", 100.0)
    data = clip(range(100))
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def answer():
            kept.append(server.accept()[0])
            kept[0].recv(10000)
            kept[0].sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + data)  # and keeps silent

        threading.Thread(target=answer, daemon=True).start()
        opened = []
        address = f"http://127.0.0.1:{server.getsockname()[1]}/street.ts"
        opener = threading.Thread(target=lambda: opened.append(open_source(address)), daemon=True)
        opener.start()
        opener.join(timeout=30)
        frames = opened[0].frames()
        threading.Timer(0.3, opened[0].stop).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            for _ in frames:
                pass
        assert time.monotonic() - began < 60
        kept[0].close()


def test_ctrl_c_ends_the_wait_for_the_first_answer_at_once(monkeypatch):
    monkeypatch.setattr("msnvis.io.live.TIMEOUT_SECONDS", 100.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        kept = []

        def press():
            kept.append(silent.accept()[0])
            kept[0].recv(10000)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=press, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            open_source(f"http://127.0.0.1:{silent.getsockname()[1]}/street.ts")
        assert time.monotonic() - began < 60
        kept[0].close()


class FlakyCapture:
    """What `cv2.VideoCapture` is to a camera that can be pulled out: each opening gives the next pictures."""

    openings: ClassVar[list[list[np.ndarray]]] = []

    def __init__(self, number: int) -> None:
        self.pictures = list(type(self).openings.pop(0)) if type(self).openings else []

    def read(self):
        return (
            (True, cv2.cvtColor(self.pictures.pop(0), cv2.COLOR_RGB2BGR)) if self.pictures else (False, None)
        )

    def get(self, _: int) -> float:
        return 25.0

    def release(self) -> None:
        self.pictures = []


def test_a_camera_that_is_pulled_out_and_put_back(monkeypatch):
    first, second = ([numbered(number) for number in numbers] for numbers in (range(5), range(50, 55)))
    large = [numbered(number, (96, 128)) for number in range(60, 62)]
    monkeypatch.setattr(FlakyCapture, "openings", [first, [], second, large])
    monkeypatch.setattr(cv2, "VideoCapture", FlakyCapture)
    source = open_source(7, reconnect=1, backoff=0.05)
    numbers, frames = read(source)
    assert numbers == [*range(5), *range(50, 55), 60, 61]
    times = [frame.timestamp for frame in frames]
    assert times[0] == 0 and (np.diff(times) > 0).all()
    gaps = {frame.index: frame.gap for frame in frames if frame.gap}
    assert list(gaps) == [5, 10] and gaps[5] >= 0.15 and gaps[10] >= 0.05
    assert gaps[5] == pytest.approx(times[5] - times[4])
    assert {frame.image.shape for frame in frames} == {(48, 64, 3)}
    assert source.warnings[-1].startswith("camera7 broke off after frame 11: camera 7 cannot be opened")


def test_a_camera_that_gives_nothing_after_its_first_picture_breaks_off(monkeypatch):
    monkeypatch.setattr(FlakyCapture, "openings", [[numbered(3)]])
    monkeypatch.setattr(cv2, "VideoCapture", FlakyCapture)
    source = open_source(7, reconnect=0)
    assert read(source)[0] == [3]
    assert source.warnings == ["camera7 broke off after frame 0: camera 7 gives no more pictures"]
    with pytest.raises(InputError, match="was read already"):
        read(source)
