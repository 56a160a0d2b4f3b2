"""Where the frames of a dataset are: names in files to paths, folders of images, sizes without decoding."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from msnvis.datasets.formats.fields import checked_size
from msnvis.io.image_file import NoImageError, open_image
from msnvis.io.image_folder import IMAGE_SUFFIXES, natural_key

#: Characters of a path; no system takes more.
_LONGEST = 4096


def posix(name: str) -> PurePosixPath:
    r"""A file name as annotation files hold it, in which Windows writes ``clip\0.jpg`` for ``clip/0.jpg``."""
    return PurePosixPath(name.replace("\\", "/"))


def frame_file(folder: Path, name: str) -> Path:
    """The file in `folder` that an annotation file names.

    Raises ValueError where it leads out of the folder: files come from strangers, and frames are copied.
    """
    if len(name) > _LONGEST:
        raise ValueError(f"a file name of {len(name)} characters")
    path = posix(name)
    if not path.name or path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\0" in name:
        raise ValueError(f"the file name '{name}' does not lie in the folder of the frames")
    return folder / path


def images_folder(file: Path, images: Path | None, first: str | None, default: str) -> Path:
    """The folder that the file names in an annotation file start from.

    Args:
        file: the annotation file.
        images: what the user says.
        first: one of the file names; the official layouts are tried with it.
        default: next to the annotation file, where no layout fits.
    """
    if images is not None:
        return images
    split = file.stem.split("_")[-1]  # annotations_train.json of OVIS, instances_val2017.json of COCO
    for base in (file.parent, file.parent.parent):
        for folder in (base / "JPEGImages", base / "images", base / split / "JPEGImages", base / split, base):
            if first is not None and os.path.isfile(folder / posix(first)):
                return folder
    return file.parent / default


def images_in(folder: Path) -> list[Path]:
    """The images in a folder, in natural order; none where there is no such folder."""
    if not folder.is_dir():
        return []
    files = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(files, key=lambda path: natural_key(path.name))


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, in natural order; none where there is no such folder."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(found, key=lambda path: natural_key(path.name))


def first_folder(candidates: Iterable[Path]) -> Path | None:
    """The first of `candidates` that exists."""
    return next((folder for folder in candidates if folder.is_dir()), None)


def frame_numbers(files: Sequence[Path]) -> dict[int, int]:
    """The last number in the name of each file -> its place.

    >>> frame_numbers([Path("frame_000010.png"), Path("frame_000020.png")])
    {10: 0, 20: 1}
    """
    numbers: dict[int, int] = {}
    for place, file in enumerate(files):
        digits = re.findall("[0-9]+", file.stem)
        if not digits or numbers.setdefault(int(digits[-1]), place) != place:
            raise ValueError(f"the name of {file} has no number of its own")
    return numbers


def image_size(file: Path) -> tuple[int, int]:
    """``(height, width)`` as the header of an image file says."""
    try:
        with open_image(file) as image:
            return checked_size(image.height, image.width)
    except NoImageError:
        raise ValueError(f"{file} is not an image") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
