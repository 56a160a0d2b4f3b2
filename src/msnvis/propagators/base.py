"""Stage 2: the contract of a propagator, which carries masks from frame t-1 to frame t."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from msnvis import masks as mask_ops
from msnvis.errors import InputError
from msnvis.masks import RLE
from msnvis.registry import Registry


@dataclass
class Corrections:
    """What the tracker decided about the latest frame, told to the propagator before it goes on.

    Attributes:
        masks: id -> ``(H, W)`` bool: masks that the selector chose, and objects that are new; all False where
            an object is not to be seen.
        forget: ids that shall not be propagated any more, be they known or not; an id that is in `masks`
            too is forgotten.
    """

    masks: Mapping[int, np.ndarray] = field(default_factory=dict)
    forget: frozenset[int] = frozenset()


class Propagator(ABC):
    """Carries masks along a video. Ids are the caller's, any integers.

    A video is begun by `start` and continued by `step`; frames may come in any direction. What was learnt of
    one video never reaches the next: after `start` the masks are those of a new instance.
    """

    @abstractmethod
    def start(self, image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
        """Begin a video or shot, forgetting everything before.

        Args:
            image: RGB uint8 ``(H, W, 3)``.
            masks: id -> ``(H, W)`` bool.

        Raises:
            InputError: a mask is not of the frame's size.
        """

    @abstractmethod
    def step(self, image: np.ndarray, corrections: Corrections | None = None) -> dict[int, np.ndarray]:
        """Apply `corrections` to the frame before, then carry every mask to `image`.

        Returns:
            id -> ``(H, W)`` bool for every id not forgotten, in the order in which they were first given; all
            False where an object is not to be seen.

        Raises:
            InputError: the video has not begun, or the frame or a mask is not of the size of its first frame.
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
    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of all that was learnt of the video so far, as arrays of numbers; no options, no weights.

        Given to `load_state_dict` of an instance with the same options and weights, it goes on with the same
        masks. `state_to_bytes` makes bytes of it.
        """

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Restore what `state_dict` gave, forgetting everything before."""


def check_frame(image: np.ndarray, size: tuple[int, int] | None) -> None:
    """Raise InputError unless `image` has the `size` of the video's first frame (None: there was none)."""
    if size is None:
        raise InputError("propagation has not begun; call start() with the first frame and its masks")
    if image.shape[:2] != size:
        raise InputError(
            f"the frame is {image.shape[1]}x{image.shape[0]} pixels but the video began with "
            f"{size[1]}x{size[0]}; resize it or call start() again"
        )


def check_mask(id_: int, mask_size: tuple[int, ...], size: tuple[int, int]) -> None:
    """Raise InputError unless the mask of an object is of the frame's `size`."""
    if mask_size != size:
        raise InputError(f"the mask of object {id_} has shape {mask_size}, not the frame's {size}")


def state_to_bytes(state: Mapping[str, np.ndarray]) -> bytes:
    """A propagator's state in the format of safetensors, for a file or another process.

    >>> state_from_bytes(state_to_bytes({"ids": np.array([7, -1])}))
    {'ids': array([ 7, -1])}
    """
    return save({name: np.array(array, order="C") for name, array in state.items()})


def state_from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """What was given to `state_to_bytes`.

    Raises:
        InputError: the bytes are something else or not all of them.
    """
    try:
        return load(data)
    except SafetensorError as error:
        raise InputError(
            f"the saved state of a propagator is broken ({error}); start the video anew"
        ) from error


propagators: Registry[Propagator] = Registry("propagator")


def create_propagator(name: str, **options: object) -> Propagator:
    """Make a propagator by name.

    >>> type(create_propagator("flow")).__name__
    'FlowPropagator'
    """
    return propagators.create(name, **options)
