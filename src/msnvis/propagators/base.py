"""Stage 2: the contract of a propagator, which carries masks from frame t-1 to frame t."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from msnvis import masks as mask_ops
from msnvis.masks import RLE
from msnvis.registry import Registry


@dataclass
class Corrections:
    """What the tracker decided about the latest frame, told to the propagator before it goes on.

    Attributes:
        masks: id -> ``(H, W)`` bool: masks that the selector chose, and objects that are new.
        forget: ids that shall not be propagated any more.
    """

    masks: Mapping[int, np.ndarray] = field(default_factory=dict)
    forget: frozenset[int] = frozenset()


class Propagator(ABC):
    """Carries masks along a video. Ids are the caller's, any integers."""

    @abstractmethod
    def start(self, image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
        """Begin a video or shot, forgetting everything before.

        Args:
            image: RGB uint8 ``(H, W, 3)``.
            masks: id -> ``(H, W)`` bool.
        """

    @abstractmethod
    def step(self, image: np.ndarray, corrections: Corrections | None = None) -> dict[int, np.ndarray]:
        """Apply `corrections` to the frame before, then carry every mask to `image`.

        Returns:
            id -> ``(H, W)`` bool for every id not forgotten; all False where an object has vanished.
        """

    def step_rles(
        self, image: np.ndarray, masks: Mapping[int, RLE], forget: frozenset[int] = frozenset()
    ) -> dict[int, RLE]:
        """As `step`, with corrections and results as run-length encodings, as the tracker has and wants them.

        This goes through whole frames; a propagator that works on crops is quicker without that detour.
        """
        arrays = mask_ops.decode(list(masks.values()), (image.shape[0], image.shape[1]))
        carried = self.step(image, Corrections(dict(zip(masks, arrays, strict=True)), forget))
        return dict(zip(carried, mask_ops.encode(list(carried.values())), strict=True))

    @abstractmethod
    def state_dict(self) -> dict[str, object]:
        """All state, as plain arrays and numbers, such that `load_state_dict` goes on with the same masks."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, object]) -> None:
        """Restore what `state_dict` gave."""


propagators: Registry[Propagator] = Registry("propagator")


def create_propagator(name: str, **options: object) -> Propagator:
    """Make a propagator by name.

    >>> type(create_propagator("flow")).__name__
    'FlowPropagator'
    """
    return propagators.create(name, **options)
