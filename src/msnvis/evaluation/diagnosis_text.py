"""A diagnosis as text: counts, the worst objects, the worst tracks, what is taken for what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msnvis.evaluation.tables import text_table
from msnvis.evaluation.verdicts import Diagnosis, ObjectVerdict, Span, TrackVerdict

#: Spans shown of one object; the JSON has all.
_MOST_SPANS = 8
_NUMBERS = {"id": "their ids in the results", "position": "their positions in the results, from 0"}


def as_text(diagnosis: Diagnosis, most: int) -> str:
    """See `Diagnosis.table`."""
    return "\n\n".join(
        [
            _counts("objects", diagnosis.object_counts())
            + "\n"
            + _counts("tracks", diagnosis.track_counts())
            + f"\nTracks are named by {_NUMBERS[diagnosis.track_numbers]}.",
            *_worst_objects(diagnosis, most),
            *_worst_tracks(diagnosis, most),
            *_confusions(diagnosis, most),
        ]
    )


def _counts(what: str, counts: Mapping[str, int]) -> str:
    listed = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{sum(counts.values())} {what}: {listed}"


def _worst_objects(diagnosis: Diagnosis, most: int) -> Iterable[str]:
    bad = [item for item in diagnosis.objects if item.verdict is not ObjectVerdict.FOUND]
    if bad:
        rows = [
            (
                item.verdict.value,
                item.video,
                item.object,
                item.category,
                _or_dash(item.track),
                _or_dash(item.track_category),
                _spans(item.spans),
                item.iou,
                item.coverage,
            )
            for item in bad[:most]
        ]
        headings = ("verdict", "video", "object", "class", "track", "as", "frames: track", "IoU", "covered")
        yield _titled("objects", len(bad), most, text_table(headings, rows, left=7))


def _worst_tracks(diagnosis: Diagnosis, most: int) -> Iterable[str]:
    bad = [
        item for item in diagnosis.tracks if item.verdict not in (TrackVerdict.MATCHED, TrackVerdict.CROWD)
    ]
    if bad:
        rows = [
            (
                item.verdict.value,
                item.video,
                item.track,
                item.category,
                _or_dash(item.object),
                _or_dash(item.object_category),
                _frames(item.first, item.last),
                item.iou,
                f"{item.score:.3f}",
            )
            for item in bad[:most]
        ]
        headings = ("verdict", "video", "track", "class", "object", "is a", "frames", "IoU", "score")
        yield _titled("tracks", len(bad), most, text_table(headings, rows, left=7))


def _confusions(diagnosis: Diagnosis, most: int) -> Iterable[str]:
    pairs = [
        (truth, found, count)
        for truth, row in diagnosis.confusion().items()
        for found, count in row.items()
        if truth != found
    ]
    if pairs:
        pairs.sort(key=lambda pair: -pair[2])
        table = text_table(("class", "taken for", "times"), pairs[:most], left=2)
        yield _titled("confusions", len(pairs), most, table)


def _titled(what: str, number: int, most: int, table: str) -> str:
    shown = f"the worst {most} of {number}" if number > most else str(number)
    return f"{what} ({shown})\n{table}"


def _spans(spans: Sequence[Span]) -> str:
    listed = [f"{_frames(span.first, span.last)}: {_or_dash(span.track)}" for span in spans[:_MOST_SPANS]]
    return ", ".join(listed + ["..."] * (len(spans) > _MOST_SPANS))


def _frames(first: int | None, last: int | None) -> str:
    return "-" if first is None else f"{first}" if first == last else f"{first}-{last}"


def _or_dash(value: object) -> object:
    return "-" if value is None else value
