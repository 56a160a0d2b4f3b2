"""The contract of a dataset format, how formats are found by name, and reading and writing through them."""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

from msnvis.datasets.labels import LabelSpace
from msnvis.datasets.mapping import map_labels
from msnvis.datasets.problems import DatasetError, Problems
from msnvis.datasets.video import AnnotatedVideo, VideoDataset
from msnvis.errors import InputError, OptionError, OutputError
from msnvis.io.atomic import replacing
from msnvis.registry import Registry

#: What becomes of the frames when a dataset is written: only their names, links to them, or copies.
Frames = Literal["none", "link", "copy"]


class DatasetFormat(ABC):
    """Reads annotated video of one format, and writes it where `writes` is true."""

    writes = False

    @abstractmethod
    def read(self, path: Path, images: Path | None, problems: Problems) -> VideoDataset:
        """Read everything that is in order.

        Args:
            path: of the file or folder, which exists.
            images: folder of the frames; None is where the format usually has them.
            problems: takes what is wrong with entries, which are then left out.

        Raises `InputError` when nothing at all can be read.
        """

    def write(self, dataset: VideoDataset, folder: Path, frames: Frames) -> None:
        """Write to the empty `folder`; raises `OutputError`, or `OptionError` where `writes` is false."""
        raise OptionError("datasets of this format are only read; write ytvis or coco")


dataset_formats: Registry[DatasetFormat] = Registry("dataset format")


def read_dataset(
    path: str | os.PathLike[str],
    format: str,
    *,
    images: str | os.PathLike[str] | None = None,
    need_frames: bool = False,
    lenient: bool = False,
) -> VideoDataset:
    """Read annotated video. Masks are checked and kept as RLE; frames stay in their files.

    Args:
        path: the annotation file or the folder of the dataset.
        format: its format, a name in `dataset_formats`.
        images: the folder of the frames, where it is not the usual one of the format.
        need_frames: whether a missing frame is a problem, too.
        lenient: leave out entries with problems, and say in `VideoDataset.problems` which and why.

    Raises:
        UnknownPartError: there is no such format.
        InputError: the file is missing or not of this format.
        DatasetError: entries are bad, and `lenient` is not set; an `InputError` with a list of all of them.

    >>> dataset = read_dataset("train/instances.json", "ytvis")  # doctest: +SKIP
    >>> for video in dataset.videos: print(video.name, video.size, len(video.tracks))  # doctest: +SKIP
    """
    path, problems = Path(path), Problems()
    reader = dataset_formats.create(format)
    if not path.exists():
        raise InputError(f"{path} does not exist; check the path")
    if images is not None and not Path(images).is_dir():
        raise InputError(f"{images} is not a folder; give the one that holds the frames")
    dataset = reader.read(path, None if images is None else Path(images), problems)
    if need_frames:
        videos = [video for video in dataset.videos if _has_frames(video, path, problems)]
        dataset = dataclasses.replace(dataset, videos=videos)
    if problems.found and not lenient:
        raise DatasetError(path, problems.found)
    return dataclasses.replace(dataset, problems=tuple(problems.found))


def write_dataset(
    dataset: VideoDataset, output: str | os.PathLike[str], format: str, *, frames: Frames = "none"
) -> None:
    """Write annotated video to a new folder, which appears at once when it is complete.

    Args:
        dataset: what to write.
        output: the folder; it may exist if it is empty.
        format: a name in `dataset_formats` that can be written: ``ytvis``, ``coco``.
        frames: ``copy`` or ``link`` (symbolic links) puts the frames there, too; ``none`` only names them.

    Raises:
        UnknownPartError: there is no such format.
        OptionError: the format can only be read.
        InputError: a frame to copy or link is missing.
        OutputError: the folder is not empty or cannot be written.
    """
    writer, folder = _writer(format, frames), Path(output).resolve()
    _check_new(folder)
    with replacing(folder) as temporary:
        temporary.mkdir()
        writer.write(dataset, temporary, frames)


def convert_dataset(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    source: str,
    target: str,
    images: str | os.PathLike[str] | None = None,
    frames: Frames = "none",
    labels: LabelSpace | None = None,
    lenient: bool = False,
) -> tuple[VideoDataset, Counter[str]]:
    """Read a dataset in the format `source` and write it in the format `target`.

    Classes are carried over to `labels`, if that is given, by `map_labels`. The other arguments, and what is
    raised, are those of `read_dataset` and `write_dataset`.

    Returns:
        What was written, and how many tracks of which class `labels` had no place for.

    >>> convert_dataset("DAVIS", "davis-as-ytvis", source="davis", target="ytvis")  # doctest: +SKIP
    """
    _writer(target, frames)  # before hours of reading
    _check_new(Path(output))
    dataset = read_dataset(path, source, images=images, need_frames=frames != "none", lenient=lenient)
    dropped: Counter[str] = Counter()
    if labels:
        dataset, dropped = map_labels(dataset, labels)
    write_dataset(dataset, output, target, frames=frames)
    return dataset, dropped


def _writer(format: str, frames: str) -> DatasetFormat:
    writer = dataset_formats.create(format)
    if frames not in get_args(Frames):
        raise OptionError(f"frames are {', '.join(get_args(Frames))}, not '{frames}'")
    if not writer.writes:
        raise OptionError(f"datasets are not written as '{format}', only read; write ytvis or coco")
    return writer


def _check_new(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError(f"{folder} exists and is not an empty folder; choose another one")


def _has_frames(video: AnnotatedVideo, path: Path, problems: Problems) -> bool:
    missing = [frame for frame in video.frames if not os.path.isfile(frame)]
    if missing:
        count = f"{len(missing)} of its {video.num_frames} frames are missing"
        text = f"{count}, first {missing[0]}; name their folder with --images (images=...)"
        problems.add(path, f"video {video.id} '{video.name}'", text, "video")
    return not missing
