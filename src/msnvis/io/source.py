"""What every readable video is: frames in order, the range asked for, and their working size."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import cv2
import numpy as np

from msnvis.errors import InputError, OptionError
from msnvis.io.info import VideoInfo
from msnvis.io.picture import BT601, Picture, i420_planes, to_i420

#: Frames a second assumed where the input does not say (folders of frames, arrays).
NOMINAL_FPS = 25.0
#: Largest frame that is read, in pixels (16384 x 8192): a hostile header must not exhaust the memory.
MAX_PIXELS = 2**27
#: Longest video that is read, in frames (4 days at 25 a second): no file shall keep a machine for ever.
MAX_FRAMES = 10**7

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video.

    Attributes:
        index: 0, 1, 2... among the frames chosen by start, end and stride.
        timestamp: seconds on the clock of a video player; strictly increasing.
        image: RGB uint8 ``(H, W, 3)``, upright, at the working size.
        gap: seconds before it for which a live source had dropped out; they are in `timestamp`.
    """

    index: int
    timestamp: float
    image: np.ndarray
    gap: float = 0.0


class FrameSource(ABC):
    """A readable video; made by `msnvis.io.readers.open_source` or `source_from_frames`.

    Attributes:
        name: file stem, folder name or for example ``camera0``.
        size: ``(height, width)`` of the upright frames at the working size; None until known.
        source_size: ``(height, width)`` of the upright frames before `max_side`; None until known.
        num_frames: frames that `frames` gives: an estimate at first, exact after a complete read, None when
            unknown.
        fps: frames a second of the input (before the stride), or None where it has no clock.
        live: a camera or an address: forward only, once.
        max_pixels: frames with more are refused.
        warnings: sentences on what was wrong with the input but could be coped with; grows while reading.
        is_torn: whether the file ends within a frame, which is left out; known after a complete read.
        label: what messages call it: the file's name with its ending, or `name`.
        offset: frames of the whole video before the first, where this is a part of one.
        cuts: frames that begin a new shot, the first one not among them; None where that is not known.
    """

    kind = "frames"

    def __init__(self, name: str, *, live: bool = False, label: str | None = None) -> None:
        self.name = name if name.strip(". ") else "video"  # of "..", folders of results would be made
        self.label = label or name
        self.live = live
        self.size: tuple[int, int] | None = None
        self.source_size: tuple[int, int] | None = None
        self.num_frames: int | None = None
        self.fps: float | None = None
        self.max_pixels = MAX_PIXELS
        self.warnings: list[str] = []
        self.is_torn = False
        self.offset = 0
        self.cuts: Sequence[int] | None = None
        self._changes_size = False

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """The frames, first to last, held one at a time; raises `InputError` where reading fails for good."""

    def frames_reversed(self) -> Iterator[Frame]:
        """The same frames with the same indices and timestamps, last first, in bounded memory."""
        raise InputError(f"{self.label} is live and can only be read forward; use the direction 'forward'")

    def part(self, first: int, last: int) -> Iterator[Frame]:
        """The frames `first` to `last` (exclusive), as `frames` gives them."""
        for frame in self.frames():
            if frame.index >= last:
                return
            if frame.index >= first:
                yield frame

    def part_reversed(self, first: int, last: int) -> Iterator[Frame]:
        """The same frames, last first."""
        for frame in self.frames_reversed():
            if frame.index < first:
                return
            if frame.index < last:
                yield frame

    def state_dict(self) -> dict[str, Any]:
        """What a complete read has taught of where the frames are, as JSON and arrays hold it.

        Given to `load_state_dict` of the same source in another process, parts are read without what is
        before them.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        return

    def stop(self) -> None:
        """End a wait for the next frame of a live source, now or later, with `KeyboardInterrupt`.

        For signal handlers; does nothing to sources that can be read again.
        """
        return

    def pictures(self) -> Iterator[Picture]:
        """The same frames in YUV 4:2:0, each valid until the next one is asked for."""
        buffer = None  # fresh memory costs more than the conversion
        for frame in self.frames():
            buffer = to_i420(frame.image, buffer)
            size, make_image = frame.image.shape[:2], partial(np.asarray, frame.image)
            yield Picture(frame.index, frame.timestamp, size, i420_planes(buffer), BT601, make_image)

    def pick(self, indices: Collection[int]) -> Iterator[Frame]:
        """The frames of these indices in ascending order; those that do not exist are left out."""
        for frame in self.frames() if indices else ():
            if frame.index in indices:
                yield frame
            if frame.index >= max(indices):
                return

    def identity(self) -> dict[str, object] | None:
        """What tells this input and the chosen frames from others, as JSON can hold it.

        None where it cannot be read again, or not be recognised: live sources and arrays.
        """
        return None

    def describe(self) -> VideoInfo:
        """What the input is as a whole: kind, coding, size, length."""
        return VideoInfo(
            name=self.label,
            kind=self.kind,
            source_size=self.source_size,
            num_frames=self.num_frames,
            fps=self.fps,
            live=self.live,
            warnings=list(self.warnings),
        )

    def warn(self, text: str) -> None:
        """Add `text` to `warnings`, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def warn_of_size(self, which: str, size: tuple[int, int], first: tuple[int, int]) -> None:
        """Say, once, that the image called `which` has another `size` ``(height, width)`` than the first."""
        if not self._changes_size:
            self._changes_size = True
            self.warn(
                f"the frames of {self.label} change size: {which} is {size[1]}x{size[0]}, the first "
                f"{first[1]}x{first[0]}; all are scaled to the size of the first"
            )


@dataclass(frozen=True)
class Window:
    """Which frames are read: every `stride`-th one from `start` (inclusive) to `end` (exclusive).

    Start and end are frame numbers of the input (int) or seconds (float). Inputs with more than `max_frames`
    frames there, or with frames of more than `max_pixels`, are refused; live ones may go on for ever.

    >>> [item for _, item in Window(start=2, end=7, stride=2).select(enumerate("abcdefgh"))]
    ['c', 'e', 'g']
    """

    start: int | float | None = None
    end: int | float | None = None
    stride: int = 1
    max_frames: int = MAX_FRAMES
    max_pixels: int = MAX_PIXELS

    @classmethod
    def parse(
        cls,
        start: int | float | str | None,
        end: int | float | str | None,
        stride: int,
        max_frames: int = MAX_FRAMES,
        max_pixels: int = MAX_PIXELS,
    ) -> Window:
        """From what a user wrote; raises `OptionError`."""
        _check_whole("the stride", stride)
        _check_whole("the most frames (max_frames)", max_frames)
        _check_whole("the most pixels of a frame (max_pixels)", max_pixels)
        if max_pixels > MAX_PIXELS:
            raise OptionError(f"max_pixels is {max_pixels}, but frames have at most {MAX_PIXELS}")
        window = cls(parse_limit("start", start), parse_limit("end", end), stride, max_frames, max_pixels)
        if type(window.start) is type(window.end) and window.start is not None and window.start >= window.end:
            raise OptionError(f"the start ({start}) must come before the end ({end})")
        if window.end == 0:
            raise OptionError(
                "the end must come after the first frame; leave it out to read to the last frame"
            )
        return window

    def is_before(self, number: int, time: float) -> bool:
        """Whether frame `number` at `time` seconds comes before the start."""
        return self.start is not None and (number if isinstance(self.start, int) else time) < self.start

    def is_after(self, number: int, time: float) -> bool:
        """Whether frame `number` at `time` seconds comes after the end."""
        return self.end is not None and (number if isinstance(self.end, int) else time) >= self.end

    def select(self, timed: Iterable[tuple[float, T]]) -> Iterator[tuple[float, T]]:
        """The chosen ones of all ``(time, item)`` of an input; stops reading at the end."""
        inside = 0
        for number, (time, item) in enumerate(timed):
            if self.is_after(number, time):
                return
            if self.is_before(number, time):
                continue
            if inside % self.stride == 0:
                yield time, item
            inside += 1

    def check_length(self, name: str, count: int) -> None:
        """Raise `InputError` where `count`, the frames chosen, are too many."""
        if count > self.max_frames:
            raise InputError(
                f"{name} has more than {self.max_frames} frames; read a part of it with --start, --end or "
                "--stride, or allow more with --max-frames (max_frames)"
            )

    def check_not_empty(self, name: str, count: int, total: int, last_time: float) -> None:
        """Raise `OptionError` where `count`, the frames chosen of `total`, is 0."""
        if count == 0 and total > 0:
            raise OptionError(
                f"no frame of {name} lies between start and end: it has {total} frames "
                f"and ends at {last_time:.2f} s"
            )


def parse_limit(option: str, value: int | float | str | None) -> int | float | None:
    """A start or end: a frame number (int) or seconds (float).

    >>> parse_limit("start", "250"), parse_limit("start", "12.5s"), parse_limit("start", "1:02.5")
    (250, 12.5, 62.5)
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = _parse_text(option, value.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise _bad_limit(option, value)
    return value


def _check_whole(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"{what} must be a whole number from 1 on, not {value!r}")


def _parse_text(option: str, text: str) -> int | float:
    if re.fullmatch(r"[0-9]+", text):
        return int(text)
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?s|[0-9]*\.[0-9]+", text):
        return float(text.removesuffix("s"))
    if re.fullmatch(r"([0-9]+:)?[0-9]{1,2}:[0-9]{1,2}(\.[0-9]*)?", text):
        seconds = 0.0
        for part in text.split(":"):
            seconds = 60 * seconds + float(part)
        return seconds
    raise _bad_limit(option, text)


def _bad_limit(option: str, value: object) -> OptionError:
    return OptionError(
        f"the {option} {value!r} is neither a frame number (250) nor a time ('12.5s', '1:02.5', '01:00:00')"
    )


def working_size(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """``(height, width)`` after shrinking so that the longer side is at most `max_side`; never enlarges.

    >>> working_size((720, 1280), 640)
    (360, 640)
    """
    if max_side is None or max(size) <= max_side:
        return size
    scale = max_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def check_max_side(max_side: int | None) -> None:
    """Raise `OptionError` unless `max_side` is None or a positive whole number."""
    if max_side is not None and (isinstance(max_side, bool) or not isinstance(max_side, int) or max_side < 1):
        raise OptionError(f"the longest side of a frame must be a whole number from 1 on, not {max_side!r}")


def check_pixels(name: str, size: tuple[int, int], most: int = MAX_PIXELS) -> None:
    """Raise `InputError` where a frame of `size` ``(height, width)`` has more than `most` pixels."""
    if size[0] * size[1] > most:
        raise InputError(
            f"{name} has frames of {size[1]}x{size[0]} pixels, more than the {most / 1e6:.4g} million "
            "that are read; scale it down first, for example with ffmpeg"
        )


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`image` stretched to `size` ``(height, width)``, averaging where it shrinks; itself where it fits."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = image.shape[0] * image.shape[1] > size[0] * size[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
