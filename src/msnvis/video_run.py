"""One video on its way through the stages, and how far it has come."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from msnvis.errors import OptionError
from msnvis.io.source import Frame, FrameSource
from msnvis.merging.directions import (
    BACKWARD,
    FORWARD,
    DirectionMatcher,
    Node,
    limit_objects,
    merge_directions,
    number_by_appearance,
    number_objects,
)
from msnvis.merging.human_object import join_companions
from msnvis.store.detections import DetectionStore
from msnvis.store.folder import WorkFolder
from msnvis.store.run_store import RunStore
from msnvis.structures import UNNAMED, Detections, Track, VideoInstances
from msnvis.tracking.naming import Votes, best_label, votes_from_state, votes_state
from msnvis.tracking.tracker import Tracker

if TYPE_CHECKING:
    from msnvis.pieces import VideoPieces
    from msnvis.pipeline import Direction, VideoInstanceSegmenter


@dataclass(frozen=True)
class ProgressEvent:
    """How far a run has come.

    Attributes:
        stage: ``segment`` (stage 1 alone), ``forward``, ``backward`` or ``merge``.
        frame: frames of this stage that are done.
        total: frames of this stage, an estimate for some files; None for a live source.
        fps: frames a second in this stage so far.
        objects: objects in the latest frame; in the end, tracks of the whole video.
    """

    stage: str
    frame: int
    total: int | None
    fps: float
    objects: int


#: How far a run is: in the first sweep, in the second, through both.
_FIRST, _SECOND, DONE = "first", "second", "done"


class VideoRun:
    """One video on its way through the stages; what is complete at any moment can be had from `results`.

    The first sweep reads forward: it segments, finds the cuts and, unless the direction is backward,
    tracks. The second reads backward and tracks what the first has segmented.
    """

    def __init__(
        self,
        parts: VideoInstanceSegmenter,
        source: FrameSource,
        direction: Direction,
        reporter: Reporter,
        work: WorkFolder | None,
    ) -> None:
        self.parts = parts
        self.source = source
        self.direction = direction
        self.reporter = reporter
        self.work = work
        self.store, self.resumed = work.open(parts.fingerprint(source)) if work else (RunStore(), None)
        self.found, self.tracked = self.store.found, self.store.tracked
        self.matcher = DirectionMatcher(
            parts.selector, parts.merging, parts.timings, verdicts=self.store.verdicts
        )
        self.stage = _FIRST
        self.size = source.size or (0, 0)
        self.timestamps: list[float] = []
        self.cuts: list[int] = []
        self.gaps: list[tuple[int, float]] = []  # of live sources only, so no checkpoint needs them
        self.votes: dict[str, dict[int, Votes]] = {FORWARD: {}, BACKWARD: {}}
        if self.resumed is not None:
            self._load_state(self.resumed)

    def sweep(self) -> None:
        """Read the video forward and, where the direction asks for it, backward."""
        if self.stage == _FIRST:
            self._first_sweep()
            self._turn_to(DONE if self.direction == "forward" else _SECOND)
        if self.stage == _SECOND:
            self._second_sweep()
            self._turn_to(DONE)

    def join(self, pieces: VideoPieces) -> None:
        """Take over what was found in pieces of the video, which are complete, instead of reading it.

        Ids are those of a run over the whole: each pass counts from where it begins. Raises `OptionError`
        where one is not complete.
        """
        if self.stage == DONE:
            return
        if missing := pieces.missing:
            raise OptionError(f"piece {missing[0]} of {self.source.name} is not complete; process it first")
        self.parts.timings.add(pieces.seconds)
        with self.parts.timings.measure("merge"):
            counts = [piece.count_tracks() for piece in pieces]
            for number, piece in enumerate(pieces):
                before, after = counts[:number], counts[number + 1 :]
                ids = {FORWARD: sum(c[FORWARD] for c in before), BACKWARD: sum(c[BACKWARD] for c in after)}
                with piece.opened() as (store, state):
                    self._add_piece(store, state, ids)
        for direction, votes in self.votes.items():
            self.votes[direction] = dict(sorted(votes.items()))  # as they were born
        self.stage = DONE
        self._save(None, None, len(self.timestamps))
        pieces.drop()

    def _add_piece(self, store: RunStore, state: Mapping[str, Any], ids: Mapping[str, int]) -> None:
        """Take over the next piece; `ids`: direction -> what is added to the ids of its tracks."""
        first = len(self.timestamps)
        self.store.append(store, first, ids)
        self.matcher.add_state(state["matcher"], ids)
        for direction, votes in state["votes"].items():
            more = votes_from_state(votes).items()
            self.votes[direction].update((ids[direction] + id_, vote) for id_, vote in more)
        self.size = tuple(state["size"])
        self.timestamps += state["timestamps"].tolist()
        self.cuts += [first] * (first > 0) + [first + cut for cut in state["cuts"]]
        self.parts.timings.add(state["timings"])
        self.parts.interruptions += state["interruptions"]
        for warning in state["warnings"]:
            self.source.warn(warning)

    def _first_sweep(self) -> None:
        tracker, detector = self._resumed_tracker(), self.parts.shot_detector(self.source)
        if self.resumed and detector:
            detector.load_state_dict(self.resumed["shots"])
        self.votes[FORWARD] = tracker.votes
        done = len(self.timestamps)
        self.reporter.begin("segment" if self.direction == "backward" else "forward", done)
        frames = islice(self.source.frames(), done, None)
        batch_size, offset = self.parts.batch_size, self.source.offset
        for step in self.parts._segment(frames, detector, batch_size, first=offset + done):
            frame, found = step.frame, step.found
            self.size = found.size
            tracked = found
            if self.direction != "backward":
                tracked = self.parts._track(tracker, step, offset)
            # Before its objects, because Ctrl-C may come anywhere: none may be in a frame that is not there.
            self.timestamps.append(frame.timestamp)
            if step.cut:
                self.cuts.append(frame.index)
            if frame.gap:
                self.gaps.append((frame.index, frame.gap))
            if self.direction != "backward":
                self._keep(self.tracked[FORWARD], frame.index, tracked)
            if self.direction != "forward":
                self._keep(self.found, frame.index, found)
            # Between two batches, so that what goes on from here makes up the same ones.
            if step.ends_batch:
                self._save_if_due(tracker, step.shots, frame.index)
            self.reporter.frame_done(self.source.num_frames, len(tracked))

    def _second_sweep(self) -> None:
        tracker = self._resumed_tracker()
        self.votes[BACKWARD] = tracker.votes
        seen_from = self.resumed["frame"] if self.resumed else len(self.timestamps)
        latest_shot = bisect_right(self.cuts, seen_from)
        self.reporter.begin("backward", len(self.tracked[BACKWARD]))
        for frame in self.parts.timings.each("decode", self.source.frames_reversed()):
            if frame.index >= seen_from or frame.index not in self.found:
                continue  # a damaged file may give more frames in one direction than in the other
            with self.parts.timings.measure("encode"):
                found = self.found[frame.index]
            shot = bisect_right(self.cuts, frame.index)
            tracked = tracker.step(frame.image, found, cut=shot != latest_shot)
            latest_shot = shot
            self._keep(self.tracked[BACKWARD], frame.index, tracked)
            new = self._match(frame, tracked)
            with self.parts.timings.measure("classify"):
                self.parts.namer.look(self.source.offset + frame.index, frame.image, new, tracker.votes)
            self._save_if_due(tracker, None, frame.index)
            self.reporter.frame_done(len(self.timestamps), len(tracked))

    def _resumed_tracker(self) -> Tracker:
        tracker = self.parts._tracker()
        if self.resumed is not None:
            tracker.load_state_dict(self.resumed["tracker"])
        return tracker

    def _turn_to(self, stage: str) -> None:
        self.stage, self.resumed = stage, None
        if self.work and (self.work.is_due or self.work.keep):
            self._save(None, None, len(self.timestamps))

    def _save_if_due(self, tracker: Tracker, shots: dict[str, Any] | None, frame: int) -> None:
        if self.work and self.work.is_due:
            with self.parts.timings.measure("checkpoint"):
                self._save(tracker, shots, frame)

    def _save(self, tracker: Tracker | None, shots: dict[str, Any] | None, frame: int) -> None:
        """Make a checkpoint after `frame` of the stage under way; `shots` as in `Segmented`."""
        finished = {_FIRST: (), _SECOND: (FORWARD,), DONE: (FORWARD, BACKWARD)}[self.stage]
        state = {
            "stage": self.stage,
            "frame": frame,
            "size": self.size,
            "timestamps": np.array(self.timestamps, np.float64),
            "cuts": self.cuts,
            "votes": {direction: votes_state(self.votes[direction]) for direction in finished},
            "matcher": self.matcher.state_dict(),
            "tracker": tracker and tracker.state_dict(),
            "shots": shots,
            "timings": self.parts.timings.state_dict(),
            "warnings": self.source.warnings,
            "interruptions": self.parts.interruptions,
        }
        self.work.save(state)

    def _load_state(self, state: dict[str, Any]) -> None:
        self.stage, self.size = state["stage"], tuple(state["size"])
        self.timestamps, self.cuts = state["timestamps"].tolist(), state["cuts"]
        self.votes.update((name, votes_from_state(votes)) for name, votes in state["votes"].items())
        self.matcher.load_state_dict(state["matcher"])
        self.parts.timings.load_state_dict(state["timings"])
        self.parts.interruptions = state["interruptions"] + 1
        for warning in state["warnings"]:
            self.source.warn(warning)
        if state["tracker"] is None:  # between two sweeps
            self.resumed = None

    def _match(self, frame: Frame, tracked: Detections) -> Detections:
        """Compare with the forward pass; gives what that has not seen in this frame."""
        forward = self.tracked[FORWARD]
        if frame.index not in forward:
            return tracked
        with self.parts.timings.measure("encode"):
            seen = forward[frame.index]
        known = self.matcher.add(frame.index, frame.image, seen, tracked)
        return tracked[[k for k, id_ in enumerate(tracked.ids.tolist()) if id_ not in known]]

    def _keep(self, store: DetectionStore, index: int, detections: Detections) -> None:
        with self.parts.timings.measure("encode"):
            store[index] = detections

    def state(self) -> str:
        """How far it came, for a message."""
        total = self.source.num_frames
        frames = f"{len(self.timestamps)} of {total} frames" if total else f"{len(self.timestamps)} frames"
        if not len(self.tracked[BACKWARD]):
            if self.direction == "backward":
                return f"{frames} were segmented, and tracking had not begun"
            return f"{frames} were processed"
        return f"the backward pass covers {len(self.tracked[BACKWARD])} of {len(self.timestamps)} frames"

    def results(self) -> VideoInstances:
        """Stage 3: one set of tracks, named."""
        with self.parts.timings.measure("merge"):
            nodes = [(direction, id_) for direction, votes in self.votes.items() for id_ in votes]
            numbers = number_objects(self.matcher.join(nodes))
            tracks = merge_directions(self.tracked[FORWARD], self.tracked[BACKWARD], self.matcher, numbers)
            self._name(tracks, numbers)
            if self.parts.human_objects:
                tracks = join_companions(tracks, self.parts.classes)
            if not self.parts._keeps_unnamed:
                tracks = [track for track in tracks if track.label != UNNAMED]
            tracks = number_by_appearance(limit_objects(tracks, self.parts.tracking.max_objects))
        self.reporter.merged(len(self.timestamps), len(tracks))
        return VideoInstances(
            name=self.source.name,
            size=self.size,
            timestamps=np.array(self.timestamps, np.float64),
            classes=self.parts.classes,
            tracks=tracks,
            category_ids=self.parts.labels.ids,
            cuts=tuple(self.cuts),
            gaps=tuple(self.gaps),
        )

    def _name(self, tracks: Sequence[Track], numbers: dict[Node, int]) -> None:
        votes: dict[int, Votes] = {}
        for (direction, id_), number in numbers.items():
            more = self.votes[direction][id_]
            votes[number] = votes[number] + more if number in votes else more
        for track in tracks:
            track.class_scores = self.parts.namer.evidence(votes[track.id])
            track.label = best_label(track.class_scores, 0)


class Reporter:
    """Turns finished frames into `ProgressEvent`s."""

    def __init__(self, tell: Callable[[ProgressEvent], None]) -> None:
        self._tell = tell
        self.begin("")

    def begin(self, stage: str, done: int = 0) -> None:
        """A stage of which an interrupted run has already `done` so many frames."""
        self._stage, self._frame, self._done, self._since = stage, done, done, time.perf_counter()

    def frame_done(self, total: int | None, objects: int) -> None:
        self._frame += 1
        seconds = max(time.perf_counter() - self._since, 1e-9)
        self._tell(
            ProgressEvent(self._stage, self._frame, total, (self._frame - self._done) / seconds, objects)
        )

    def merged(self, frames: int, tracks: int) -> None:
        self._tell(ProgressEvent("merge", frames, frames, 0.0, tracks))
