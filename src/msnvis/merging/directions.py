"""Stage 3: one set of tracks from the forward and the backward pass (paper 3.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import astuple, dataclass, field, fields, replace
from itertools import combinations, product
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.errors import OptionError
from msnvis.selection.base import Selector
from msnvis.store.detections import DetectionStore, StoredObject
from msnvis.store.journal import Journal
from msnvis.store.tables import StoredMasks, StoredScores
from msnvis.structures import UNNAMED, Detections, Track
from msnvis.timings import Timings
from msnvis.tracking.association import associate

FORWARD, BACKWARD = "forward", "backward"
#: A track of one pass: its direction and its id there.
Node = tuple[str, int]
_NO_VERDICTS = np.zeros((0, 4))


@dataclass(frozen=True)
class MergingOptions:
    """What the paper leaves open in stage 3; reasons are in docs/decisions.md.

    Attributes:
        join_iou: a forward and a backward mask of one frame are associated only above this IoU.
        min_agreement: tracks are joined only when their mean IoU over all frames that both are in, weighted
            by the lower of their scores, is at least this.
        duplicate_iou: above this IoU two masks of one frame are one object, even of tracks that were not
            joined.
    """

    join_iou: float = 0.5
    min_agreement: float = 0.3
    duplicate_iou: float = 0.7

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if not 0 <= value <= 1:
                raise OptionError(f"{option.name} is {value}; give a number from 0 to 1")


@dataclass(slots=True)
class _Overlap:
    """How well a forward and a backward track agree, over the frames seen so far that both are in."""

    weight: float = 0.0
    weighted_iou: float = 0.0
    associated_iou: float = 0.0

    @property
    def agreement(self) -> float:
        return self.weighted_iou / self.weight


@dataclass
class DirectionMatcher:
    """Compares the two passes frame by frame while the image is at hand, then says which tracks are one
    object.

    The selector has to see the image, and which tracks belong together is known only at the end: so every
    associated pair is judged when its frame passes by, and the verdict is kept.

    Args:
        selector: decides between the forward (first) and the backward (second) mask.
        options: thresholds.
        timings: where the time is booked.
        verdicts: takes, frame index by frame index, the pairs associated there, ``(N, 4)`` float64: ids in
            each pass, IoU, and 1 where the forward mask is better. A long video wants another one than a
            dict.

    Attributes:
        strength: track of a pass -> sum of its scores over all frames.
    """

    selector: Selector
    options: MergingOptions = field(default_factory=MergingOptions)
    timings: Timings = field(default_factory=Timings)
    verdicts: MutableMapping[int, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._overlaps: dict[tuple[int, int], _Overlap] = {}
        self._together: dict[str, set[tuple[int, int]]] = {FORWARD: set(), BACKWARD: set()}
        self._latest: dict[str, list[int]] = {}
        self.strength: dict[Node, float] = {}

    def add(self, index: int, image: np.ndarray, forward: Detections, backward: Detections) -> set[int]:
        """Associate the objects of one frame.

        Returns:
            Ids of the backward tracks that have a forward partner in this frame.
        """
        with self.timings.measure("merge"):
            self._note_tracks(FORWARD, forward)
            self._note_tracks(BACKWARD, backward)
            iou = mask_ops.iou_matrix(forward.rles, backward.rles)
            pairs = associate(iou, self.options.join_iou)
            self._note_overlaps(forward, backward, iou, pairs)
        rows, columns = np.array(pairs, int).reshape(-1, 2).T
        prefer_forward = self._judge(image, forward[rows], backward[columns])
        self.verdicts[index] = np.stack(
            [forward.ids[rows], backward.ids[columns], iou[rows, columns], prefer_forward], axis=1
        )
        return set(backward.ids[columns].tolist())

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, without the verdicts, as JSON and arrays can hold it."""
        return {
            "overlapping": np.array(list(self._overlaps), np.int64).reshape(-1, 2),
            "overlaps": np.array(list(map(astuple, self._overlaps.values())), np.float64).reshape(-1, 3),
            "together": {
                direction: np.array(sorted(pairs), np.int64).reshape(-1, 2)
                for direction, pairs in self._together.items()
            },
            "strength": [[direction, id_, value] for (direction, id_), value in self.strength.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._overlaps, self._together = {}, {FORWARD: set(), BACKWARD: set()}
        self._latest, self.strength = {}, {}
        self.add_state(state, {FORWARD: 0, BACKWARD: 0})

    def add_state(self, state: Mapping[str, Any], ids: Mapping[str, int]) -> None:
        """Take over what another matcher saw of other tracks.

        Args:
            state: its `state_dict`.
            ids: direction -> what is added to the ids of its tracks.
        """
        pairs = (state["overlapping"] + [ids[FORWARD], ids[BACKWARD]]).tolist()
        for (first, second), values in zip(pairs, state["overlaps"].tolist(), strict=True):
            self._overlaps[first, second] = _Overlap(*values)
        for direction, together in state["together"].items():
            self._together[direction].update(map(tuple, (together + ids[direction]).tolist()))
        for direction, id_, value in state["strength"]:
            self.strength[direction, id_ + ids[direction]] = value

    def _judge(self, image: np.ndarray, forward: Detections, backward: Detections) -> np.ndarray:
        """``(N,)`` bool: the forward mask is better. Equal masks are not worth the selector's time."""
        prefer = forward.scores >= backward.scores
        differ = [
            k
            for k, (first, second) in enumerate(zip(forward.rles, backward.rles, strict=True))
            if first["counts"] != second["counts"]
        ]
        if differ:
            with self.timings.measure("select"):
                prefer[differ] = self.selector.prefer(image, forward[differ], backward[differ]) >= 0.5
        return prefer

    def _note_tracks(self, direction: str, tracks: Detections) -> None:
        ids = tracks.ids.tolist()
        for id_, score in zip(ids, tracks.scores.tolist(), strict=True):
            self.strength[direction, id_] = self.strength.get((direction, id_), 0.0) + score
        if ids != self._latest.get(direction):  # else the pairs are known
            self._latest[direction] = ids
            self._together[direction].update(combinations(sorted(ids), 2))

    def _note_overlaps(
        self, forward: Detections, backward: Detections, iou: np.ndarray, pairs: list[tuple[int, int]]
    ) -> None:
        weights = np.minimum(forward.scores[:, None], backward.scores) + 1e-9  # never 0, scores may be
        keys = product(forward.ids.tolist(), backward.ids.tolist())
        both = zip(weights.ravel().tolist(), (weights * iou).ravel().tolist(), strict=True)
        for key, (weight, weighted) in zip(keys, both, strict=True):
            overlap = self._overlaps.get(key) or self._overlaps.setdefault(key, _Overlap())
            overlap.weight += weight
            overlap.weighted_iou += weighted
        for i, j in pairs:
            self._overlaps[int(forward.ids[i]), int(backward.ids[j])].associated_iou += float(iou[i, j])

    def join(self, nodes: Iterable[Node]) -> list[set[Node]]:
        """Split the tracks of both passes into sets that are one object each.

        Tracks are joined if they were associated in at least one frame (paper 3.1).

        The best-supported pairs (by the sum of IoU over the frames in which they were associated) are joined
        first. A join that would put two tracks into one object which are in the same frame, of one pass, or
        of both passes without agreeing, is refused: otherwise one track that drifts from object to object
        would chain all of them together.
        """
        links = [(pair, overlap) for pair, overlap in self._overlaps.items() if overlap.associated_iou > 0]
        links.sort(key=lambda link: (-link[1].associated_iou, link[0]))
        group = {node: {node} for node in nodes}
        for (forward_id, backward_id), _ in links:
            ours, theirs = group[FORWARD, forward_id], group[BACKWARD, backward_id]
            if ours is theirs or any(self._conflict(a, b) for a, b in product(ours, theirs)):
                continue
            ours |= theirs
            group.update(dict.fromkeys(theirs, ours))
        return list({id(nodes): nodes for nodes in group.values()}.values())

    def _conflict(self, first: Node, second: Node) -> bool:
        if first[0] == second[0]:
            pair = (min(first[1], second[1]), max(first[1], second[1]))
            return pair in self._together[first[0]]
        forward, backward = sorted([first, second], reverse=True)  # "forward" > "backward"
        overlap = self._overlaps.get((forward[1], backward[1]))
        return overlap is not None and overlap.agreement < self.options.min_agreement


def number_objects(groups: Iterable[set[Node]]) -> dict[Node, int]:
    """A number for every group: the lowest of its forward ids. They are final only after
    `number_by_appearance`, because some objects are dropped.

    Groups of backward tracks alone come after all others, the latest born (earliest in the video) first.
    """
    groups = list(groups)
    last = max((id_ for nodes in groups for direction, id_ in nodes if direction == FORWARD), default=0)
    numbers: dict[Node, int] = {}
    for nodes in sorted(groups, key=lambda nodes: -max(id_ for _, id_ in nodes)):
        forward_ids = [id_ for direction, id_ in nodes if direction == FORWARD]
        if not forward_ids:
            last += 1
        numbers.update(dict.fromkeys(nodes, min(forward_ids, default=last)))
    return numbers


def merge_directions(
    forward: DetectionStore, backward: DetectionStore, matcher: DirectionMatcher, numbers: dict[Node, int]
) -> list[Track]:
    """One set of tracks from two passes, whose masks stay where they are stored.

    Where an object has a mask in both passes the selector's verdict decides, or the higher score where the
    two masks were not associated. The score of a track is the mean over its frames; naming is left to the
    caller.

    Args:
        forward: frame index -> what the forward pass found, with ids. May be empty, as may be `backward`.
        backward: likewise, in the same journal.
        matcher: was shown every frame that both passes have.
        numbers: track of a pass -> id of the object that it is, see `number_objects`.
    """
    journal, size = forward.masks.journal, forward.size or backward.size
    objects = {number: _Collected(journal, size) for number in sorted(set(numbers.values()))}
    strength = dict.fromkeys(objects, 0.0)
    for node, number in numbers.items():
        strength[number] += matcher.strength.get(node, 0.0)
    repeated: Counter[int] = Counter()
    for index in sorted({*forward, *backward}):
        first = _by_number(FORWARD, forward, index, numbers)
        second = _by_number(BACKWARD, backward, index, numbers)
        prefer_forward: dict[int, bool] = {}
        for forward_id, backward_id, iou, is_better in matcher.verdicts.get(index, _NO_VERDICTS).tolist():
            ours, theirs = numbers[FORWARD, int(forward_id)], numbers[BACKWARD, int(backward_id)]
            if ours == theirs:
                prefer_forward[ours] = bool(is_better)
            elif iou > matcher.options.duplicate_iou:
                loser = _drop_one(first, second, ours, theirs, strength)
                repeated[loser] += 1
        for number in first.keys() | second.keys():
            found = first.get(number) or second[number]
            if number in first and number in second:
                by_score = first[number].score >= second[number].score
                found = (first if prefer_forward.get(number, by_score) else second)[number]
            objects[number].add(index, found)
    # What is left of a track that mostly repeated another one is not worth showing.
    return [found.track(number) for number, found in objects.items() if len(found.masks) > repeated[number]]


class _Collected:
    """The masks of one object, as they come."""

    def __init__(self, journal: Journal, size: tuple[int, int]) -> None:
        self.masks, self.scores = StoredMasks(journal, size), StoredScores()

    def add(self, index: int, found: StoredObject) -> None:
        self.masks.append(index, found.place)
        self.scores.append(index, found.score)

    def track(self, number: int) -> Track:
        score = float(np.mean(list(self.scores.values())))
        return Track(number, UNNAMED, score, self.masks, self.scores)


def limit_objects(tracks: list[Track], max_objects: int) -> list[Track]:
    """The tracks that remain when the best ones are taken first and no frame may hold too many."""
    count: Counter[int] = Counter()
    kept = []
    for track in sorted(tracks, key=lambda track: (-track.score, track.id)):
        if all(count[index] < max_objects for index in track.rles):
            count.update(track.rles.keys())
            kept.append(track)
    return sorted(kept, key=lambda track: track.id)


def number_by_appearance(tracks: Iterable[Track]) -> list[Track]:
    """The tracks with ids 1, 2, 3... in the order of their first frames, so that none is missing.

    >>> number_by_appearance([Track(4, 0, 0.5, {7: {}}), Track(9, 0, 0.5, {2: {}})])[0].rles
    {2: {}}
    """
    ordered = sorted(tracks, key=lambda track: (min(track.rles), track.id))
    return [replace(track, id=number) for number, track in enumerate(ordered, start=1)]


def _drop_one(
    first: dict[int, StoredObject],
    second: dict[int, StoredObject],
    ours: int,
    theirs: int,
    strength: dict[int, float],
) -> int:
    """Two objects claim the same pixels: one with another mask in this frame gives way, else the weaker.

    Returns the one that gave way.
    """
    if (ours in second) == (theirs in first):
        ours_gives_way = strength[ours] < strength[theirs]
    else:
        ours_gives_way = ours in second
    if ours_gives_way:
        del first[ours]
        return ours
    del second[theirs]
    return theirs


def _by_number(
    direction: str, store: DetectionStore, index: int, numbers: dict[Node, int]
) -> dict[int, StoredObject]:
    if index not in store:
        return {}
    return {numbers[direction, found.id]: found for found in store.objects(index)}
