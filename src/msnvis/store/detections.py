"""`Detections` of a whole video in a journal."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from msnvis.store.tables import MaskTable, Payloads
from msnvis.structures import Detections

#: Height, width, objects, classes, whether there are ids.
_SHAPE = struct.Struct("<IIII?")


class StoredObject(NamedTuple):
    """An object of a frame without its mask, which is at `place` in the journal."""

    id: int
    score: float
    place: tuple[int, int]


class DetectionStore:
    """Frame index -> `Detections`, with `class_scores` kept to three digits.

    Args:
        masks: where the masks go; stores of one video share it, so that a mask that the tracker takes over
            from the segmenter is kept once.
        kind: of the records in the journal.

    >>> from msnvis.store.journal import Journal
    >>> store = DetectionStore(MaskTable(Journal.temporary(), kind=1), kind=2)
    >>> store[7] = Detections.from_masks(np.ones((1, 2, 2), bool), [0.5], [[1.0]], ids=[3])
    >>> len(store), store[7].ids.tolist(), 8 in store
    (1, [3], False)
    """

    def __init__(self, masks: MaskTable, kind: int) -> None:
        self.masks = masks
        self.payloads = Payloads(masks.journal, kind)

    def __setitem__(self, index: int, detections: Detections) -> None:
        places = self.masks.put(index, [rle["counts"] for rle in detections.rles])
        height, width = detections.size
        count, classes = detections.class_scores.shape
        with_ids = detections.ids is not None
        self.payloads[index] = b"".join(
            [
                _SHAPE.pack(height, width, count, classes, with_ids),
                np.array(places, "<i8").tobytes(),
                detections.ids.astype("<i8").tobytes() if with_ids else b"",
                detections.scores.astype("<f4").tobytes(),
                detections.class_scores.astype("<f2").tobytes(),
            ]
        )

    def __getitem__(self, index: int) -> Detections:
        size, places, ids, scores, class_scores = self._read(index)
        places = [(offset, length) for offset, length in places.tolist()]
        rles = [{"size": list(size), "counts": counts} for counts in self.masks.get(index, places)]
        return Detections(size, rles, scores, class_scores, ids)

    @property
    def size(self) -> tuple[int, int] | None:
        """``(height, width)`` of the frames; None while there are none."""
        first = next(iter(self), None)
        return None if first is None else self._read(first)[0]

    def objects(self, index: int) -> list[StoredObject]:
        """The objects of a frame, which have ids; their masks are not read."""
        _, places, ids, scores, _ = self._read(index)
        return [
            StoredObject(id_, score, (offset, length))
            for id_, score, (offset, length) in zip(
                ids.tolist(), scores.tolist(), places.tolist(), strict=True
            )
        ]

    def __contains__(self, index: int) -> bool:
        return index in self.payloads

    def __iter__(self) -> Iterator[int]:
        return iter(self.payloads)

    def __len__(self) -> int:
        return len(self.payloads)

    def _read(self, index: int) -> tuple[Any, ...]:
        try:
            return _unpack(self.payloads[index])
        except (ValueError, struct.error) as error:
            raise self.masks.journal.damaged() from error


def _unpack(payload: bytes) -> tuple[Any, ...]:
    """Size, ``(N, 2)`` places, ``(N,)`` ids or None, ``(N,)`` scores, ``(N, C)`` class scores."""
    height, width, count, classes, with_ids = _SHAPE.unpack_from(payload)
    parts, offset = [], _SHAPE.size
    for kind, number in (
        ("<i8", 2 * count),
        ("<i8", count * with_ids),
        ("<f4", count),
        ("<f2", count * classes),
    ):
        parts.append(np.frombuffer(payload, kind, number, offset))
        offset += parts[-1].nbytes
    places, ids, scores, class_scores = parts
    return (
        (height, width),
        places.reshape(count, 2),
        ids.astype(np.int64) if with_ids else None,
        scores.astype(np.float32),
        class_scores.astype(np.float32).reshape(count, classes),
    )
