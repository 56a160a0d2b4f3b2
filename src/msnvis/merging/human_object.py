"""Stage 3: things that belong to a person (paper 3.1, last paragraph).

The paper only names the classes and says that associating them with humans "helps in accurate tracking". The
rule here: fragments of the same class that accompany the same person are one object. Boards and rackets are
small, fast and often hidden behind their owner, so their tracks break; the person's track does not, and
bridges the gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

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
    person_boxes = [_boxes(person, margin) for person in people]
    belongings: dict[tuple[int, int], list[Track]] = {}
    joined = []
    for track in tracks:
        companion = track.label >= 0 and classes[track.label] in COMPANION_CLASSES
        own = _boxes(track, 0.0) if companion else {}
        shares = [_share_together(own, boxes) for boxes in person_boxes] if companion else []
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
    first = chain[0]
    rles = dict(sorted((item for track in chain for item in track.rles.items()), key=itemgetter(0)))
    scores = dict(sorted(item for track in chain for item in track.frame_scores.items()))
    lengths = [len(track.rles) for track in chain]
    evidence = np.average([track.class_scores for track in chain], axis=0, weights=lengths)
    mean = float(np.mean(list(scores.values())))
    return Track(first.id, first.label, mean, rles, scores, evidence.astype(np.float32))


def _boxes(track: Track, margin: float) -> dict[int, np.ndarray]:
    """Frame index -> box grown by `margin` of its diagonal on every side."""
    box = mask_ops.boxes(list(track.rles.values()))
    grow = margin * np.hypot(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1])[:, None]
    return dict(zip(track.rles, box + grow * np.array([-1, -1, 1, 1]), strict=True))


def _share_together(own: dict[int, np.ndarray], person: dict[int, np.ndarray]) -> float:
    """Share of the frames of `own` in which the two boxes overlap."""
    common = sorted(own.keys() & person.keys())
    if not common:
        return 0.0
    first, second = np.stack([own[i] for i in common]), np.stack([person[i] for i in common])
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    return int((low < high).all(axis=1).sum()) / len(own)
