"""Cameras and network addresses: forward only, once, across drop-outs."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
import zlib
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from msnvis.errors import InputError, OptionError
from msnvis.io.addresses import network_name
from msnvis.io.decoding import Clock, Upright, decode, open_container, video_stream
from msnvis.io.source import NOMINAL_FPS, Frame, FrameSource, Window, fit, working_size
from msnvis.io.waiting import Waiter, interruptible

#: Seconds to wait for an address: to connect, and for each read.
TIMEOUT_SECONDS = 10.0
#: Seconds for which a camera or address that dropped out is tried again: most cameras restart within.
RECONNECT_SECONDS = 60.0
#: Seconds before the first attempt to reconnect, doubled for each further one.
BACKOFF_SECONDS = 0.5
#: Longest pause between two attempts in seconds.
_LONGEST_PAUSE = 10.0
#: Formats without timestamps that only live sources have: their frames are of the moment they arrive.
_UNTIMED_FORMATS = {"mpjpeg"}
#: Gaps that are warned of one by one: a camera that flickers for a week must not fill the memory.
_MOST_WARNINGS = 20


@dataclass(frozen=True)
class Patience:
    """How long a live source that dropped out is tried again.

    Attributes:
        seconds: no attempt begins later than so many seconds after the drop-out; 0 is none at all.
        backoff: seconds before the first attempt, doubled for each further one up to 10 s.

    Raises `OptionError` where a value makes no sense.
    """

    seconds: float = RECONNECT_SECONDS
    backoff: float = BACKOFF_SECONDS

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise OptionError(
                f"reconnecting for {self.seconds} s (--reconnect) makes no sense; give seconds, 0 is never"
            )
        if not (math.isfinite(self.backoff) and self.backoff > 0):
            raise OptionError(f"the first pause before reconnecting must be above 0 s, not {self.backoff}")

    def pauses(self) -> Iterator[float]:
        """Seconds to wait before each attempt, until the time is used up, from the first one asked for on."""
        end, pause = time.monotonic() + self.seconds, self.backoff
        while (left := end - time.monotonic()) > 0:
            yield min(pause, left)
            pause = min(2 * pause, _LONGEST_PAUSE)


class LiveSource(FrameSource):
    """A source opened at once, whose frames can be had only once.

    Where it drops out, it is opened again: timestamps go on by the wall clock, and the frame after the gap
    has its length.
    """

    def __init__(self, name: str, window: Window, patience: Patience) -> None:
        super().__init__(name, live=True)
        self.max_pixels = window.max_pixels
        self._window = window
        self._patience = patience
        self._used = False
        self._waiter = Waiter()
        self._read, self._time = 0, 0.0  # frames read, and the time of the latest
        self._gap, self._gaps = 0.0, 0  # seconds missing before the next one, and gaps so far
        self._has_end = False  # what is sent is known to have an end, and this is no drop-out
        self._repeats = False  # it was sent from its beginning again, and is read on from where it was

    def frames(self) -> Iterator[Frame]:
        if self._used:
            raise InputError(f"{self.name} is live and was read already; open it again")
        self._used = True
        index = -1
        try:
            for index, (seconds, image) in enumerate(self._window.select(self._images())):
                yield Frame(index, seconds, image, self._take_gap(index))
            self.num_frames = index + 1
        finally:
            self._waiter.close(self._close)
        self._window.check_not_empty(self.name, index + 1, self._read, self._time)

    def stop(self) -> None:
        self._waiter.stop()

    def _images(self) -> Iterator[tuple[float, np.ndarray]]:
        """Seconds since the first frame, and images at the working size."""
        start, offset = time.monotonic(), None
        while True:
            asked = time.monotonic()
            item, problem = self._attempt()
            if item is None:
                item = self._reconnected(problem)
                if item is None:
                    return
                if not self._repeats:
                    now = time.monotonic()
                    # Of a source that is read more slowly than it sends, the wall clock knows best.
                    after = max(self._time + now - asked, now - start)
                    self._gap += after - self._time
                    offset = after - item[0]
            if offset is None:
                offset = -item[0]
            self._time = item[0] + offset
            self._read += 1
            yield self._time, item[1]

    def _attempt(self) -> tuple[tuple[float, np.ndarray] | None, str | None]:
        """The next frame of this connection, or None and what went wrong, or None and None at its end."""
        try:
            return self._waiter.call(self._next), None
        except InputError as error:
            return None, str(error)

    def _reconnected(self, problem: str | None) -> tuple[float, np.ndarray] | None:
        """The first frame after the drop-out, or None where the source has ended, for good."""
        if problem is None and self._has_end:
            return None
        for pause in self._patience.pauses():
            self._waiter.call(self._close)
            self._waiter.sleep(pause)
            try:
                self._waiter.call(self._open)
            except InputError as error:
                problem = str(error)
                continue
            item, again = self._attempt()
            if item is not None:
                return item
            if self._repeats:  # it ends at the same place again
                problem = again and problem
                break
        if problem is not None:  # what was computed so far stays
            self.warn(f"{self.name} broke off after frame {self._read - 1}: {problem}")
        return None

    def _take_gap(self, index: int) -> float:
        """Seconds missing before frame `index`, with a warning; before the first one there is no gap."""
        gap, self._gap = (self._gap if index else 0.0), 0.0
        if gap:
            self._gaps += 1
            if self._gaps <= _MOST_WARNINGS:
                self.warn(f"{self.name} dropped out before frame {index}: {gap:.2f} s are missing")
            elif self._gaps == _MOST_WARNINGS + 1:
                self.warn(f"{self.name} goes on dropping out; the results hold all gaps")
        return gap

    @abstractmethod
    def _open(self) -> None:
        """Connect anew; raises `InputError`."""

    @abstractmethod
    def _next(self) -> tuple[float, np.ndarray] | None:
        """Seconds on the clock of this connection, and an image at the working size; None at its end."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the device or connection, if there is one."""


class Camera(LiveSource):
    """A camera by its number, through OpenCV; raises `InputError` where it gives no picture."""

    kind = "camera"

    def __init__(self, number: int, window: Window, max_side: int | None, patience: Patience) -> None:
        super().__init__(f"camera{number}", window, patience)
        self._number = number
        self._open()
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or None
        self.source_size = self._first.shape[:2]
        self.size = working_size(self.source_size, max_side)

    def _open(self) -> None:
        with _quiet_opencv():
            self._capture = cv2.VideoCapture(self._number)
        self._first = self._shot()
        if self._first is None:
            self._capture.release()
            raise InputError(
                f"camera {self._number} cannot be opened; is it connected, free and permitted to be used?"
            )

    def _shot(self) -> np.ndarray | None:
        ok, image = self._capture.read()
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if ok else None

    def _next(self) -> tuple[float, np.ndarray] | None:
        image, self._first = self._shot() if self._first is None else self._first, None
        if image is None:
            raise InputError(f"camera {self._number} gives no more pictures")
        if image.shape[:2] != self.source_size:
            self.warn_of_size(f"frame {self._read}", image.shape[:2], self.source_size)
        return time.monotonic(), fit(image, self.size)

    def _close(self) -> None:
        self._capture.release()


class NetworkStream(LiveSource):
    """An ``rtsp://`` or ``http(s)://`` address through PyAV; raises `InputError` where it gives nothing.

    What begins with the same frame after a drop-out is a recording and read on from where it was.
    """

    kind = "network stream"

    def __init__(self, address: str, window: Window, max_side: int | None, patience: Patience) -> None:
        super().__init__(network_name(address), window, patience)
        self._address = address
        self._beginning: object = None
        self._passed = -math.inf  # seconds on the clock of the connection
        interruptible(self._open)
        try:
            self._upright = Upright(self, self._first, max_side)
        except InputError:
            self._close()
            raise

    def _open(self) -> None:
        self._container = open_container(self._address, self.name, TIMEOUT_SECONDS)
        try:
            stream = video_stream(self._container, self.name, self.max_pixels)
            decoded = decode(self._container, stream, self, after_seek=self._read > 0)
            first = next(decoded, None)
            if first is None:
                raise InputError(f"{self.name} ended before its first frame")
        except InputError:
            self._close()
            raise
        self._first, self._decoded = first, itertools.chain([first], decoded)
        # Where nobody knows, PyAV before 19 says a negative size, later None.
        self._has_end = bool(self._container.duration) or (self._container.size or 0) > 0
        beginning = (first.pts, zlib.crc32(first.to_ndarray(format="gray")))
        self._is_untimed = self._container.format.name in _UNTIMED_FORMATS
        self._repeats = beginning == self._beginning and not self._is_untimed
        self._beginning = beginning
        if not self._repeats:
            self._passed = -math.inf
        rate = stream.average_rate or stream.guessed_rate
        self.fps = self.fps or (float(rate) if rate else None)
        origin = 0.0 if first.pts is None else float(first.pts * first.time_base)
        self._clock = Clock(origin, self.fps or NOMINAL_FPS)

    def _next(self) -> tuple[float, np.ndarray] | None:
        for frame in self._decoded:
            seconds = time.monotonic() if self._is_untimed else self._clock.tick(frame)
            if seconds > self._passed:
                self._passed = seconds
                return seconds, self._upright.image(frame, self._read)
        return None

    def _close(self) -> None:
        self._container.close()


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    """OpenCV tries several drivers and complains of each on the terminal; the error raised says enough."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
