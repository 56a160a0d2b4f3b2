"""All that a run keeps by frame."""

from __future__ import annotations

from msnvis.store.detections import DetectionStore
from msnvis.store.journal import Journal
from msnvis.store.tables import ArrayTable, MaskTable, Payloads

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
