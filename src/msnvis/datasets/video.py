"""What every reader of annotated video gives and every writer and consumer takes: `VideoDataset`.

Masks stay run-length encoded and frames stay in their files until asked for, so a dataset of any size fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from msnvis.datasets.problems import Problem
from msnvis.errors import InputError
from msnvis.io.image_file import read_bgr
from msnvis.masks import RLE
from msnvis.structures import UNNAMED_CATEGORY, Track, VideoInstances

#: Frames a second of datasets that do not say: YouTube-VIS is annotated at 6 (every fifth frame of 30).
DEFAULT_FPS = 6.0


@dataclass(frozen=True, slots=True)
class AnnotatedTrack:
    """One object of a video as annotated.

    Attributes:
        id: unique within the dataset.
        label: index into the classes of the dataset.
        rles: frame index -> mask; frames in which the object is not visible are absent. Formats with a file
            for each mask may read it each time it is asked for, and raise `InputError` where that fails.
        crowd: stands for a group of objects, not one.
    """

    id: int
    label: int
    rles: Mapping[int, RLE]
    crowd: bool = False


@dataclass(frozen=True)
class AnnotatedVideo:
    """One video of a dataset.

    Attributes:
        id: unique within the dataset.
        name: of its folder of frames, as a rule.
        size: ``(height, width)`` in pixels of frames and masks.
        frames: files of the frames in order; they are not opened before `images`.
        tracks: the objects.
        fps: frames a second, as far as known.
        exhaustive: classes of which every object is annotated: ``all``, or names with commas between; empty
            for none. Training on it must not take what is not annotated for background.
    """

    id: int
    name: str
    size: tuple[int, int]
    frames: tuple[Path, ...]
    tracks: tuple[AnnotatedTrack, ...] = ()
    fps: float = DEFAULT_FPS
    exhaustive: str = "all"

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    def images(self) -> Iterator[np.ndarray]:
        """Each frame, ``(H, W, 3)`` uint8 RGB.

        Raises:
            InputError: a frame is missing, unreadable or of another size than annotated.
        """
        for index in range(self.num_frames):
            yield self.image(index)

    def image(self, index: int) -> np.ndarray:
        """One frame, see `images`."""
        path = self.frames[index]
        bgr = read_bgr(path)
        if bgr is None:
            raise InputError(f"{path}, frame {index} of video '{self.name}', is missing or not an image")
        if bgr.shape[:2] != self.size:
            raise InputError(
                f"{path} is {bgr.shape[1]}x{bgr.shape[0]} but video '{self.name}' is annotated as "
                f"{self.size[1]}x{self.size[0]}"
            )
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


@dataclass(frozen=True)
class VideoDataset:
    """Videos with objects of known classes.

    Attributes:
        classes: K names.
        category_ids: K numbers by which files name the classes.
        videos: in the order of the file or folder.
        problems: why entries were left out, where the dataset was read leniently.

    >>> dataset = VideoDataset(("cat",), (7,), [AnnotatedVideo(1, "clip", (4, 6), (Path("clip/0.jpg"),))])
    >>> dataset.instances(dataset.videos[0]).num_frames
    1
    """

    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    videos: list[AnnotatedVideo] = field(default_factory=list)
    problems: tuple[Problem, ...] = field(default=(), compare=False)

    def instances(self, video: AnnotatedVideo) -> VideoInstances:
        """The annotation of `video` as if it were a perfect result: every score is 1.

        Category ids are numbered anew where one is 0, which in results stands for objects without a name.
        """
        return VideoInstances(
            name=video.name,
            size=video.size,
            timestamps=np.arange(video.num_frames) / video.fps,
            classes=self.classes,
            tracks=[
                Track(t.id, t.label, 1.0, dict(t.rles), dict.fromkeys(t.rles, 1.0)) for t in video.tracks
            ],
            category_ids=() if UNNAMED_CATEGORY in self.category_ids else self.category_ids,
        )

    def summary(self) -> str:
        """For example ``2 videos of 60 frames, 5 tracks with 130 masks, 40 classes``."""
        tracks = [track for video in self.videos for track in video.tracks]
        return (
            f"{len(self.videos)} videos of {sum(video.num_frames for video in self.videos)} frames, "
            f"{len(tracks)} tracks with {sum(len(track.rles) for track in tracks)} masks, "
            f"{len(self.classes)} classes"
        )
