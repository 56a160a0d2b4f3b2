"""Opening image files of strangers: only formats that are decoded here, and only sizes that fit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from msnvis.errors import InputError
from msnvis.masks import MAX_PIXELS

#: Whatever their names end with, files are taken for these alone. Pillow knows many more: it hands EPS to
#: Ghostscript, a program of its own, and its readers of rare formats are not made for hostile files. JPEG
#: includes MPO, which some cameras write.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")


class NoImageError(ValueError):
    """A file is not an image of one of `FORMATS`."""


class LargeImageError(ValueError):
    """An image has more pixels than are read."""


@contextmanager
def open_image(file: Path | BinaryIO, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open an image; only its header has been read when the block begins.

    Raises:
        NoImageError: see there.
        LargeImageError: it has more than `max_pixels`.
        ValueError: it is damaged, which the block may find, too.
        OSError: the file system says so.

    >>> import io
    >>> try:
    ...     with open_image(io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0")): pass
    ... except NoImageError: print("refused")
    refused
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `max_pixels` decides
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise LargeImageError(
                        f"an image of {image.width}x{image.height} pixels; at most {max_pixels} are read"
                    )
                yield image
    except UnidentifiedImageError:
        raise NoImageError("it is not an image") from None
    except Image.DecompressionBombError:
        raise LargeImageError(f"an image of more than the {max_pixels} pixels that are read") from None
    except MemoryError:
        raise ValueError("it is damaged: it claims a part of gigabytes") from None
    except (SyntaxError, EOFError, IndexError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"it is damaged ({error})") from None  # what Pillow raises beside OSError


def read_bgr(file: Path) -> np.ndarray | None:
    """``(H, W, 3)`` uint8, upright, in the order of OpenCV; None where it is missing or not a whole image.

    Raises:
        InputError: it has more than `MAX_PIXELS`.
    """
    try:
        with open_image(file):  # OpenCV would take the memory for what a header says, up to 3 GB
            pass
        return cv2.imread(str(file), cv2.IMREAD_COLOR)
    except LargeImageError as error:
        raise InputError(f"{file} is {error}; scale it down first") from None
    except (OSError, ValueError, cv2.error):
        return None
