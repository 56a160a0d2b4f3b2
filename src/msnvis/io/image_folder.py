"""Folders and globs of frames, and single images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from msnvis.errors import InputError
from msnvis.io.identity import files_identity
from msnvis.io.image_file import LargeImageError, NoImageError, open_image
from msnvis.io.source import MAX_PIXELS, NOMINAL_FPS, Frame, FrameSource, Window, fit, working_size

#: File name endings read as images; GIF is read as a video.
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
#: Left by an earlier run that wrote into the folder of the frames: no frame where there are others.
RESULT = "summary.png"


class ImageFolder(FrameSource):
    """Image files in order; frame k is always the k-th file.

    The first image gives the size and others are scaled to it with a warning. In place of a file that cannot
    be read stands the frame before it (the next readable one at the start), with a warning, so that frame
    numbers keep matching the files. Raises `InputError` where none can be read.
    """

    kind = "image files"

    def __init__(self, name: str, files: Sequence[Path], window: Window, max_side: int | None) -> None:
        super().__init__(name)
        timed = ((number / NOMINAL_FPS, number) for number in range(len(files)))
        chosen = list(window.select(timed))
        window.check_not_empty(name, len(chosen), len(files), (len(files) - 1) / NOMINAL_FPS)
        window.check_length(name, len(chosen))
        self.max_pixels = window.max_pixels
        self._files = files
        self._chosen = chosen
        self.num_frames = len(chosen)
        first = self._first_readable()
        self.source_size = (first.shape[0], first.shape[1])
        self.size = working_size(self.source_size, max_side)

    def identity(self) -> dict[str, object]:
        files = [self._files[number] for _, number in self._chosen]
        return {"name": self.name, **files_identity(files)}

    def frames(self) -> Iterator[Frame]:
        return self.part(0, len(self._chosen))

    def frames_reversed(self) -> Iterator[Frame]:
        return self.part_reversed(0, len(self._chosen))

    def part(self, first: int, last: int) -> Iterator[Frame]:
        latest = None
        for index in range(first, last):
            time, number = self._chosen[index]
            image = self._image(number)
            if image is None:
                image = self._neighbour(index) if latest is None else latest
            latest = image
            yield Frame(index, time, image)

    def part_reversed(self, first: int, last: int) -> Iterator[Frame]:
        for index in reversed(range(first, last)):
            time, number = self._chosen[index]
            image = self._image(number)
            yield Frame(index, time, self._neighbour(index) if image is None else image)

    def _image(self, number: int) -> np.ndarray | None:
        """File `number` at the working size; None, with a warning, where it cannot be read."""
        file = self._files[number]
        try:
            image = read_image(file, self.max_pixels)
        except InputError as error:
            self.warn(f"frame {number}: {error}; a frame next to it stands in")
            return None
        if image.shape[:2] != self.source_size:
            self.warn_of_size(f"{file.name} (frame {number})", image.shape[:2], self.source_size)
        return fit(image, self.size)

    def _neighbour(self, index: int) -> np.ndarray:
        """The stand-in for the unreadable frame `index`."""
        order = [*reversed(range(index)), *range(index + 1, len(self._chosen))]
        for other in order:
            image = self._image(self._chosen[other][1])
            if image is not None:
                return image
        raise InputError(f"no frame of {self.name} can be read any more")

    def _first_readable(self) -> np.ndarray:
        for _, number in self._chosen:
            try:
                return read_image(self._files[number], self.max_pixels)
            except InputError as error:
                problem = error
        if len(self._chosen) == 1:
            raise problem
        raise InputError(
            f"not one of the {len(self._chosen)} images of {self.name} can be read, the last: {problem}"
        )


def read_image(file: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """RGB uint8 ``(H, W, 3)``, upright as its EXIF tag says; raises `InputError`."""
    try:
        with open_image(file, max_pixels) as image:
            return _to_rgb(ImageOps.exif_transpose(image))
    except NoImageError as error:
        raise InputError(f"{file.name} is not an image") from error
    except LargeImageError as error:
        raise InputError(f"{file.name} is {error}; scale it down first") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{file.name} cannot be read as an image ({error})") from error


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits of grey: Pillow's conversion would clip at 255
        grey = (np.asarray(image).clip(0, 65535) // 256).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts numbers inside names by value.

    >>> sorted(["f10.png", "f9.png", "f1.png"], key=natural_key)
    ['f1.png', 'f9.png', 'f10.png']
    """
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def find_images(name: str, candidates: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The frames among `candidates` in natural order, and warnings; raises `InputError` where there are none.

    Only one kind of file is taken, the most frequent: photographs and their masks often share a folder.
    """
    images = [p for p in candidates if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    images = [image for image in images if image.name != RESULT] or images
    if not images:
        endings = " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{name} holds no images that can be read as frames ({endings})")
    kinds = Counter(_kind(image) for image in images).most_common()
    frames = sorted((i for i in images if _kind(i) == kinds[0][0]), key=lambda image: natural_key(str(image)))
    notes = _gaps(name, frames)
    if len(kinds) > 1:
        others = ", ".join(f"{count} {kind}" for kind, count in kinds[1:])
        notes.append(
            f"{name} holds files of several kinds; the {kinds[0][1]} {kinds[0][0]} are read, not {others}"
        )
    return frames, notes


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    return {".jpeg": ".jpg", ".jpe": ".jpg", ".tiff": ".tif"}.get(suffix, suffix)


def _gaps(name: str, frames: Sequence[Path]) -> list[str]:
    """A warning where the last numbers in the names do not go up in equal steps."""
    numbers = [re.findall(r"[0-9]+", frame.stem)[-1:] for frame in frames]
    if len(frames) < 3 or not all(numbers):
        return []
    steps = [int(after[0]) - int(before[0]) for before, after in pairwise(numbers)]
    usual = Counter(steps).most_common(1)[0][0]
    gaps = [place for place, step in enumerate(steps) if step > usual]
    if not gaps:
        return []
    before, after = frames[gaps[0]].name, frames[gaps[0] + 1].name
    count = "a gap" if len(gaps) == 1 else f"{len(gaps)} gaps"
    return [
        f"the frame numbers of {name} have {count}, first between {before} and {after}; gaps are skipped over"
    ]
