"""What the writers share: names of folders and files, and frames that are linked or copied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from msnvis.datasets.formats.base import Frames
from msnvis.datasets.video import AnnotatedVideo
from msnvis.errors import InputError
from msnvis.io.atomic import told
from msnvis.io.names import file_name

#: The head of the files that we write.
INFO = {"description": "written by msnvis", "version": "1"}


def video_names(videos: Sequence[AnnotatedVideo]) -> list[str]:
    """A folder name for each video: its own, made fit for a file system and unique.

    >>> first = AnnotatedVideo(1, "clip", (4, 6), ())
    >>> video_names([first, first, AnnotatedVideo(3, "../x", (4, 6), ())])
    ['clip', 'clip-2', '.._x']
    """
    taken: set[str] = set()
    names = []
    for video in videos:
        base = file_name(video.name, f"video{video.id}")
        name, number = base, 1
        while name.lower() in taken:  # some file systems do not tell capitals apart
            number += 1
            name = f"{base}-{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def file_names(videos: Sequence[AnnotatedVideo]) -> list[list[str]]:
    """``VIDEO/FRAME`` for each frame of each video; frames get numbers where two are called the same."""
    return [
        [f"{name}/{frame}" for frame in _frame_names(video)]
        for video, name in zip(videos, video_names(videos), strict=True)
    ]


def image_names(videos: Sequence[AnnotatedVideo]) -> list[list[str]]:
    """``VIDEO.jpg`` for the only frame of each video."""
    return [
        [f"{name}{video.frames[0].suffix}"] for video, name in zip(videos, video_names(videos), strict=True)
    ]


def place_frames(
    videos: Sequence[AnnotatedVideo], names: Sequence[Sequence[str]], folder: Path, frames: Frames
) -> None:
    """Link or copy the frames of each video to its file names in `folder`."""
    if frames == "none":
        return
    for video, files in zip(videos, names, strict=True):
        with told(folder):
            (folder / files[0]).parent.mkdir(parents=True, exist_ok=True)
        for source, file in zip(video.frames, files, strict=True):
            _place(source, folder / file, frames)


def _frame_names(video: AnnotatedVideo) -> list[str]:
    names = [frame.name for frame in video.frames]
    if len({name.lower() for name in names}) == len(names):
        return names
    return [f"{index:05d}{frame.suffix}" for index, frame in enumerate(video.frames)]


def _place(source: Path, target: Path, frames: Frames) -> None:
    if not os.path.isfile(source):
        raise InputError(f"{source} is missing; name the folder of the frames")
    with told(target):
        if frames == "link":
            target.symlink_to(source.resolve())
        else:
            shutil.copyfile(source, target)
