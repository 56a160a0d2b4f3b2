"""Datasets of different classes made alike: every class carried over to those of a label space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from msnvis.datasets.coco import class_labels, exhaustive_names, vouched_labels
from msnvis.datasets.labels import LabelSpace
from msnvis.datasets.video import AnnotatedVideo, VideoDataset

#: Classes that a sentence about what was left out names.
_MOST_NAMED = 10


def map_labels(dataset: VideoDataset, target: LabelSpace) -> tuple[VideoDataset, Counter[str]]:
    """Carry a dataset over to the classes of `target`, see `class_map`.

    Tracks of classes without a counterpart are left out. A class of `target` that nothing in the dataset
    stands for is unlabelled there, which `AnnotatedVideo.exhaustive` then says.

    Returns:
        The dataset, with classes and ids of `target`, and how many tracks of which class were left out.

    >>> from msnvis.datasets.labels import label_space
    >>> mapped, dropped = map_labels(VideoDataset(("cow", "cup"), (21, 47)), label_space("ytvis2021"))
    >>> len(mapped.classes), dropped
    (40, Counter())
    """
    labels = class_labels(dataset.classes, target)
    dropped = Counter(
        dataset.classes[track.label]
        for video in dataset.videos
        for track in video.tracks
        if dataset.classes[track.label] not in labels
    )
    videos = [_mapped(video, dataset, labels, target) for video in dataset.videos]
    return replace(dataset, classes=target.classes, category_ids=target.ids, videos=videos), dropped


def dropped_sentence(dropped: Mapping[str, int], target: LabelSpace, what: str) -> str:
    """What was left out, the most frequent first.

    >>> from msnvis.datasets.labels import label_space
    >>> dropped_sentence({"cup": 1, "chair": 4}, label_space("ytvis2021"), "tracks")
    'left out 5 tracks of 2 classes that ytvis2021 does not have: chair 4, cup 1'
    """
    ordered = Counter(dropped).most_common()
    named = [f"{name} {count}" for name, count in ordered[:_MOST_NAMED]]
    if len(ordered) > _MOST_NAMED:
        named.append("...")
    of = f"{sum(dropped.values())} {what} of {len(ordered)} classes"
    return f"left out {of} that {target.name} does not have: {', '.join(named)}"


def _mapped(
    video: AnnotatedVideo, dataset: VideoDataset, labels: Mapping[str, int], target: LabelSpace
) -> AnnotatedVideo:
    names = [dataset.classes[track.label] for track in video.tracks]
    kept = [(track, labels[name]) for track, name in zip(video.tracks, names, strict=True) if name in labels]
    vouched = vouched_labels(exhaustive_names(video.exhaustive, dataset.classes), labels)
    whole = len(vouched) == len(target.classes)
    return replace(
        video,
        tracks=tuple(replace(track, label=label) for track, label in kept),
        exhaustive="all" if whole else ",".join(target.classes[label] for label in sorted(vouched)),
    )
