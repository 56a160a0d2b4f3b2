"""What a diagnosis says of each object and each track.

The thresholds are those of published taxonomies. TIDE (Bolya et al., ECCV 2020, section 2.2) takes two masks
for the same object from an IoU of 0.5 and for strangers below 0.1. MOTChallenge (Milan et al., "MOT16", 2016)
calls an object mostly tracked from 80 % of its frames and mostly lost below 20 %.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from msnvis.evaluation.frames import TrackNumbers

#: Name of what is not there in the table of confusions: an object without a track, a track without an object.
NOTHING = "(nothing)"


@dataclass(frozen=True)
class Thresholds:
    """Where one verdict ends and another begins.

    Attributes:
        match_iou: IoU of whole tracks from which a track is a good match of an object.
        cover_iou: IoU of masks from which a track covers an object in a frame.
        missed_share: an object is missed when tracks cover less than this share of its frames.
        fragmented_share: it is fragmented when they cover less than this share.
        switch_share: a track takes part in a switch when it holds the object for at least this share of its
            frames.
        duplicate_share: a track without an object of its own belongs to the one that it covers in at least
            this share of its frames.
    """

    match_iou: float = 0.5
    cover_iou: float = 0.1
    missed_share: float = 0.2
    fragmented_share: float = 0.8
    switch_share: float = 0.1
    duplicate_share: float = 0.5


class _Verdict(str, Enum):
    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(type(self)).index(self)


class ObjectVerdict(_Verdict):
    """What became of an object of the ground truth; worst first, and the first that applies is given."""

    MISSED = "missed"
    CONFUSED = "confused"
    SWITCHED = "switched"
    FRAGMENTED = "fragmented"
    POOR_MASK = "poor mask"
    FOUND = "found"


class TrackVerdict(_Verdict):
    """What a track of the results is; worst first."""

    FALSE_POSITIVE = "false positive"
    CONFUSED = "confused"
    DUPLICATE = "duplicate"
    PARTIAL = "partial"
    CROWD = "crowd"
    MATCHED = "matched"


@dataclass(frozen=True)
class Span:
    """Frames `first` to `last`, both included, that one track holds; or nothing, when `track` is None.

    Frames in which the object is absent do not end a span.
    """

    first: int
    last: int
    track: int | None


@dataclass(frozen=True)
class ObjectDiagnosis:
    """What became of an object.

    Attributes:
        video: name.
        object: its annotation id.
        category: its name.
        verdict: the first of `ObjectVerdict` that applies.
        iou: of the whole object with its best track; 0 without one.
        track: number of that track, see `Diagnosis.track_numbers`.
        track_category: its name.
        frames: number of frames in which the object has pixels.
        coverage: share of them in which some track covers it.
        spans: who holds it in turn, `Span.track` None where nobody does.
    """

    video: str
    object: int
    category: str
    verdict: ObjectVerdict
    iou: float
    track: int | None
    track_category: str | None
    frames: int
    coverage: float
    spans: list[Span] = field(default_factory=list)

    @property
    def gaps(self) -> list[Span]:
        """Where nothing covers the object."""
        return [span for span in self.spans if span.track is None]


@dataclass(frozen=True)
class TrackDiagnosis:
    """What a track of the results is.

    Attributes:
        video: name.
        track: number, see `Diagnosis.track_numbers`.
        category: its name.
        score: as in the results.
        verdict: see `TrackVerdict`.
        iou: of the whole track with `object`; 0 without one.
        object: annotation id of the object that the track belongs to.
        object_category: its name.
        first: first frame of the track, None when it has no pixels.
        last: last frame.
    """

    video: str
    track: int
    category: str
    score: float
    verdict: TrackVerdict
    iou: float
    object: int | None
    object_category: str | None
    first: int | None
    last: int | None


@dataclass(frozen=True)
class Diagnosis:
    """All objects and tracks of a data set, worst first.

    Attributes:
        objects: by verdict, then the lowest IoU, then the longest.
        tracks: by verdict, then the highest score, which costs most.
        thresholds: that were used.
        track_numbers: ``id`` if tracks are named by the ids that the results give them, ``position`` if by
            their positions there, from 0.
    """

    objects: list[ObjectDiagnosis]
    tracks: list[TrackDiagnosis]
    thresholds: Thresholds = Thresholds()
    track_numbers: TrackNumbers = "id"

    def object_counts(self) -> dict[str, int]:
        """How many objects have each verdict."""
        return _counts(ObjectVerdict, (item.verdict for item in self.objects))

    def track_counts(self) -> dict[str, int]:
        """How many tracks have each verdict."""
        return _counts(TrackVerdict, (item.verdict for item in self.tracks))

    def confusion(self) -> dict[str, dict[str, int]]:
        """Category of the object -> category of its track -> how many.

        Only good matches count (`Thresholds.match_iou`); an object without one counts as `NOTHING`, and so do
        the objects that false positives claim to be.
        """
        table: dict[str, Counter[str]] = {}
        for item in self.objects:
            good = item.track_category is not None and item.iou >= self.thresholds.match_iou
            table.setdefault(item.category, Counter())[item.track_category if good else NOTHING] += 1
        for track in self.tracks:
            if track.verdict is TrackVerdict.FALSE_POSITIVE:
                table.setdefault(NOTHING, Counter())[track.category] += 1
        return {category: dict(row.most_common()) for category, row in sorted(table.items())}

    def table(self, most: int = 20) -> str:
        """Counts, and the worst objects, tracks and confusions, as text; percentages.

        Args:
            most: rows of each of the three.
        """
        from msnvis.evaluation.diagnosis_text import as_text

        return as_text(self, most)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it."""
        return {
            "summary": {"objects": self.object_counts(), "tracks": self.track_counts()},
            "confusion": self.confusion(),
            "thresholds": asdict(self.thresholds),
            "track_numbers": self.track_numbers,
            "objects": [asdict(item) for item in self.objects],
            "tracks": [asdict(item) for item in self.tracks],
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def _counts(verdicts: type[Enum], given: Iterable[Enum]) -> dict[str, int]:
    counts = Counter(given)
    return {verdict.value: counts[verdict] for verdict in verdicts}
