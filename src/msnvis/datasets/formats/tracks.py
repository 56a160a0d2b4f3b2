"""Masks that come one at a time, joined to tracks."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from msnvis.datasets.video import AnnotatedTrack, AnnotatedVideo
from msnvis.masks import RLE


class TrackBuilder:
    """Collects masks by video and by whatever a format knows a track by.

    >>> builder = TrackBuilder()
    >>> builder.add(1, "left", 0, 0, {"size": [1, 1], "counts": b"01"})
    >>> builder.add(1, "right", 0, 0, {"size": [1, 1], "counts": b"01"})
    >>> [track.id for track in builder.assign([AnnotatedVideo(1, "clip", (1, 1), ())])[0].tracks]
    [1, 2]
    """

    def __init__(self) -> None:
        self._tracks: dict[int, dict[Hashable, AnnotatedTrack]] = {}

    def add(
        self, video_id: int, key: Hashable, label: int, index: int, rle: RLE, *, crowd: bool = False
    ) -> None:
        """Add the mask of the track `key` in frame `index`; ValueError where it contradicts earlier ones."""
        tracks = self._tracks.setdefault(video_id, {})
        track = tracks.setdefault(key, AnnotatedTrack(0, label, {}, crowd))
        if track.label != label:
            raise ValueError(f"track {key} has another class in an earlier frame")
        if index in track.rles:
            raise ValueError(f"track {key} already has a mask in this frame")
        track.rles[index] = rle

    def assign(self, videos: list[AnnotatedVideo]) -> list[AnnotatedVideo]:
        """The videos with their tracks; keys become ids if they are numbers, each of one track only."""
        keys = [key for video in videos for key in self._tracks.get(video.id, ())]
        kept = len(set(keys)) == len(keys) and all(type(key) is int and key > 0 for key in keys)
        number = 0
        assigned = []
        for video in videos:
            tracks = []
            for key, track in self._tracks.get(video.id, {}).items():
                number += 1
                tracks.append(replace(track, id=key if kept else number))
            assigned.append(replace(video, tracks=tuple(tracks)))
        return assigned
