"""All that a run keeps by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from msnvis.store.detections import DetectionStore
from msnvis.store.journal import Journal
from msnvis.store.tables import ArrayTable, MaskTable, Payloads, frames_of

_MASKS, _FOUND, _FORWARD, _BACKWARD, _VERDICTS = range(1, 6)


class RunStore:
    """Stage-1 detections, the tracks of both directions, and what was decided between them.

    Attributes:
        found: what the segmenter found.
        tracked: direction -> objects with ids.
        verdicts: ``(N, 4)`` rows of each frame, see `msnvis.merging.DirectionMatcher`.
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = journal or Journal.temporary()
        masks = MaskTable(self.journal, _MASKS)
        verdicts = Payloads(self.journal, _VERDICTS)
        self.found = DetectionStore(masks, _FOUND)
        self.tracked = {
            "forward": DetectionStore(masks, _FORWARD),
            "backward": DetectionStore(masks, _BACKWARD),
        }
        self.verdicts = ArrayTable(verdicts, columns=4)
        tables = {
            table.kind: table
            for table in (self.found.payloads, *(s.payloads for s in self.tracked.values()), verdicts)
        }
        for record in self.journal.records():
            if record.kind in tables:
                tables[record.kind].note(record)

    def append(self, other: RunStore, first: int, ids: Mapping[str, int]) -> None:
        """Take over all frames of another store.

        Args:
            other: of a part of the video.
            first: the frame that is 0 there.
            ids: direction -> what is added to the ids of its tracks.
        """
        added = [ids["forward"], ids["backward"], 0, 0]
        for frame in frames_of([other.found, *other.tracked.values(), other.verdicts]):
            if frame in other.found:
                self.found[first + frame] = other.found[frame]
            for direction, tracked in other.tracked.items():
                if frame in tracked:
                    objects = tracked[frame]
                    self.tracked[direction][first + frame] = replace(
                        objects, ids=objects.ids + ids[direction]
                    )
            if frame in other.verdicts:
                self.verdicts[first + frame] = other.verdicts[frame] + added
