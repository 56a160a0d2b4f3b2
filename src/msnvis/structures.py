"""The only types that travel between rooms: `Detections` (one frame), `Track`, `VideoInstances`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.masks import RLE

if TYPE_CHECKING:
    import pandas
    import supervision

#: The label of an object that nothing could name; shown as ``object``.
UNNAMED = -1
#: Class name of such an object.
UNNAMED_CLASS = "object"
#: Category id of such an object in files; no data set uses it.
UNNAMED_CATEGORY = 0


@dataclass
class Detections:
    """The objects of one frame.

    Attributes:
        size: ``(height, width)`` of the frame in pixels.
        rles: N masks, COCO run-length encodings of `size`.
        scores: ``(N,)`` float32 in 0..1, how surely there is *an object*, whatever its class.
        class_scores: ``(N, C)`` float32 in 0..1, evidence for each class of the label space in use; a row of
            zeros is an object that nothing could name.
        ids: ``(N,)`` int64 track ids, or None before tracking.

    >>> frame = np.zeros((1, 4, 6), bool); frame[0, 1:3, 2:5] = True
    >>> found = Detections.from_masks(frame, scores=[0.9], class_scores=[[0.2, 0.7]])
    >>> found.labels.tolist(), found.boxes.tolist()
    ([1], [[2.0, 1.0, 5.0, 3.0]])
    """

    size: tuple[int, int]
    rles: list[RLE]
    scores: np.ndarray
    class_scores: np.ndarray
    ids: np.ndarray | None = None

    @classmethod
    def from_masks(
        cls,
        masks: np.ndarray,
        scores: Sequence[float] | np.ndarray,
        class_scores: Sequence[Sequence[float]] | np.ndarray,
        ids: Sequence[int] | np.ndarray | None = None,
    ) -> Detections:
        """From ``(N, H, W)`` bool masks."""
        masks = np.asarray(masks)
        count = len(masks)
        class_scores = np.asarray(class_scores, dtype=np.float32)
        if class_scores.ndim != 2:  # of no objects, a list does not say how many classes there are
            class_scores = class_scores.reshape(count, -1 if count else 0)
        return cls(
            size=(int(masks.shape[1]), int(masks.shape[2])),
            rles=mask_ops.encode(masks),
            scores=np.asarray(scores, dtype=np.float32).reshape(count),
            class_scores=class_scores,
            ids=None if ids is None else np.asarray(ids, dtype=np.int64).reshape(count),
        )

    @classmethod
    def empty(cls, size: tuple[int, int], num_classes: int) -> Detections:
        """No objects."""
        return cls(size, [], np.zeros(0, np.float32), np.zeros((0, num_classes), np.float32))

    def __len__(self) -> int:
        return len(self.rles)

    def __getitem__(self, index: Sequence[int] | np.ndarray | slice) -> Detections:
        """The chosen objects: a slice, a list of indices or an ``(N,)`` bool array."""
        chosen = np.arange(len(self))[index]
        return Detections(
            self.size,
            [self.rles[i] for i in chosen],
            self.scores[chosen],
            self.class_scores[chosen],
            None if self.ids is None else self.ids[chosen],
        )

    @property
    def masks(self) -> np.ndarray:
        """``(N, H, W)`` bool, decoded at each call."""
        return mask_ops.decode(self.rles, self.size)

    @property
    def boxes(self) -> np.ndarray:
        """``(N, 4)`` float64 tight boxes ``x1 y1 x2 y2``, right and bottom exclusive."""
        return mask_ops.boxes(self.rles)

    @property
    def labels(self) -> np.ndarray:
        """``(N,)`` int64 index of the best class, `UNNAMED` where there is no evidence for any."""
        if self.class_scores.shape[1] == 0:
            return np.full(len(self), UNNAMED)
        best = self.class_scores.argmax(axis=1)
        return np.where(self.class_scores.max(axis=1) > 0, best, UNNAMED)

    def to_supervision(self, classes: Sequence[str] = ()) -> supervision.Detections:
        """As supervision's `Detections`.

        Scores are its ``confidence``, labels its ``class_id`` (-1 is unnamed), ids its ``tracker_id`` and the
        names, when `classes` are given, its ``data["class_name"]``.

        Raises `MissingExtraError` without supervision.
        """
        from msnvis.io.formats import supervision as conversion

        return conversion.from_detections(self, classes)

    @classmethod
    def from_supervision(
        cls, detections: supervision.Detections, size: tuple[int, int], num_classes: int
    ) -> Detections:
        """From supervision's `Detections`; boxes become masks where it has no masks.

        Args:
            detections: with ``class_id`` an index into the label space, if it has any.
            size: ``(height, width)`` of the frame.
            num_classes: size of the label space.
        """
        from msnvis.io.formats import supervision as conversion

        return conversion.to_detections(detections, size, num_classes)


@dataclass
class Track:
    """One object along the video.

    Attributes:
        id: positive and unique within the video.
        label: index into the label space, or `UNNAMED`.
        score: 0..1 for the whole track.
        rles: frame index -> mask; frames without the object are absent. Of the results of a run this and
            `frame_scores` are read-only, and a mask is read from a file when it is looked at; a dict of it,
            or a deep copy of the track, is in memory.
        frame_scores: frame index -> score of the mask there (same keys as `rles`).
        class_scores: ``(C,)`` float32 evidence gathered along the track.
    """

    id: int
    label: int
    score: float
    rles: dict[int, RLE] = field(default_factory=dict)
    frame_scores: dict[int, float] = field(default_factory=dict)
    class_scores: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))


@dataclass
class VideoInstances:
    """Everything found in one video.

    Attributes:
        name: of the video, without folder and extension.
        size: ``(height, width)`` in pixels of the masks.
        timestamps: ``(T,)`` float64 seconds, one for each frame processed.
        classes: names of the label space, in the order of `Track.label`.
        tracks: the objects.
        category_ids: the number of each class in files, as its data set has it; 1, 2, 3... when not given. 0
            stands for objects without a name.
        cuts: indices of frames that begin a new shot, the first frame of the video left out.
        gaps: ``(frame index, seconds)`` of each time that a live source dropped out before that frame.

    >>> frame = Detections.from_masks(np.ones((1, 4, 6), bool), [0.9], [[0.2, 0.7]], ids=[1])
    >>> video = VideoInstances.from_frames("clip", [frame, frame], [0.0, 0.04], classes=("cat", "dog"))
    >>> [(track.id, video.class_name(track), len(track.rles)) for track in video.tracks]
    [(1, 'dog', 2)]
    """

    name: str
    size: tuple[int, int]
    timestamps: np.ndarray
    classes: tuple[str, ...]
    tracks: list[Track] = field(default_factory=list)
    category_ids: tuple[int, ...] = ()
    cuts: tuple[int, ...] = ()
    gaps: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.category_ids:
            self.category_ids = tuple(range(1, len(self.classes) + 1))
        if len(self.category_ids) != len(self.classes):
            raise ValueError(f"{len(self.category_ids)} category ids for {len(self.classes)} classes")
        if UNNAMED_CATEGORY in self.category_ids:
            raise ValueError(f"category id {UNNAMED_CATEGORY} stands for objects without a name")

    @classmethod
    def from_frames(
        cls,
        name: str,
        frames: Iterable[Detections],
        timestamps: Sequence[float] | np.ndarray,
        classes: Sequence[str],
        *,
        size: tuple[int, int] | None = None,
        category_ids: Sequence[int] = (),
    ) -> VideoInstances:
        """Collect the tracks of frames that carry ids, for example what a stream yielded.

        The score of a track is the mean over its frames and its class the most frequent one (the first seen
        of equals), as usual in YouTube-VIS.

        Args:
            name: of the video.
            frames: one `Detections` for each of `timestamps`, with ids.
            timestamps: ``(T,)`` seconds.
            classes: K names, the columns of `Detections.class_scores`.
            size: ``(height, width)``; that of the frames when not given.
            category_ids: see `VideoInstances`.
        """
        tracks: dict[int, Track] = {}
        votes: dict[int, dict[int, int]] = {}
        for index, frame in enumerate(frames):
            size = size or frame.size
            if frame.ids is None:
                raise ValueError(f"the objects of frame {index} have no ids")
            for track_id, rle, score, label in zip(
                frame.ids.tolist(), frame.rles, frame.scores.tolist(), frame.labels.tolist(), strict=True
            ):
                track = tracks.setdefault(track_id, Track(track_id, UNNAMED, 0.0))
                track.rles[index] = rle
                track.frame_scores[index] = score
                count = votes.setdefault(track_id, {})
                count[label] = count.get(label, 0) + 1
        for track_id, track in tracks.items():
            track.label = max(votes[track_id], key=votes[track_id].__getitem__)
            track.score = float(np.mean(list(track.frame_scores.values())))
        return cls(
            name=name,
            size=size or (0, 0),
            timestamps=np.asarray(timestamps, dtype=np.float64),
            classes=tuple(classes),
            tracks=list(tracks.values()),
            category_ids=tuple(category_ids),
        )

    @property
    def num_frames(self) -> int:
        return len(self.timestamps)

    def class_name(self, track: Track) -> str:
        """The track's class, ``object`` when unnamed."""
        return self.classes[track.label] if track.label >= 0 else UNNAMED_CLASS

    def category_id(self, track: Track) -> int:
        """The number of the track's class in files, 0 when unnamed."""
        return self.category_ids[track.label] if track.label >= 0 else UNNAMED_CATEGORY

    def by_frame(self) -> list[list[Track]]:
        """For each frame the tracks that are in it, in the order of `tracks`."""
        present: list[list[Track]] = [[] for _ in range(self.num_frames)]
        for track in self.tracks:
            for index in track.rles:
                present[index].append(track)
        return present

    def frames(self) -> Iterator[Detections]:
        """Each frame as `Detections` with ids; the evidence for the class of the track is 1."""
        for index, tracks in enumerate(self.by_frame()):
            class_scores = np.zeros((len(tracks), len(self.classes)), np.float32)
            for row, track in enumerate(tracks):
                if track.label >= 0:
                    class_scores[row, track.label] = 1
            yield Detections(
                self.size,
                [track.rles[index] for track in tracks],
                np.array([track.frame_scores[index] for track in tracks], np.float32),
                class_scores,
                np.array([track.id for track in tracks], np.int64),
            )

    def to_ytvis(self, size: tuple[int, int] | None = None) -> dict[str, Any]:
        """As YouTube-VIS JSON, what ``tracks.json`` holds: one annotation a track.

        Beyond the official fields it holds all that `from_ytvis` needs to restore everything: timestamps,
        cuts, track ids, scores of tracks and frames, and the evidence for each class.

        Args:
            size: ``(height, width)`` to scale the masks to; their own when not given.
        """
        from msnvis.io.formats import ytvis

        return ytvis.to_dict(self, size)

    def to_ytvis_results(self, video_id: int = 1) -> list[dict[str, Any]]:
        """As the list that the official YouTube-VIS evaluation takes; unnamed objects are left out.

        Args:
            video_id: of this video in the ground truth.
        """
        from msnvis.io.formats import ytvis

        return ytvis.to_results(self, video_id)

    @classmethod
    def from_ytvis(cls, data: Mapping[str, Any] | str | Path, video_id: int | None = None) -> VideoInstances:
        """From YouTube-VIS JSON, ours or a data set's: a file or its content.

        Args:
            data: path of the file, or what it holds.
            video_id: which of the videos; needed when there are several.

        Raises `InputError` when it cannot be read.
        """
        from msnvis.io.formats import ytvis

        return ytvis.read(data, video_id)

    def to_coco(self, size: tuple[int, int] | None = None) -> dict[str, Any]:
        """As COCO JSON: one image a frame, one annotation a mask, with ``track_id`` and ``score``.

        Args:
            size: ``(height, width)`` to scale the masks to; their own when not given.
        """
        from msnvis.io.formats import coco

        return coco.to_dict(self, size)

    @classmethod
    def from_coco(cls, data: Mapping[str, Any] | str | Path) -> VideoInstances:
        """From COCO JSON whose images are the frames of one video and whose annotations carry ``track_id``.

        Raises `InputError` when it cannot be read.
        """
        from msnvis.io.formats import coco

        return coco.read(data)

    def to_png(self, folder: str | Path, size: tuple[int, int] | None = None) -> None:
        """Write a PNG label map a frame, ``00000.png``..., pixel = track id, in the DAVIS palette.

        Where masks overlap, the one with the higher score is on top.

        Args:
            folder: made when it does not exist.
            size: ``(height, width)`` to scale the masks to; their own when not given.

        Raises `OutputError` when an id is above 255 or a file cannot be written.
        """
        from msnvis.io.atomic import told
        from msnvis.io.formats import png

        with told(Path(folder)):
            png.write(self, Path(folder), size)

    @classmethod
    def from_png(
        cls, folder: str | Path, timestamps: Sequence[float] | np.ndarray | None = None
    ) -> VideoInstances:
        """From a folder of PNG label maps in the order of their names, as in DAVIS; score 1, no classes.

        Args:
            folder: with the maps.
            timestamps: ``(T,)`` seconds; at 25 frames a second when not given.

        Raises `InputError` when it cannot be read.
        """
        from msnvis.io.formats import png

        return png.read(Path(folder), timestamps)

    def to_mots(self, size: tuple[int, int] | None = None) -> str:
        """As MOTS text: ``frame id class_id height width rle`` a line, id = class id * 1000 + instance.

        Masks may not overlap there: a pixel claimed by several goes to the highest score. The instance is the
        track id where all ids are below 1000, else a number within the class.

        Args:
            size: ``(height, width)`` to scale the masks to; their own when not given.

        Raises `OutputError` when a class has more than 999 tracks.
        """
        from msnvis.io.formats import mots

        return "".join(mots.lines(self, size))

    @classmethod
    def from_mots(
        cls,
        text: str | Path,
        classes: Mapping[int, str],
        timestamps: Sequence[float] | np.ndarray | None = None,
        name: str = "video",
    ) -> VideoInstances:
        """From MOTS text, which has neither scores (1 is assumed) nor names.

        Args:
            text: what the file holds, or its `Path`.
            classes: name of each class id.
            timestamps: ``(T,)`` seconds; 25 frames a second up to the last frame with an object when not
                given.
            name: of the video.

        Raises `InputError` when it cannot be read.
        """
        from msnvis.io.formats import mots

        return mots.read(text, classes, timestamps, name)

    def to_pandas(self) -> pandas.DataFrame:
        """As a table, one row a track and frame, sorted by both.

        Columns: ``frame, timestamp, track_id, label, class_name, category_id, track_score, score, x1, y1, x2,
        y2, area, rle``. ``attrs["video"]`` holds what belongs to the video, and selecting rows keeps it.

        Raises `MissingExtraError` without pandas.
        """
        from msnvis.io.formats import table

        return table.to_pandas(self)

    @classmethod
    def from_pandas(cls, table: pandas.DataFrame, video: VideoInstances | None = None) -> VideoInstances:
        """From a table as `to_pandas` makes it, perhaps with rows taken out or columns changed.

        Args:
            table: see `to_pandas`; of its columns ``frame, track_id, label, track_score, score, rle`` are
                read.
            video: the video it came from, when the table has lost its ``attrs``.
        """
        from msnvis.io.formats import table as conversion

        return conversion.from_pandas(table, video)

    def to_supervision(self) -> Iterator[supervision.Detections]:
        """Each frame as supervision's `Detections`, see `Detections.to_supervision`.

        Raises `MissingExtraError` without supervision.
        """
        return (frame.to_supervision(self.classes) for frame in self.frames())

    @classmethod
    def from_supervision(
        cls,
        frames: Iterable[supervision.Detections],
        size: tuple[int, int],
        timestamps: Sequence[float] | np.ndarray,
        classes: Sequence[str],
        name: str = "video",
        category_ids: Sequence[int] = (),
    ) -> VideoInstances:
        """From tracked detections of supervision, one for each of `timestamps`; see `from_frames`."""
        converted = (Detections.from_supervision(frame, size, len(classes)) for frame in frames)
        return cls.from_frames(name, converted, timestamps, classes, size=size, category_ids=category_ids)
