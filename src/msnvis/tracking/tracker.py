"""Stage 2, the step from frame to frame: propagate, associate, select, add objects (paper 3.1, Figure 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from numbers import Integral
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.errors import OptionError
from msnvis.masks import RLE
from msnvis.propagators.base import Propagator
from msnvis.selection.base import Selector
from msnvis.structures import UNNAMED, Detections
from msnvis.timings import Timings
from msnvis.tracking.association import ASSOCIATION_IOU, associate
from msnvis.tracking.naming import Votes, best_label, vote_weight, votes_from_state, votes_state
from msnvis.tracking.new_objects import find_duplicates, find_new_objects
from msnvis.tracking.reacquisition import centre_distance, colour_histogram, histogram_similarity

#: Most objects tracked at a time (paper 4.1).
MAX_OBJECTS = 15
#: The least value of options that are not shares.
_LEAST = {"reacquire_distance": 0, "max_area_growth": 1}


@dataclass(frozen=True)
class TrackingOptions:
    """What the paper leaves open or sets in stage 2; reasons are in docs/decisions.md.

    Attributes:
        score_threshold: a detection needs this score to become a new object.
        association_score: a detection needs this score to be matched to a known object; never above
            `score_threshold`.
        association_iou: a detection and a propagated mask are the same object only above this IoU.
        max_objects: most objects at a time, lost ones included.
        overlap_tolerance: a detection intersects an object that covers more than this share of its pixels.
        duplicate_iou: above this IoU two masks of one frame are the same object, whatever their classes.
        score_decay: a propagated mask scores this times its score of the frame before.
        max_unconfirmed: frames for which an object may live on propagation alone.
        frames_per_confirmation: frames on propagation alone that each confirming detection earns.
        min_area_share: a propagated mask smaller than this share of the object's area when it was last
            confirmed is a remnant: the object has vanished.
        max_area_growth: a propagated mask that no detection confirms and that is larger than this times that
            area has spilled onto something else: the object is lost.
        max_lost: frames for which an object without a mask can come back under its id.
        reacquire_distance: how far from its last place it may come back, in square roots of its largest area.
        reacquire_similarity: least similarity of its colours, 0..1, when it comes back.
        class_evidence: what the detector's score for a class must be, at least, for a detection or track to
            count as of that class in births and associations. What it is called is decided at the end.
    """

    score_threshold: float = 0.5
    association_score: float = 0.2
    association_iou: float = ASSOCIATION_IOU
    max_objects: int = MAX_OBJECTS
    overlap_tolerance: float = 0.1
    duplicate_iou: float = 0.7
    score_decay: float = 0.95
    max_unconfirmed: int = 30
    frames_per_confirmation: int = 5
    min_area_share: float = 0.1
    max_area_growth: float = 2.0
    max_lost: int = 30
    reacquire_distance: float = 3.0
    reacquire_similarity: float = 0.5
    class_evidence: float = 0.2

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if option.type == "int":
                least = 1 if option.name == "max_objects" else 0
                if not isinstance(value, Integral) or value < least:
                    raise OptionError(f"{option.name} is {value}; give a whole number from {least} on")
            elif option.name in _LEAST:
                if not value >= _LEAST[option.name]:
                    raise OptionError(
                        f"{option.name} is {value}; give a number from {_LEAST[option.name]} on"
                    )
            elif not 0 <= value <= 1:
                raise OptionError(f"{option.name} is {value}; give a number from 0 to 1")

    @property
    def weakest_score(self) -> float:
        """Detections with a lower score are of no use."""
        return min(self.association_score, self.score_threshold)


@dataclass
class TrackState:
    """One object that is being tracked.

    Attributes:
        rle: its latest mask that was not empty.
        score: of that mask.
        area: pixels of the detection by which it was last confirmed.
        largest_area: pixels of the largest of them.
        confirmations: frames in which a detection was matched to it, its birth included.
        unconfirmed: frames since the last of those.
        lost: frames since it had a mask; 0 while it is visible.
        look: colour histogram of when it was last confirmed; taken only once it is no longer confirmed.
    """

    id: int
    rle: RLE
    score: float
    area: int
    largest_area: int
    confirmations: int = 1
    unconfirmed: int = 0
    lost: int = 0
    look: np.ndarray | None = None

    @property
    def visible(self) -> bool:
        return self.lost == 0

    def confirm(self, rle: RLE, score: float, area: int) -> None:
        """A detection of `area` pixels is this object, whichever mask it is to have."""
        self.rle, self.score, self.area = rle, score, area
        self.largest_area = max(self.area, self.largest_area)
        self.confirmations += 1
        self.unconfirmed = self.lost = 0
        self.look = None


@dataclass
class Tracker:
    """Follows the objects of a video online, one `step` a frame.

    The propagator is told of a correction only at the following step, together with the new image.

    Args:
        propagator: carries masks from the frame before.
        selector: decides between a detection's mask and the propagated one of the same object.
        num_classes: columns of the detections' `class_scores`.
        options: thresholds and limits.
        timings: where the time is booked.

    Attributes:
        votes: id -> what has been seen of the classes of every object so far, those that ended included (see
            `forget_ended`).
    """

    propagator: Propagator
    selector: Selector
    num_classes: int
    options: TrackingOptions = field(default_factory=TrackingOptions)
    timings: Timings = field(default_factory=Timings)
    votes: dict[int, Votes] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._tracks: dict[int, TrackState] = {}
        self._last_id = 0
        self._image: np.ndarray | None = None
        self._corrected: dict[int, RLE] = {}
        self._forget: set[int] = set()

    def step(self, image: np.ndarray, found: Detections, *, cut: bool = False) -> Detections:
        """Track one more frame.

        Args:
            image: RGB uint8 ``(H, W, 3)``.
            found: the segmenter's objects of this frame.
            cut: this frame begins a new shot; all tracks end and nothing is carried over.

        Returns:
            The objects of this frame with their ids. `class_scores` are the mean of what the segmenter said
            of each object so far.
        """
        with self.timings.measure("associate"):
            found = self._usable(found)
        propagated = self._begin(image) if cut or self._image is None else self._propagate(image)
        with self.timings.measure("associate"):
            ids = list(propagated)
            iou = mask_ops.iou_matrix(found.rles, list(propagated.values()))
            pairs = [(i, ids[j]) for i, j in associate(iou, self.options.association_iou)]
        self._select(image, found, propagated, pairs)
        with self.timings.measure("associate"):
            self._coast(propagated, {id_ for _, id_ in pairs})
            self._drop_duplicates(image)
            is_candidate = found.scores >= self.options.score_threshold
            is_candidate[[i for i, _ in pairs]] = False
            candidates = found[is_candidate]
            self._add(image, self._new_objects(candidates))
            self._retire()
            result = self._result(found.size)
        self._image = image
        return result

    def forget_ended(self) -> None:
        """Drop the votes of objects that can never come back, which would pile up in an endless stream."""
        self.votes = {id_: self.votes[id_] for id_ in self._tracks}

    def state_dict(self) -> dict[str, Any]:
        """All that was learnt of the video so far, also by the propagator, as JSON and arrays hold it.

        Given to `load_state_dict` of a new tracker with the same parts and options, it goes on alike.
        """
        return {
            "last_id": self._last_id,
            "image": self._image,
            "tracks": [
                {**vars(track), "rle": mask_ops.to_json(track.rle)} for track in self._tracks.values()
            ],
            "corrected": [[id_, mask_ops.to_json(rle)] for id_, rle in self._corrected.items()],
            "forget": sorted(self._forget),
            "votes": votes_state(self.votes),
            "propagator": None if self._image is None else dict(self.propagator.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._last_id, self._image = state["last_id"], state["image"]
        tracks = [TrackState(**{**track, "rle": _rle(track["rle"])}) for track in state["tracks"]]
        self._tracks = {track.id: track for track in tracks}
        self._corrected = {id_: _rle(text) for id_, text in state["corrected"]}
        self._forget = set(state["forget"])
        self.votes = votes_from_state(state["votes"])
        if state["propagator"] is not None:
            self.propagator.load_state_dict(state["propagator"])

    def _usable(self, found: Detections) -> Detections:
        found = found[(found.scores >= self.options.weakest_score) & (mask_ops.areas(found.rles) > 0)]
        return found[np.argsort(-found.scores, kind="stable")]

    def _begin(self, image: np.ndarray) -> dict[int, RLE]:
        with self.timings.measure("propagate"):
            self.propagator.start(image, {})
        self._tracks.clear()
        self._corrected.clear()
        self._forget.clear()
        return {}

    def _propagate(self, image: np.ndarray) -> dict[int, RLE]:
        """Carry the masks of the frame before to this one; objects that vanish are left out."""
        with self.timings.measure("propagate"):
            carried = self.propagator.step_rles(image, self._corrected, frozenset(self._forget))
        self._corrected, self._forget = {}, set()
        ids = [id_ for id_ in carried if id_ in self._tracks]
        least = [max(1, self.options.min_area_share * self._tracks[id_].area) for id_ in ids]
        kept = np.flatnonzero(mask_ops.areas([carried[id_] for id_ in ids]) >= least)
        return {ids[k]: carried[ids[k]] for k in kept}

    def _select(
        self, image: np.ndarray, found: Detections, propagated: dict[int, RLE], pairs: list[tuple[int, int]]
    ) -> None:
        """For each object that was also detected keep the better of its two masks."""
        if not pairs:
            return
        detected = found[[i for i, _ in pairs]]
        tracks = [self._tracks[id_] for _, id_ in pairs]
        carried = Detections(
            found.size,
            [propagated[track.id] for track in tracks],
            np.array([track.score * self.options.score_decay for track in tracks], np.float32),
            np.stack([self.votes[track.id].detector for track in tracks]).astype(np.float32),
        )
        with self.timings.measure("select"):
            prefer_detected = self.selector.prefer(image, detected, carried) >= 0.5
        areas = mask_ops.areas(detected.rles).tolist()
        for k, track in enumerate(tracks):
            rle = detected.rles[k] if prefer_detected[k] else carried.rles[k]
            track.confirm(rle, float(max(detected.scores[k], carried.scores[k])), areas[k])
            if prefer_detected[k]:
                self._corrected[track.id] = rle
            self._vote(track, detected, k)

    def _coast(self, propagated: dict[int, RLE], confirmed: set[int]) -> None:
        """Objects that no detection confirms live on propagation alone for a while, then are lost."""
        for track in self._tracks.values():
            if track.id in confirmed:
                continue
            self._remember_look(track, self._image)
            track.unconfirmed += 1
            patience = min(
                self.options.max_unconfirmed, track.confirmations * self.options.frames_per_confirmation
            )
            if track.id not in propagated:
                track.lost += 1
            elif track.unconfirmed > patience or self._has_spilled(track, propagated[track.id]):
                self._lose(track)
            else:
                track.rle = propagated[track.id]
                track.score *= self.options.score_decay
                track.lost = 0

    def _has_spilled(self, track: TrackState, rle: RLE) -> bool:
        """Whether a propagated mask has grown over more than its object."""
        return mask_ops.areas([rle])[0] > self.options.max_area_growth * track.area

    def _remember_look(self, track: TrackState, image: np.ndarray) -> None:
        """Take the colours of an object from the last `image` in which it was confirmed."""
        if track.look is None:
            track.look = colour_histogram(image, track.rle)

    def _lose(self, track: TrackState) -> None:
        """Take the mask away; the object can still come back under its id."""
        track.lost += 1
        self._forget.add(track.id)
        self._corrected.pop(track.id, None)

    def _drop_duplicates(self, image: np.ndarray) -> None:
        """Where two tracks cover the same pixels, the one that is trusted less is lost."""
        trusted = sorted(self._visible(), key=lambda t: (t.unconfirmed > 0, -t.confirmations, t.id))
        for i in find_duplicates([track.rle for track in trusted], self.options.duplicate_iou):
            self._remember_look(trusted[i], image)
            self._lose(trusted[i])

    def _new_objects(self, candidates: Detections) -> Detections:
        if not len(candidates):
            return candidates
        visible = self._visible()
        chosen = find_new_objects(
            candidates.rles,
            [best_label(row, self.options.class_evidence) for row in candidates.class_scores],
            [track.rle for track in visible],
            [self._label(track) for track in visible],
            room=self.options.max_objects - len(visible),
            overlap_tolerance=self.options.overlap_tolerance,
            duplicate_iou=self.options.duplicate_iou,
        )
        return candidates[chosen]

    def _add(self, image: np.ndarray, new: Detections) -> None:
        """Give each of `new` the id of the lost object that it is, or one of its own."""
        lost = [track for track in self._tracks.values() if not track.visible]
        returned = dict(associate(self._likeness(image, new, lost), self.options.reacquire_similarity))
        areas = mask_ops.areas(new.rles).tolist()
        for i, rle in enumerate(new.rles):
            score = float(new.scores[i])
            if i in returned:
                track = lost[returned[i]]
                track.confirm(rle, score, areas[i])
                self._forget.discard(track.id)
            else:
                self._last_id += 1
                track = TrackState(self._last_id, rle, score, areas[i], areas[i])
                self._tracks[track.id] = track
                self.votes[track.id] = Votes.none(self.num_classes)
            self._corrected[track.id] = rle
            self._vote(track, new, i)

    def _likeness(self, image: np.ndarray, new: Detections, lost: list[TrackState]) -> np.ndarray:
        """``(N, M)`` similarity of colours, 0 where the class or the distance speaks against it."""
        likeness = np.zeros((len(new), len(lost)))
        if not likeness.size:
            return likeness
        boxes = new.boxes
        for i, rle in enumerate(new.rles):
            label = best_label(new.class_scores[i], self.options.class_evidence)
            look = colour_histogram(image, rle)
            for j, track in enumerate(lost):
                if self._could_be(label, boxes[i], track):
                    likeness[i, j] = histogram_similarity(look, track.look)
        return likeness

    def _could_be(self, label: int, box: np.ndarray, track: TrackState) -> bool:
        known = self._label(track)
        reach = self.options.reacquire_distance * track.largest_area**0.5
        near = centre_distance(box, mask_ops.boxes([track.rle])[0]) <= reach
        return near and (label == known or UNNAMED in (label, known))

    def _retire(self) -> None:
        """End what was lost for too long, and the longest lost where objects in sight need their places."""
        lost = sorted((t for t in self._tracks.values() if not t.visible), key=lambda t: -t.lost)
        surplus = len(self._tracks) - self.options.max_objects
        for rank, track in enumerate(lost):
            if track.lost > self.options.max_lost or rank < surplus:
                del self._tracks[track.id]
                self._forget.add(track.id)

    def _vote(self, track: TrackState, found: Detections, index: int) -> None:
        weight = vote_weight(float(found.scores[index]), track.area, found.size)
        self.votes[track.id].add_detector(found.class_scores[index], weight)

    def _label(self, track: TrackState) -> int:
        return best_label(self.votes[track.id].detector, self.options.class_evidence)

    def _visible(self) -> list[TrackState]:
        return [track for track in self._tracks.values() if track.visible]

    def _result(self, size: tuple[int, int]) -> Detections:
        visible = self._visible()
        class_scores = [self.votes[track.id].detector for track in visible]
        return Detections(
            size,
            [track.rle for track in visible],
            np.array([track.score for track in visible], np.float32),
            np.array(class_scores, np.float32).reshape(len(visible), self.num_classes),
            np.array([track.id for track in visible], np.int64),
        )


def _rle(text: Mapping[str, Any]) -> RLE:
    """What was given to `masks.to_json`."""
    return {"size": text["size"], "counts": text["counts"].encode("ascii")}
