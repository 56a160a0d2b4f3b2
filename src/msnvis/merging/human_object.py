"""Stage 3: things that belong to a person (paper 3.1, last paragraph).

The paper only names the classes and says that associating them with humans "helps in accurate tracking". The
rule here: fragments of the same class that accompany the same person are one object. Boards and rackets are
small, fast and often hidden behind their owner, so their tracks break; the person's track does not, and
bridges the gaps.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from msnvis import masks as mask_ops
from msnvis.structures import Track

#: Classes associated with humans (paper 3.1), in the spellings of all label spaces.
COMPANION_CLASSES = frozenset(
    {
        "boat",
        "motorbike",
        "motorcycle",
        "skateboard",
        "snowboard",
        "surfboard",
        "tennis_racket",
        "tennis racket",
    }
)
#: Masks that are read at a time.
_CHUNK = 1024


def join_companions(
    tracks: Sequence[Track], classes: Sequence[str], *, min_share: float = 0.5, margin: float = 0.1
) -> list[Track]:
    """Join fragments that are one object because they accompany one person.

    A track accompanies the person whose box, grown by `margin` of its diagonal, overlaps the track's box in
    most of the track's frames, and in at least `min_share` of them. Of one class, a person has one such
    object at a time: fragments that share a frame are never joined.

    Args:
        tracks: named tracks.
        classes: the label space.
        min_share: of a fragment's frames that it spends with the person.
        margin: reach of a person, in diagonals of the person's box.

    Returns:
        All tracks; joined ones have the id of their earliest fragment.
    """
    people = [track for track in tracks if track.label >= 0 and classes[track.label] == "person"]
    companions = [track for track in tracks if track.label >= 0 and classes[track.label] in COMPANION_CLASSES]
    person_boxes = [_boxes(person, margin) for person in people] if companions else []
    belongings: dict[tuple[int, int], list[Track]] = {}
    joined = []
    for track in tracks:
        shares = []
        if any(track is companion for companion in companions):
            own = _boxes(track, 0.0)
            shares = [_share_together(own, boxes) for boxes in person_boxes]
        if max(shares, default=0.0) >= min_share:
            belongings.setdefault((int(np.argmax(shares)), track.label), []).append(track)
        else:
            joined.append(track)
    for fragments in belongings.values():
        joined += [_join(chain) for chain in _chains(fragments)]
    return sorted(joined, key=lambda track: track.id)


def _chains(fragments: list[Track]) -> list[list[Track]]:
    """Earliest first, add each fragment to the first chain with which it shares no frame."""
    chains: list[list[Track]] = []
    for track in sorted(fragments, key=lambda track: min(track.rles)):
        for chain in chains:
            if all(track.rles.keys().isdisjoint(other.rles) for other in chain):
                chain.append(track)
                break
        else:
            chains.append([track])
    return chains


def _join(chain: list[Track]) -> Track:
    """One track from fragments of one class that share no frame; evidence is averaged over the frames."""
    first, latest_first = chain[0], chain[::-1]
    # Views, in the order of the fragments: nothing is read from where the masks are stored.
    rles = ChainMap(*(track.rles for track in latest_first))
    scores = ChainMap(*(track.frame_scores for track in latest_first))
    lengths = [len(track.rles) for track in chain]
    evidence = np.average([track.class_scores for track in chain], axis=0, weights=lengths)
    mean = float(np.mean([scores[index] for index in sorted(scores)]))
    return Track(first.id, first.label, mean, rles, scores, evidence.astype(np.float32))


class _Boxes(NamedTuple):
    """``(N,)`` ascending frame indices, and the ``(N, 4)`` boxes there."""

    frames: np.ndarray
    boxes: np.ndarray


def _boxes(track: Track, margin: float) -> _Boxes:
    """The boxes of a track, grown by `margin` of their diagonals on every side."""
    frames = np.array(sorted(track.rles), np.int64)
    boxes = np.empty((len(frames), 4))
    for start in range(0, len(frames), _CHUNK):
        part = slice(start, start + _CHUNK)
        boxes[part] = mask_ops.boxes([track.rles[index] for index in frames[part].tolist()])
    grow = margin * np.hypot(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None]
    return _Boxes(frames, boxes + grow * np.array([-1, -1, 1, 1]))


def _share_together(own: _Boxes, person: _Boxes) -> float:
    """Share of the frames of `own` in which the two boxes overlap."""
    _, ours, theirs = np.intersect1d(own.frames, person.frames, assume_unique=True, return_indices=True)
    first, second = own.boxes[ours], person.boxes[theirs]
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    return int((low < high).all(axis=1).sum()) / len(own.frames)
