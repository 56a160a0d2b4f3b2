"""The contract of a writer, which puts results into a file or folder, and how writers are found by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from msnvis.io.source import FrameSource
from msnvis.io.summary import KeepingThumbnails
from msnvis.registry import Registry
from msnvis.structures import VideoInstances


class Writer(ABC):
    """Writes one format. `filename` is what it makes in the results folder."""

    filename: ClassVar[str]

    @abstractmethod
    def write(self, instances: VideoInstances, source: FrameSource, path: Path) -> None:
        """Write to `path`, at once when complete: see `msnvis.io.atomic.replacing`.

        Args:
            instances: the results, masks of the working size.
            source: the video that they belong to.
            path: of the file or folder, which may exist; its folder may not.

        Raises `OutputError` when the file system refuses or the format cannot hold the results.
        """


formats: Registry[Writer] = Registry("format")


def original_size(instances: VideoInstances, source: FrameSource) -> tuple[int, int]:
    """``(height, width)`` of the frames in the input: annotations fit these, not the working size."""
    return source.source_size or instances.size


def write_results(
    instances: VideoInstances, source: FrameSource, folder: Path, names: Sequence[str]
) -> list[Path]:
    """Write results in each of the formats `names` to `folder`, which is made when it does not exist.

    Masks are scaled to the size of the input, but the overlay has the working size. A file or folder of that
    name is replaced at once when the new one is complete.

    Args:
        instances: the results.
        source: the video that they belong to; the overlay reads it once more.
        folder: for the results.
        names: of `formats`: ``ytvis``, ``coco``, ``png``, ``mots``, ``overlay``, ``summary``.

    Returns:
        What was written, in the order of `names`.

    Raises `UnknownPartError` before anything is written, `OutputError` when the file system refuses or a
    format cannot hold the results.
    """
    writers = [formats.create(name) for name in dict.fromkeys(names)]
    paths = [Path(folder) / writer.filename for writer in writers]
    if {"overlay", "summary"} <= set(names):
        source = KeepingThumbnails(source, instances)
    for writer, path in zip(writers, paths, strict=True):
        writer.write(instances, source, path)
    return paths
