"""Cameras and network addresses: forward only, once."""

from __future__ import annotations

import contextlib
import itertools
import time
from abc import abstractmethod
from collections.abc import Iterator

import cv2
import numpy as np

from msnvis.errors import InputError
from msnvis.io.decoding import Clock, Upright, decode, open_container, video_stream
from msnvis.io.names import file_name
from msnvis.io.source import NOMINAL_FPS, Frame, FrameSource, Window, fit, working_size

#: Seconds to wait for an address: to connect, and for each read.
TIMEOUT_SECONDS = 10.0


class LiveSource(FrameSource):
    """A source opened at once, whose frames can be had only once."""

    def __init__(self, name: str, window: Window) -> None:
        super().__init__(name, live=True)
        self.max_pixels = window.max_pixels
        self._window = window
        self._used = False

    def frames(self) -> Iterator[Frame]:
        if self._used:
            raise InputError(f"{self.name} is live and was read already; open it again")
        self._used = True
        index = -1
        try:
            for index, (seconds, image) in enumerate(self._window.select(self._images())):
                yield Frame(index, seconds, image)
            self.num_frames = index + 1
        finally:
            self._close()

    @abstractmethod
    def _images(self) -> Iterator[tuple[float, np.ndarray]]:
        """Seconds since the first frame, and images at the working size."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the device or connection."""


class Camera(LiveSource):
    """A camera by its number, through OpenCV; raises `InputError` where it gives no picture."""

    kind = "camera"

    def __init__(self, number: int, window: Window, max_side: int | None) -> None:
        super().__init__(f"camera{number}", window)
        with _quiet_opencv():
            self._capture = cv2.VideoCapture(number)
        self._first = self._read()
        if self._first is None:
            self._capture.release()
            raise InputError(
                f"camera {number} cannot be opened; is it connected, free and permitted to be used?"
            )
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or None
        self.source_size = self._first.shape[:2]
        self.size = working_size(self.source_size, max_side)

    def _read(self) -> np.ndarray | None:
        ok, image = self._capture.read()
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if ok else None

    def _images(self) -> Iterator[tuple[float, np.ndarray]]:
        start, image = time.monotonic(), self._first
        while image is not None:
            yield time.monotonic() - start, fit(image, self.size)
            image = self._read()

    def _close(self) -> None:
        self._capture.release()


class NetworkStream(LiveSource):
    """An ``rtsp://`` or ``http(s)://`` address through PyAV; raises `InputError` where it gives nothing."""

    kind = "network stream"

    def __init__(self, address: str, window: Window, max_side: int | None) -> None:
        super().__init__(_short(address), window)
        self._container = open_container(address, self.name, TIMEOUT_SECONDS)
        try:
            stream = video_stream(self._container, self.name, self.max_pixels)
            self._decoded = decode(self._container, stream, self)
            first = next(self._decoded, None)
            if first is None:
                raise InputError(f"{self.name} ended before its first frame")
        except InputError:
            self._close()
            raise
        rate = stream.average_rate or stream.guessed_rate
        self.fps = float(rate) if rate else None
        self._first = first
        self._upright = Upright(self, first, max_side)

    def _images(self) -> Iterator[tuple[float, np.ndarray]]:
        first = self._first
        origin = 0.0 if first.pts is None else float(first.pts * first.time_base)
        clock = Clock(origin, self.fps or NOMINAL_FPS)
        try:
            for number, frame in enumerate(itertools.chain([first], self._decoded)):
                yield clock.tick(frame), self._upright.image(frame, number)
        except InputError as error:  # what was computed so far stays
            self.warn(f"{self.name} broke off: {error}")

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


def _short(address: str) -> str:
    """A name for messages and files: the last part of the address without query and password."""
    path = address.split("://", 1)[-1].split("?", 1)[0].rstrip("/").rsplit("@", 1)[-1]
    return file_name(path.rsplit("/", 1)[-1], "stream")
