"""What a journal holds by frame, and masks in it, each once."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np

from msnvis.masks import RLE
from msnvis.store.journal import Journal, Record

Value = TypeVar("Value")

#: Masks of one frame that lie this close together, in bytes, are read at once.
_NEAR = 2**18
#: A number of frame up to which no questions are asked.
_FEW_FRAMES = 2**20


class Payloads(MutableMapping[int, bytes]):
    """Frame index -> payload of the records of one `kind`; a later record of a frame replaces an earlier one.

    >>> payloads = Payloads(Journal.temporary(), kind=1)
    >>> payloads[4] = b"found"
    >>> payloads[4], 3 in payloads, list(payloads)
    (b'found', False, [4])
    """

    def __init__(self, journal: Journal, kind: int) -> None:
        self.journal, self.kind = journal, kind
        self._offsets, self._lengths = array("q"), array("q")
        self._count = 0

    def note(self, record: Record) -> None:
        """Make a record of the journal known; raises `InputError` for a frame that cannot be."""
        if record.frame > max(_FEW_FRAMES, self.journal.size):  # every frame takes some bytes
            raise self.journal.damaged()
        missing = record.frame + 1 - len(self._offsets)
        if missing > 0:
            self._offsets.extend([-1] * missing)
            self._lengths.extend([0] * missing)
        self._count += self._offsets[record.frame] < 0
        self._offsets[record.frame], self._lengths[record.frame] = record.offset, record.length

    def __setitem__(self, frame: int, payload: bytes) -> None:
        self.note(self.journal.append(self.kind, frame, payload))

    def __getitem__(self, frame: int) -> bytes:
        if frame not in self:
            raise KeyError(frame)
        return self.journal.read(self._offsets[frame], self._lengths[frame])

    def __delitem__(self, frame: int) -> None:
        raise TypeError("nothing is taken out of a journal")

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and 0 <= frame < len(self._offsets) and self._offsets[frame] >= 0

    def __iter__(self) -> Iterator[int]:
        return (frame for frame, offset in enumerate(self._offsets) if offset >= 0)

    def __len__(self) -> int:
        return self._count


class ArrayTable(MutableMapping[int, np.ndarray]):
    """Frame index -> ``(N, columns)`` float64."""

    def __init__(self, payloads: Payloads, columns: int) -> None:
        self._payloads, self._columns = payloads, columns

    def __setitem__(self, frame: int, rows: np.ndarray) -> None:
        self._payloads[frame] = np.asarray(rows, "<f8").tobytes()

    def __getitem__(self, frame: int) -> np.ndarray:
        return np.frombuffer(self._payloads[frame], "<f8").reshape(-1, self._columns)

    def __delitem__(self, frame: int) -> None:
        del self._payloads[frame]

    def __contains__(self, frame: object) -> bool:
        return frame in self._payloads

    def __iter__(self) -> Iterator[int]:
        return iter(self._payloads)

    def __len__(self) -> int:
        return len(self._payloads)


class MaskTable:
    """Run lengths of masks in a journal, frame after frame; of equal masks of a frame one is kept.

    A mask is found by its place: offset and length in bytes.
    """

    def __init__(self, journal: Journal, kind: int) -> None:
        self.journal, self.kind = journal, kind
        self._frame: int | None = None
        self._places: dict[bytes, tuple[int, int]] = {}

    def put(self, frame: int, masks: Sequence[bytes]) -> list[tuple[int, int]]:
        """Keep `masks`; gives the place of each."""
        self._turn_to(frame)
        new = [counts for counts in dict.fromkeys(masks) if counts not in self._places]
        if new:
            start = self.journal.append(self.kind, frame, b"".join(new)).offset
            lengths = [len(counts) for counts in new]
            offsets = accumulate(lengths[:-1], initial=start)
            self._places.update(zip(new, zip(offsets, lengths, strict=True), strict=True))
        return [self._places[counts] for counts in masks]

    def get(self, frame: int, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """The masks at `places`."""
        self._turn_to(frame)
        if not places:
            return []
        first, last = min(offset for offset, _ in places), max(sum(place) for place in places)
        if last - first <= _NEAR:
            block = self.journal.read(first, last - first)
            masks = [block[offset - first : offset - first + length] for offset, length in places]
        else:
            masks = [self.journal.read(*place) for place in places]
        self._places.update(zip(masks, places, strict=True))
        return masks

    def _turn_to(self, frame: int) -> None:
        if frame != self._frame:
            self._frame = frame
            self._places.clear()


class _ByFrame(Mapping[int, Value]):
    """Frame index -> value; frames ascend. A copy or a pickle of it is a dict."""

    def __init__(self) -> None:
        self._frames = array("q")

    def __contains__(self, frame: object) -> bool:
        return _is_in(self._frames, frame)

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __reduce__(self) -> tuple[object, ...]:
        return dict, (dict(self),)


class StoredMasks(_ByFrame[RLE]):
    """Frame index -> mask, as `Track.rles` has it, read from the journal at each look."""

    def __init__(self, journal: Journal, size: tuple[int, int]) -> None:
        super().__init__()
        self._journal, self._size = journal, size
        self._offsets, self._lengths = array("q"), array("q")

    def append(self, frame: int, place: tuple[int, int]) -> None:
        """Add the mask at `place` in a frame that comes after all others."""
        self._frames.append(frame)
        self._offsets.append(place[0])
        self._lengths.append(place[1])

    def __getitem__(self, frame: int) -> RLE:
        row = _find(self._frames, frame)
        counts = self._journal.read(self._offsets[row], self._lengths[row])
        return {"size": list(self._size), "counts": counts}


class StoredScores(_ByFrame[float]):
    """Frame index -> score, as `Track.frame_scores` has it, in 16 bytes a frame."""

    def __init__(self) -> None:
        super().__init__()
        self._scores = array("d")

    def append(self, frame: int, score: float) -> None:
        """Add the score in a frame that comes after all others."""
        self._frames.append(frame)
        self._scores.append(score)

    def __getitem__(self, frame: int) -> float:
        return self._scores[_find(self._frames, frame)]


def _find(frames: array, frame: int) -> int:
    row = bisect_left(frames, frame)
    if row == len(frames) or frames[row] != frame:
        raise KeyError(frame)
    return row


def _is_in(frames: array, frame: object) -> bool:
    try:
        _find(frames, frame)  # type: ignore[arg-type]
    except (KeyError, TypeError):
        return False
    return True


def frames_of(tables: Iterable[Iterable[int]]) -> list[int]:
    """All frames that are in any of `tables`, ascending."""
    return sorted(set().union(*tables))
