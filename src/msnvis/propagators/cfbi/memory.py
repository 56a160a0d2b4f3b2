"""What CFBI remembers of a video: the frames that show what the objects look like."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


@dataclass(eq=False)
class Frame:
    """A frame with its masks.

    Attributes:
        image: RGB uint8 ``(H, W, 3)``.
        labels: ``(H, W)`` int32, 0 for the background.
        embeddings: of the image in each pass, once computed; ``(1, C, h, w)``.
    """

    image: np.ndarray
    labels: np.ndarray
    embeddings: dict[int, Tensor] = field(default_factory=dict)

    @property
    def visible(self) -> set[int]:
        """The labels of the objects that are to be seen."""
        return set(np.flatnonzero(np.bincount(self.labels.ravel())).tolist()) - {0}


class References:
    """The frames in which objects joined, at most `capacity` of them.

    The frame that is dropped for a new one is that whose loss leaves the fewest objects without a reference;
    of equals the oldest, the first frame of all last.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.frames: list[Frame] = []

    def lack(self, labels: Collection[int]) -> bool:
        """Whether one of `labels` is in no reference."""
        return not set(labels) <= self.known()

    def known(self) -> set[int]:
        return set().union(*(frame.visible for frame in self.frames))

    def add(self, frame: Frame, live: Collection[int]) -> None:
        """Remember `frame`, if it is not already, for the sake of the `live` objects."""
        if frame in self.frames:
            return
        if len(self.frames) == self.capacity:
            del self.frames[self._least_needed(frame, set(live))]
        self.frames.append(frame)

    def _least_needed(self, new: Frame, live: set[int]) -> int:
        visible = [frame.visible & live for frame in (*self.frames, new)]

        def loss(index: int) -> tuple[int, bool, int]:
            others = set().union(*(seen for k, seen in enumerate(visible) if k != index))
            return len(visible[index] - others), index == 0, index

        return min(range(len(self.frames)), key=loss)
