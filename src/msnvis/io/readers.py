"""Opening whatever a user calls a video: file, folder, glob, image, camera, address, arrays."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from msnvis.errors import InputError
from msnvis.io.addresses import common_folder, is_camera, is_network
from msnvis.io.arrays import FrameArrays
from msnvis.io.image_folder import IMAGE_SUFFIXES, ImageFolder, find_images
from msnvis.io.live import BACKOFF_SECONDS, RECONNECT_SECONDS, Camera, NetworkStream, Patience
from msnvis.io.source import MAX_FRAMES, MAX_PIXELS, NOMINAL_FPS, Frame, FrameSource, Window, check_max_side
from msnvis.io.video_file import VideoFile

__all__ = [
    "MAX_FRAMES",
    "MAX_PIXELS",
    "NOMINAL_FPS",
    "Frame",
    "FrameSource",
    "open_source",
    "source_from_frames",
]


def open_source(
    path_or_address: str | os.PathLike[str] | int,
    *,
    start: int | float | str | None = None,
    end: int | float | str | None = None,
    stride: int = 1,
    max_side: int | None = None,
    max_frames: int = MAX_FRAMES,
    max_pixels: int = MAX_PIXELS,
    reconnect: float = RECONNECT_SECONDS,
    backoff: float = BACKOFF_SECONDS,
) -> FrameSource:
    """Open a video for reading.

    Args:
        path_or_address: a video file, an image, a folder or glob of frames, a camera number (``0`` or
            ``"0"``), or an ``rtsp://``, ``http://`` or ``https://`` address.
        start: first frame: its number (``250`` or ``"250"``, counted from 0 in the input) or its time
            (``12.5``, ``"12.5s"``, ``"1:02.5"``, ``"01:00:00"``). Folders count 25 frames a second. A time is
            found by seeking; a number by decoding from the first frame on.
        end: the frame after the last, likewise.
        stride: read every `stride`-th frame.
        max_side: shrink frames so that their longer side is at most this many pixels.
        max_frames: refuse inputs that would give more frames, as soon as that is known; not live ones.
        max_pixels: refuse inputs whose frames have more pixels; at most 2^27.
        reconnect: seconds for which a camera or address that drops out is tried again; 0 is never.
        backoff: seconds before the first attempt, doubled for each further one up to 10 s.

    Raises:
        InputError: it does not exist, cannot be read, or is longer or larger than allowed.
        OptionError: `start`, `end`, `stride` or a limit makes no sense, or no frame lies between start and
            end.

    >>> source = open_source("street.mp4", start="2s", stride=2, max_side=640)  # doctest: +SKIP
    >>> for frame in source.frames(): print(frame.index, frame.timestamp, frame.image.shape)  # doctest: +SKIP
    """
    window = Window.parse(start, end, stride, max_frames, max_pixels)
    check_max_side(max_side)
    patience = Patience(reconnect, backoff)
    text = str(path_or_address)
    if is_network(text):
        return NetworkStream(text, window, max_side, patience)
    path = Path(text)
    if is_camera(text):
        return Camera(int(text), window, max_side, patience)
    if path.is_dir():
        return _open_images(path.resolve().name, list(path.iterdir()), window, max_side)
    if not path.exists() and glob.has_magic(text):
        return _open_glob(text, window, max_side)
    _check_file(path)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return ImageFolder(path.stem, [path], window, max_side)
    return VideoFile(path, window, max_side)


def source_from_frames(
    frames: Iterable[np.ndarray], name: str = "frames", fps: float | None = None
) -> FrameSource:
    """A source of arrays.

    Args:
        frames: RGB uint8 ``(H, W, 3)``: a list or ``(T, H, W, 3)`` array (read in both directions), or any
            iterator, which is taken as live: forward only, once.
        name: for messages and results.
        fps: frames a second; timestamps assume 25 without it.

    >>> source = source_from_frames(np.zeros((2, 4, 6, 3), np.uint8), fps=10)
    >>> [(frame.index, frame.timestamp) for frame in source.frames_reversed()]
    [(1, 0.1), (0, 0.0)]
    """
    return FrameArrays(frames, name, fps)


def _check_file(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path} does not exist; check the name and the folder")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is an empty file; copy or download it again")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} may not be read; check its permissions")


def _open_images(name: str, candidates: list[Path], window: Window, max_side: int | None) -> ImageFolder:
    frames, notes = find_images(name, candidates)
    source = ImageFolder(name, frames, window, max_side)
    source.warnings[:0] = notes
    return source


def _open_glob(pattern: str, window: Window, max_side: int | None) -> FrameSource:
    matches = [Path(match) for match in glob.glob(pattern, recursive=True)]
    if not matches:
        raise InputError(f"no file matches {pattern}; check the pattern and the folder")
    return _open_images(common_folder(matches).name, matches, window, max_side)
