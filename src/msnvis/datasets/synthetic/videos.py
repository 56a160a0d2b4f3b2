"""Synthetic videos one after the other, in memory or as a stream of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from msnvis.datasets.synthetic.options import SynthOptions
from msnvis.datasets.synthetic.render import render
from msnvis.datasets.synthetic.scene import draw_scene
from msnvis.datasets.synthetic.sources import MAX_BACKGROUND_OBJECTS, Sources, read_sources
from msnvis.datasets.video import AnnotatedTrack, AnnotatedVideo
from msnvis.masks import RLE


@dataclass(frozen=True)
class TrackSource:
    """Where an object came from.

    Attributes:
        image_id: of the COCO file.
        annotation_id: likewise.
        standing: belongs to the background photograph and moves with the camera only.
        mirrored: left and right were exchanged.
    """

    image_id: int
    annotation_id: int
    standing: bool
    mirrored: bool


@dataclass(frozen=True, eq=False)
class SyntheticVideo(AnnotatedVideo):
    """An `AnnotatedVideo` whose frames are in memory; `frames` are the names that `write_dataset` gives them.

    Attributes:
        pixels: ``(T, H, W, 3)`` uint8 RGB.
        background_id: image id of the background.
        sources: track id -> where it came from.
    """

    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0, 3), np.uint8), repr=False)
    background_id: int = 0
    sources: dict[int, TrackSource] = field(default_factory=dict)

    def image(self, index: int) -> np.ndarray:
        """One frame, ``(H, W, 3)`` uint8 RGB."""
        return self.pixels[index]


class VideoStream:
    """One video while it is made: first all of `frames`, then `tracks`. Memory does not grow with its length.

    Args:
        sources: what it is made of.
        options: how.
        index: which of the videos, from 0.
    """

    def __init__(self, sources: Sources, options: SynthOptions, index: int) -> None:
        self.name = video_name(index)
        self._scene = draw_scene(sources, options, index)
        self.background_id = self._scene.background.id
        objects = len(self._scene.standing) + len(self._scene.moving)
        # Room for the most that any video can hold makes the ids unique, whichever videos are made.
        first = index * (MAX_BACKGROUND_OBJECTS + options.objects[1]) + 1
        self._ids = range(first, first + objects)
        self._masks: list[dict[int, RLE]] = [{} for _ in range(objects)]

    def frames(self) -> Iterator[np.ndarray]:
        """The finished frames, ``(H, W, 3)`` uint8 RGB."""
        return self._scene.degradation.compress(self._rendered())

    def _rendered(self) -> Iterator[np.ndarray]:
        for time, (frame, masks) in enumerate(render(self._scene)):
            for known, mask in zip(self._masks, masks, strict=True):
                if mask is not None:
                    known[time] = mask
            yield frame

    @property
    def tracks(self) -> tuple[AnnotatedTrack, ...]:
        """Objects that were seen at least once; complete when `frames` is exhausted."""
        scene = self._scene
        annotations = [o.annotation for o in scene.standing] + [o.source.annotation for o in scene.moving]
        return tuple(
            AnnotatedTrack(track_id, annotation.label, rles)
            for track_id, annotation, rles in zip(self._ids, annotations, self._masks, strict=True)
            if rles
        )

    @property
    def sources(self) -> dict[int, TrackSource]:
        """Track id -> where it came from."""
        scene = self._scene
        standing = [TrackSource(self.background_id, o.annotation.id, True, False) for o in scene.standing]
        moving = [
            TrackSource(o.source.image.id, o.source.annotation.id, False, o.mirrored) for o in scene.moving
        ]
        return dict(zip(self._ids, standing + moving, strict=True))


class SyntheticVideos:
    """The videos of a dataset, made when they are asked for: iterate, or take one by its index.

    Args:
        annotations: a COCO json with masks; see `read_coco` for partial labels.
        images: the folder of its photographs.
        options: what to make.

    Raises:
        InputError: the file is broken, or nothing in it can be used.

    >>> videos = SyntheticVideos("coco.json", "photos", SynthOptions(videos=8))  # doctest: +SKIP
    >>> videos[3].pixels.shape, len(videos[3].tracks)  # doctest: +SKIP
    ((32, 270, 480, 3), 5)
    """

    def __init__(
        self, annotations: str | Path, images: str | Path, options: SynthOptions | None = None
    ) -> None:
        self.options = options or SynthOptions()
        self._sources = read_sources(Path(annotations), Path(images), self.options)
        self.classes, self.category_ids = self._sources.classes, self._sources.category_ids

    def __len__(self) -> int:
        return self.options.videos

    def __getitem__(self, index: int) -> SyntheticVideo:
        if not 0 <= index < len(self):
            raise IndexError(f"video {index} of {len(self)}")
        stream = VideoStream(self._sources, self.options, index)
        pixels = np.stack(list(stream.frames()))
        tracks = stream.tracks
        return SyntheticVideo(
            id=index + 1,
            name=stream.name,
            size=self.options.size,
            frames=tuple(Path(name) for name in frame_names(stream.name, self.options.frames)),
            tracks=tracks,
            pixels=pixels,
            background_id=stream.background_id,
            sources={track.id: stream.sources[track.id] for track in tracks},
        )

    def __iter__(self) -> Iterator[SyntheticVideo]:
        return (self[index] for index in range(len(self)))


def video_name(index: int) -> str:
    return f"synthetic_{index:06d}"


def frame_names(video: str, frames: int) -> list[str]:
    """As YouTube-VIS has them in ``file_names``."""
    return [f"{video}/{index:05d}.jpg" for index in range(frames)]
