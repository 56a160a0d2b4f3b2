"""The only types that travel between rooms: `Detections` (one frame), `Track`, `VideoInstances`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from msnvis import masks as mask_ops
from msnvis.masks import RLE

#: The label of an object that nothing could name; shown as ``object``.
UNNAMED = -1


@dataclass
class Detections:
    """The objects of one frame.

    Attributes:
        size: ``(height, width)`` of the frame in pixels.
        rles: N masks, COCO run-length encodings of `size`.
        scores: ``(N,)`` float32 in 0..1, how surely there is *an object*, whatever its class.
        class_scores: ``(N, C)`` float32 in 0..1, evidence for each class of the label space in use; a row of zeros
            is an object that nothing could name.
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
        return cls(
            size=(int(masks.shape[1]), int(masks.shape[2])),
            rles=mask_ops.encode(masks),
            scores=np.asarray(scores, dtype=np.float32).reshape(count),
            class_scores=np.asarray(class_scores, dtype=np.float32).reshape(count, -1),
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


@dataclass
class Track:
    """One object along the video.

    Attributes:
        id: positive and unique within the video.
        label: index into the label space, or `UNNAMED`.
        score: 0..1 for the whole track.
        rles: frame index -> mask; frames without the object are absent.
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
    """

    name: str
    size: tuple[int, int]
    timestamps: np.ndarray
    classes: tuple[str, ...]
    tracks: list[Track] = field(default_factory=list)

    @property
    def num_frames(self) -> int:
        return len(self.timestamps)

    def class_name(self, track: Track) -> str:
        """The track's class, ``object`` when unnamed."""
        return self.classes[track.label] if track.label >= 0 else "object"
