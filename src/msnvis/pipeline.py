"""The three stages of the paper in order: segment, track in both directions, merge (paper 3.1, Figure 1)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np

from msnvis.datasets.labels import class_map, label_space
from msnvis.errors import OptionError
from msnvis.io.readers import Frame, FrameSource, open_source, source_from_frames
from msnvis.io.shots import KnownCuts, ShotDetector
from msnvis.merging.directions import MergingOptions
from msnvis.presets import PartName, naming_preset, preset_options
from msnvis.propagators import Propagator, propagators
from msnvis.registry import Registry, did_you_mean
from msnvis.segmenters import Classifier, Segmenter, classifiers, segmenters
from msnvis.selection import Selector, selectors
from msnvis.store.fingerprint import part_fingerprint, versions
from msnvis.store.folder import WorkFolder
from msnvis.structures import UNNAMED, Detections, VideoInstances
from msnvis.timings import Timings
from msnvis.tracking.naming import Namer, with_elsewhere
from msnvis.tracking.tracker import MAX_OBJECTS, Tracker, TrackingOptions
from msnvis.video_run import ProgressEvent, Reporter, VideoRun

if TYPE_CHECKING:
    from msnvis.pieces import VideoPieces

Direction = Literal["forward", "backward", "both"]
Frames = Iterable[np.ndarray]
Detector = ShotDetector | KnownCuts
T = TypeVar("T")

#: A live source that was away for longer comes back with a new shot: too much has moved to propagate masks.
MAX_GAP_SECONDS = 0.5


class Segmented(NamedTuple):
    """A frame after stage 1.

    Attributes:
        frame: itself.
        cut: whether it begins a new shot.
        shots: state of the detector of cuts when it had seen this frame and none after it.
        found: the segmenter's objects; None before they are known.
        ends_batch: whether the segmenter got it as the last of a batch.
    """

    frame: Frame
    cut: bool
    shots: dict[str, Any] | None
    found: Detections | None = None
    ends_batch: bool = False


class VideoInstanceSegmenter:
    """Finds, tracks and names every object of a video.

    Parts are given by name (`msnvis models` lists them), by name with options of their own, such as
    ``("cfbi", {"flip": True})``, or ready-made.

    Args:
        segmenter: stage 1, finds the objects of single frames.
        propagator: stage 2, carries masks from frame to frame.
        selector: stages 2 and 3, decides between two masks of one object.
        classifier: names objects from their crops, beside the segmenter; ``none`` leaves it to the segmenter.
        labels: label space: ``ytvis2019``, ``ytvis2021``, ``coco`` or ``any``, which also keeps unnamed
            objects.
        direction: ``both`` tracks forward and backward and merges; ``forward`` and ``backward`` do one of
            them.
        score_threshold: score from which a detection becomes a new object.
        max_objects: most objects at a time.
        device: where networks run: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``; parts that are given by
            name and have an option `device` get it (and `keep_alive`, the memory for `max_lost`).
        shots: find the cuts; nothing is propagated or merged across them.
        batch_size: frames that the segmenter gets at a time.
        classify_every: frames between two looks of the classifier at an object.
        classifier_weight: 0..1, see `msnvis.tracking.naming.combine`.
        min_evidence: class evidence below this names nothing.
        human_objects: join fragments of boards, rackets, boats and motorbikes that accompany one person.
        options: any other of `TrackingOptions` and `MergingOptions`, for example ``max_unconfirmed=10``.

    Raises:
        UnknownPartError: a part or label space of that name does not exist.
        OptionError: an option is unknown or has a value that makes no sense.

    Attributes:
        classes: names of the label space.
        timings: where the time of the latest run or stream went: decode, shots, segment, propagate,
            associate, select, classify, encode, merge.
        interrupted: whether the latest run was stopped by Ctrl-C before it was through.

    >>> from msnvis import VideoInstanceSegmenter
    >>> segmenter = VideoInstanceSegmenter(direction="forward", max_objects=5)  # doctest: +SKIP
    >>> [(track.id, len(track.rles)) for track in segmenter.run("street.mp4").tracks]  # doctest: +SKIP
    [(1, 250), (2, 97)]
    """

    def __init__(
        self,
        segmenter: PartName | Segmenter = "compact",
        propagator: PartName | Propagator = "flow",
        selector: PartName | Selector = "score",
        classifier: PartName | Classifier = "efficientnet-lite0",
        *,
        labels: str = "ytvis2021",
        direction: Direction = "both",
        score_threshold: float = 0.5,
        max_objects: int = MAX_OBJECTS,
        device: str = "auto",
        shots: bool = True,
        batch_size: int = 4,
        classify_every: int = 8,
        classifier_weight: float = 0.5,
        min_evidence: float = 0.3,
        human_objects: bool = True,
        **options: float,
    ) -> None:
        if direction not in ("forward", "backward", "both"):
            raise OptionError(f"direction is '{direction}'; choose forward, backward or both")
        for name, value in (("batch_size", batch_size), ("classify_every", classify_every)):
            if value < 1:
                raise OptionError(f"{name} is {value}; give a whole number from 1 on")
        if not 0 <= classifier_weight <= 1:
            raise OptionError(f"classifier_weight is {classifier_weight}; give a number from 0 to 1")
        shared = {
            "score_threshold": score_threshold,
            "max_objects": max_objects,
            **options,
        }
        self.tracking = TrackingOptions(**_take(TrackingOptions, shared))
        self.merging = MergingOptions(**_take(MergingOptions, shared))
        known = {option.name for kind in (TrackingOptions, MergingOptions) for option in fields(kind)}
        if unknown := shared.keys() - known:
            hint = did_you_mean(min(unknown), sorted(known))
            raise OptionError(f"there is no option '{min(unknown)}'; {hint}")
        self.labels = label_space(labels)
        self.direction = direction
        self.shots = shots
        self.batch_size = batch_size
        self.human_objects = human_objects
        self._device = device
        self._given = {
            "segmenter": segmenter,
            "propagator": propagator,
            "selector": selector,
            "classifier": classifier,
        }
        self.segmenter = _part(segmenters, segmenter, device=device)
        # A lost object can still come back in the frame after the last of `max_lost`.
        memory = self.tracking.max_lost + 1
        self.propagator = _part(propagators, propagator, device=device, keep_alive=memory)
        self.selector = _part(selectors, selector, device=device)
        classifier = _part(classifiers, classifier, device=device, labels=labels)
        self.namer = Namer(
            classifier,
            class_map(classifier.classes, self.labels),
            classify_every,
            classifier_weight,
            min_evidence,
        )
        has_name = class_map(self.segmenter.classes, label_space("any")).any(axis=1)
        self._to_labels = with_elsewhere(class_map(self.segmenter.classes, self.labels), has_name)
        self.timings = Timings()
        self.interrupted = False
        self.interruptions = 0

    @classmethod
    def from_preset(cls, preset: str, **options: object) -> VideoInstanceSegmenter:
        """Parts that go together: ``compact``, ``paper`` or ``best`` (`msnvis models` says what they are).

        Args:
            preset: its name.
            options: of the class; they win over those of the preset.

        Raises:
            UnknownPartError: there is no such preset, or a part of it is not known.
            MsnvisError: a part lacks its extra or its weights; the text says what to install or fetch.

        >>> VideoInstanceSegmenter.from_preset("paper", direction="forward")  # doctest: +SKIP
        """
        chosen = {**preset_options(preset), **options}
        with naming_preset(preset):
            return cls(**chosen)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.labels.classes

    def run(
        self,
        source: str | os.PathLike[str] | FrameSource | Frames,
        *,
        progress: Callable[[ProgressEvent], None] | None = None,
        work: WorkFolder | None = None,
        pieces: VideoPieces | None = None,
    ) -> VideoInstances:
        """Process a whole video in bounded memory: run-length encodings go to a file as they are made.

        Ctrl-C ends the run early: what was tracked until then is returned, `interrupted` is set and the
        source gets a warning. A live source is tracked forward only.

        Args:
            source: path or address, an opened source, or RGB uint8 ``(H, W, 3)`` frames.
            progress: called after every frame and once at the end.
            work: where intermediate results are kept, entered, so that an interrupted run goes on from its
                last checkpoint when it is repeated. A temporary file without it.
            pieces: of `source`, all of them complete: they are joined in `work`, instead of reading it.

        Returns:
            The tracks; their masks are read from that file at each look, so that `work` must stay open.

        Raises:
            InputError: the source cannot be read.
            OptionError: another run was interrupted in `work`.
            OutputError: the disk is full.

        >>> with WorkFolder("out") as work:  # doctest: +SKIP
        ...     source = open_source("street.mp4")
        ...     write_results(segmenter.run(source, work=work), source, Path("out"), ["ytvis"])
        ...     work.finish()
        """
        if not isinstance(source, FrameSource):
            source = _open(source)
        run = self._begin(source, work, progress)
        if pieces is not None:
            run.join(pieces)
            return run.results()
        try:
            run.sweep()
        except KeyboardInterrupt:
            self.interrupted = True
            source.warn(f"{source.name} was interrupted: {run.state()}")
        return run.results()

    def track(self, source: FrameSource, work: WorkFolder) -> None:
        """Stages 1 and 2 alone; what they find stays in `work`, which is to be kept.

        For pieces of a video, see `msnvis.pieces`. Raises what `run` raises.
        """
        self._begin(source, work).sweep()

    def _begin(
        self,
        source: FrameSource,
        work: WorkFolder | None,
        progress: Callable[[ProgressEvent], None] | None = None,
    ) -> VideoRun:
        direction = self.direction
        if source.live and direction != "forward":
            source.warn(f"{source.name} is live: objects are tracked forward only")
            direction = "forward"
        self._warn_of_selector(source)
        self.timings, self.interrupted, self.interruptions = Timings(), False, 0
        return VideoRun(self, source, direction, Reporter(progress or (lambda event: None)), work)

    def stream(self, frames: FrameSource | Frames) -> Iterator[Detections]:
        """Track online, forward only: gives the objects of each frame before the next one is read.

        Args:
            frames: an opened source (a camera, for example) or RGB uint8 ``(H, W, 3)`` frames, without end
                if need be.

        Yields:
            One `Detections` a frame, with ids. They are final, so they have gaps where an object was never
            named; `class_scores` is the evidence so far, so names may still change.

        >>> segmenter = VideoInstanceSegmenter()  # doctest: +SKIP
        >>> for found in segmenter.stream(webcam): print(found.ids, found.labels)  # doctest: +SKIP
        """
        source = frames if isinstance(frames, FrameSource) else source_from_frames(frames)
        self._warn_of_selector(source)
        self.timings = Timings()
        tracker = self._tracker()
        for step in self._segment(source.frames(), self.shot_detector(source), batch_size=1):
            tracked = self._track(tracker, step)
            evidence = [self.namer.evidence(tracker.votes[id_]) for id_ in tracked.ids.tolist()]
            tracked.class_scores = np.array(evidence, np.float32).reshape(len(tracked), len(self.classes))
            tracker.forget_ended()
            yield tracked if self._keeps_unnamed else tracked[tracked.labels != UNNAMED]

    def _warn_of_selector(self, source: FrameSource) -> None:
        """Where it was trained on the masks of other parts, as far as these have names."""
        names = tuple(_name_of(self._given[kind]) for kind in ("segmenter", "propagator"))
        trained_on = [tuple(parts) for parts in self.selector.trained_on]
        if trained_on and None not in names and names not in trained_on:
            known = ", or ".join(" and ".join(parts) for parts in trained_on)
            source.warn(
                f"the selector's weights were trained on masks of {known}, not of {' and '.join(names)}, and "
                "may choose badly; train some on pairs of these (`msnvis pairs`), or take another selector"
            )

    def fingerprint(self, source: FrameSource) -> dict[str, Any]:
        """All that results for `source` follow from: the input, options, parts with checksums, versions.

        The input is None where it cannot be recognised or read again.
        """
        identity = source.identity()
        return {
            "input": identity and {**identity, "frame size": list(source.size or ())},
            "options": {
                "labels": self.labels.name,
                "direction": self.direction,
                "shots": self.shots,
                "batch_size": self.batch_size,
                "classify_every": self.namer.classify_every,
                "classifier_weight": self.namer.classifier_weight,
                "min_evidence": self.namer.min_evidence,
                "human_objects": self.human_objects,
                "device": self._device,
                "tracking": asdict(self.tracking),
                "merging": asdict(self.merging),
            },
            "parts": self._parts_fingerprint,
            "versions": versions(),
        }

    @cached_property
    def _parts_fingerprint(self) -> dict[str, Any]:
        parts = {
            "segmenter": self.segmenter,
            "propagator": self.propagator,
            "selector": self.selector,
            "classifier": self.namer.classifier,
        }
        return {kind: part_fingerprint(self._given[kind], part) for kind, part in parts.items()}

    @property
    def _keeps_unnamed(self) -> bool:
        return self.labels.name == "any"

    def _tracker(self) -> Tracker:
        columns = self._to_labels.shape[1]
        return Tracker(self.propagator, self.selector, columns, self.tracking, self.timings)

    def shot_detector(self, source: FrameSource) -> Detector | None:
        """What finds the cuts of `source`; None where they are not looked for."""
        if not self.shots:
            return None
        return ShotDetector() if source.cuts is None else KnownCuts(source.cuts)

    def _segment(
        self, frames: Iterable[Frame], detector: Detector | None, batch_size: int, first: int = 0
    ) -> Iterator[Segmented]:
        """Stage 1: each frame with its objects, named by `_to_labels`.

        `first` is the index of the first of `frames` in the video.
        """
        self.segmenter.reset(first)
        for batch in _batches(self._find_cuts(frames, detector), batch_size):
            with self.timings.measure("segment"):
                found = self.segmenter.segment([step.frame.image for step in batch])
            for step, detections in zip(batch, found, strict=True):
                class_scores = np.minimum(detections.class_scores @ self._to_labels, 1)
                detections = replace(detections, class_scores=class_scores)
                usable = detections[detections.scores >= self.tracking.weakest_score]
                yield step._replace(found=usable, ends_batch=step is batch[-1])

    def _find_cuts(self, frames: Iterable[Frame], detector: Detector | None) -> Iterator[Segmented]:
        """Each frame, with no objects yet."""
        for frame in self.timings.each("decode", frames):
            with self.timings.measure("shots"):
                cut = detector is not None and detector.is_cut(frame.image)
            yield Segmented(frame, cut or frame.gap > MAX_GAP_SECONDS, detector and detector.state_dict())

    def _track(self, tracker: Tracker, step: Segmented, offset: int = 0) -> Detections:
        """Stage 2 for one frame, and the classifier's look at it; `offset` as in `FrameSource`."""
        frame = step.frame
        tracked = tracker.step(frame.image, step.found, cut=step.cut)
        with self.timings.measure("classify"):
            self.namer.look(offset + frame.index, frame.image, tracked, tracker.votes)
        return tracked


def _open(source: str | os.PathLike[str] | Frames) -> FrameSource:
    if isinstance(source, str | os.PathLike):
        return open_source(source)
    return source_from_frames(source)


def _batches(steps: Iterable[Segmented], most: int) -> Iterator[list[Segmented]]:
    """At most so many frames at a time, and never of two shots.

    The last digits of what a network finds may depend on what else is in the batch: so a shot has the same
    batches, and results, whatever comes before it.
    """
    batch: list[Segmented] = []
    for step in steps:
        if step.cut and batch:
            yield batch
            batch = []
        batch.append(step)
        if len(batch) == most:  # at once, because the next frame of a live source takes its time
            yield batch
            batch = []
    if batch:
        yield batch


def _part(registry: Registry[T], part: PartName | T, **offers: object) -> T:
    """Make a part that is given by name, with its own options and those of `offers` that it takes."""
    if not isinstance(part, str | tuple):
        return part
    name, options = (part, {}) if isinstance(part, str) else part
    taken = {option: value for option, value in offers.items() if registry.takes(name, option)}
    return registry.create(name, **{**taken, **options})


def _name_of(part: PartName | object) -> str | None:
    """None for a ready-made part."""
    return part if isinstance(part, str) else part[0] if isinstance(part, tuple) else None


def _take(kind: type, options: dict[str, float]) -> dict[str, float]:
    """Those of `options` that the dataclass `kind` knows."""
    return {field.name: options[field.name] for field in fields(kind) if field.name in options}
