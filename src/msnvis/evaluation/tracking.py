"""HOTA, IDF1 and CLEAR MOT on mask IoU, computed by the library `trackers`, whose numbers are TrackEval's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from msnvis.errors import MissingExtraError
from msnvis.evaluation.frames import FrameOverlap, PairedVideos, VideoTracks, frame_overlaps, pair_videos
from msnvis.evaluation.ground_truth import Annotations
from msnvis.evaluation.results import Results
from msnvis.evaluation.tables import text_table

#: What is reported. HOTA and its parts are means over 19 thresholds of the IoU, .05 to .95 (Luiten et al.,
#: IJCV 2020). Identity (Ristani et al., 2016) and CLEAR (Bernardin and Stiefelhagen, 2008) are at 0.5.
MEASURES = ("HOTA", "DetA", "AssA", "LocA", "IDF1", "IDP", "IDR", "MOTA", "MOTP", "IDSW", "Frag")
#: Of these the numbers of events; the others are shares.
EVENTS = ("IDSW", "Frag")

#: The three groups of measures in the library.
_GROUPS = ("hota", "identity", "clear")
#: What the library gives for one video and class, a dict for each group.
_Measured = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class TrackingReport:
    """The measures of `MEASURES` by name.

    Attributes:
        mean: over the categories that have an object or a track; events are summed.
        pooled: of all categories together, each mask counting the same.
        per_category: of each category that has an object or a track, by name.
    """

    mean: dict[str, float]
    pooled: dict[str, float]
    per_category: dict[str, dict[str, float]]

    def table(self) -> str:
        """A row for each category and two for all; percentages, but numbers of events."""
        rows = {**self.per_category, "mean of classes": self.mean, "all masks": self.pooled}
        return text_table(
            ["", *MEASURES],
            [
                [name, *(round(row[key]) if key in EVENTS else row[key] for key in MEASURES)]
                for name, row in rows.items()
            ],
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it."""
        return {"mean": self.mean, "pooled": self.pooled, "per_category": self.per_category}

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def evaluate_tracking(
    results: Results,
    annotations: Annotations,
    *,
    class_agnostic: bool = False,
    score_threshold: float = 0.0,
) -> TrackingReport:
    """Measure detection, association and identity of the tracks, class by class, on the IoU of masks.

    Args:
        results: see `evaluate`.
        annotations: see `evaluate`. Crowds are objects like others, as in TrackEval.
        class_agnostic: take all objects and tracks for one class.
        score_threshold: tracks with a lower score are left out; every one that is left counts.

    Raises:
        InputError: as `evaluate` does.
        MissingExtraError: without the package `trackers`.
    """
    _functions("compute")  # it says so before the files are read if the library is missing
    return measure_tracking(
        pair_videos(results, annotations, class_agnostic=class_agnostic, score_threshold=score_threshold)
    )


def measure_tracking(paired: PairedVideos) -> TrackingReport:
    """As `evaluate_tracking`, of videos that were read before; raises `MissingExtraError` as it does."""
    measures = _functions("compute")
    measured: list[list[_Measured]] = [[] for _ in paired.classes]
    for video in paired.videos:
        overlaps = list(frame_overlaps(video))
        for label in sorted({item.label for item in (*video.objects, *video.tracks)}):
            frames = _of_label(video, overlaps, label)
            measured[label].append(tuple(measure(*frames) for measure in measures))
    of_class = zip(paired.classes, measured, strict=True)
    per_category = {name: _combine(values) for name, values in of_class if values}
    rows = list(per_category.values())
    mean = {
        name: (np.sum if name in EVENTS else np.mean)([row[name] for row in rows] or [0.0]).item()
        for name in MEASURES
    }
    return TrackingReport(mean, _combine([item for values in measured for item in values]), per_category)


def _of_label(
    video: VideoTracks, overlaps: Sequence[FrameOverlap], label: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """For each frame the positions of the objects, those of the tracks, and their IoU."""
    is_object = np.array([item.label == label for item in video.objects], bool)
    is_track = np.array([item.label == label for item in video.tracks], bool)
    objects, tracks, similarities = [], [], []
    for overlap in overlaps:
        rows, columns = is_object[overlap.objects], is_track[overlap.tracks]
        objects.append(overlap.objects[rows])
        tracks.append(overlap.tracks[columns])
        similarities.append(overlap.iou[np.ix_(rows, columns)])
    return objects, tracks, similarities


def _combine(measured: Sequence[_Measured]) -> dict[str, float]:
    """The measures of several videos or classes together."""
    combined: dict[str, Any] = {}
    for group, combine in enumerate(_functions("aggregate")):
        combined |= combine([item[group] for item in measured])
    return {name: combined[name] for name in MEASURES}


def _functions(verb: str) -> list[Callable[..., dict[str, Any]]]:
    try:
        from trackers import eval as library
    except ImportError:
        raise MissingExtraError("HOTA and IDF1 need trackers: pip install msnvis[tracking]") from None
    return [getattr(library, f"{verb}_{group}_metrics") for group in _GROUPS]
