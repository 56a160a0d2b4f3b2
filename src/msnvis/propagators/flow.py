"""Masks carried by optical flow: no weights, no download, milliseconds a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from msnvis.errors import InputError, OptionError
from msnvis.propagators.base import Corrections, Propagator, propagators

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
#: DIS refuses images in which its coarsest level would be smaller than a patch.
_SMALLEST_DIS_SIDE = 16
#: Pixels around a mask, at flow size, into which its edge may be moved by the clean-up.
_MARGIN = 12


@dataclass
class _Carried:
    """One object in the latest frame: a soft mask (h, w) float32 0..1 at (x, y) in flow pixels."""

    x: int
    y: int
    soft: np.ndarray
    frames_missing: int = 0

    @property
    def rows_columns(self) -> tuple[slice, slice]:
        height, width = self.soft.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)


@propagators.register("flow", summary="optical flow with occlusion check and edge-aware clean-up")
class FlowPropagator(Propagator):
    """Warps each mask by DIS optical flow, drops what became occluded and snaps the edge to the image.

    Masks are kept as soft masks at the size of the flow, so that carrying them over many frames does not
    erode them, and are cut at one half when they are given out at full size. A mask in `Corrections`
    replaces the one carried; send only the masks that differ from what `step` returned, so that the others
    keep their soft edges.

    An object that vanishes (occluded, out of the frame) is held for `keep_alive` frames: `step` answers all
    False for its id. It comes back when a correction brings a mask for that id. After `keep_alive` frames
    without a mask the propagator forgets the id and leaves it out. Nothing else is forgotten unasked:
    ending tracks is up to the tracker.

    Args:
        max_side: longest side in pixels of the images on which flow is computed.
        preset: of DIS: "ultrafast", "fast" or "medium", from rough and fast to fine and slow.
        keep_alive: frames for which a vanished object's id is held; 0 forgets it at once.
        check_occlusion: drop pixels for which forward and backward flow disagree.
        refine_edges: snap the edge of masks to the edges in the image.

    >>> import numpy as np
    >>> image = np.zeros((48, 64, 3), np.uint8)
    >>> mask = np.zeros((48, 64), bool); mask[10:30, 10:30] = True
    >>> propagator = FlowPropagator()
    >>> propagator.start(image, {7: mask})
    >>> list(propagator.step(image))
    [7]
    """

    def __init__(
        self,
        max_side: int = 480,
        preset: Literal["ultrafast", "fast", "medium"] = "fast",
        keep_alive: int = 15,
        check_occlusion: bool = True,
        refine_edges: bool = True,
    ) -> None:
        if preset not in _PRESETS:
            raise OptionError(f"preset '{preset}' is unknown; choose one of {', '.join(_PRESETS)}")
        if max_side < 1:
            raise OptionError(f"max_side is {max_side}; give a number of pixels from 1 on")
        if keep_alive < 0:
            raise OptionError(f"keep_alive is {keep_alive}; give a number of frames from 0 on")
        self.max_side = max_side
        self.keep_alive = keep_alive
        self.check_occlusion = check_occlusion
        self.refine_edges = refine_edges
        self._dis = cv2.DISOpticalFlow_create(_PRESETS[preset])
        self._size: tuple[int, int] | None = None
        self._image = np.zeros((0, 0, 3), np.uint8)
        self._objects: dict[int, _Carried] = {}

    def start(self, image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
        self._size = (int(image.shape[0]), int(image.shape[1]))
        self._image = _shrink(image, self.max_side)
        self._objects = {}
        self._apply(Corrections(masks))

    def step(self, image: np.ndarray, corrections: Corrections | None = None) -> dict[int, np.ndarray]:
        self._check(image)
        self._apply(corrections or Corrections())
        before, self._image = self._image, _shrink(image, self.max_side)
        if any(carried.soft.size for carried in self._objects.values()):
            self._carry(before)
        self._count_missing()
        return {id_: self._full_size(carried) for id_, carried in self._objects.items()}

    def state_dict(self) -> dict[str, object]:
        objects = list(self._objects.values())
        return {
            "size": np.array(self._size or (), np.int64),
            "image": self._image.copy(),
            "ids": np.array(list(self._objects), np.int64),
            "boxes": np.array([(o.x, o.y, *o.soft.shape[::-1]) for o in objects], np.int64).reshape(-1, 4),
            "frames_missing": np.array([o.frames_missing for o in objects], np.int64),
            "soft": np.concatenate([np.zeros(0, np.float32), *(o.soft.ravel() for o in objects)]),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        size = tuple(int(side) for side in state["size"])
        self._size = (size[0], size[1]) if size else None
        self._image = np.array(state["image"], np.uint8)
        self._objects = {}
        start = 0
        for id_, (x, y, width, height), missing in zip(
            state["ids"], state["boxes"], state["frames_missing"], strict=True
        ):
            soft = np.array(state["soft"][start : start + width * height], np.float32).reshape(height, width)
            self._objects[int(id_)] = _Carried(int(x), int(y), soft, int(missing))
            start += width * height

    def _check(self, image: np.ndarray) -> None:
        if self._size is None:
            raise InputError("propagation has not begun; call start() with the first frame and its masks")
        if image.shape[:2] != self._size:
            raise InputError(
                f"the frame is {image.shape[1]}x{image.shape[0]} pixels but the video began with "
                f"{self._size[1]}x{self._size[0]}; resize it or call start() again"
            )

    def _apply(self, corrections: Corrections) -> None:
        for id_, mask in corrections.masks.items():
            if mask.shape != self._size:
                raise InputError(
                    f"the mask of object {id_} is of size {mask.shape}, the frame of {self._size}"
                )
            self._objects[id_] = _soften(mask, self._image.shape[:2])
        for id_ in corrections.forget:
            self._objects.pop(id_, None)

    def _carry(self, before: np.ndarray) -> None:
        old, new = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, self._image))
        backward = _optical_flow(self._dis, new, old)
        forward = _optical_flow(self._dis, old, new)
        visible = _consistent(backward, forward) if self.check_occlusion else None
        for carried in self._objects.values():
            if carried.soft.size:
                self._move(carried, forward, backward, visible)

    def _move(
        self, carried: _Carried, forward: np.ndarray, backward: np.ndarray, visible: np.ndarray | None
    ) -> None:
        x0, y0, x1, y1 = _destination(carried, forward)
        if x0 >= x1 or y0 >= y1:
            carried.soft = np.zeros((0, 0), np.float32)
            return
        window = slice(y0, y1), slice(x0, x1)
        grid = backward[window] + _grid(x0 - carried.x, y0 - carried.y, x1 - x0, y1 - y0)
        soft = cv2.remap(carried.soft, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        if visible is not None:
            soft *= visible[window]
        if self.refine_edges:
            soft = _guided_filter(self._image[window], soft)
        _tighten(carried, soft, x0, y0)

    def _count_missing(self) -> None:
        for carried in self._objects.values():
            carried.frames_missing = 0 if carried.soft.size else carried.frames_missing + 1
        self._objects = {
            id_: carried
            for id_, carried in self._objects.items()
            if carried.frames_missing <= self.keep_alive
        }

    def _full_size(self, carried: _Carried) -> np.ndarray:
        mask = np.zeros(self._size, bool)
        if not carried.soft.size:
            return mask
        height, width = self._size
        scale_y, scale_x = height / self._image.shape[0], width / self._image.shape[1]
        box_height, box_width = carried.soft.shape
        x0, y0 = int(carried.x * scale_x), int(carried.y * scale_y)
        x1 = min(width, int(np.ceil((carried.x + box_width) * scale_x)))
        y1 = min(height, int(np.ceil((carried.y + box_height) * scale_y)))
        soft = _resample(
            carried.soft,
            (y1 - y0, x1 - x0),
            (1 / scale_x, 1 / scale_y),
            ((x0 + 0.5) / scale_x - 0.5 - carried.x, (y0 + 0.5) / scale_y - 0.5 - carried.y),
        )
        mask[y0:y1, x0:x1] = soft >= 0.5
        return mask


def _shrink(image: np.ndarray, max_side: int) -> np.ndarray:
    scale = max_side / max(image.shape[:2])
    if scale >= 1:
        return image.copy()
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _soften(mask: np.ndarray, size: tuple[int, int]) -> _Carried:
    """The full-size bool mask as coverage of the pixels at flow `size`."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if width == 0:
        return _Carried(0, 0, np.zeros((0, 0), np.float32))
    step_x, step_y = mask.shape[1] / size[1], mask.shape[0] / size[0]
    x0, y0 = int(x / step_x), int(y / step_y)
    x1 = min(size[1], int(np.ceil((x + width) / step_x)))
    y1 = min(size[0], int(np.ceil((y + height) / step_y)))
    left, top = int(x0 * step_x), int(y0 * step_y)
    right, bottom = int(np.ceil(x1 * step_x)), int(np.ceil(y1 * step_y))
    crop = mask[top:bottom, left:right].astype(np.float32)
    if max(step_x, step_y) > 1:
        crop = cv2.blur(crop, (round(step_x), round(step_y)), borderType=cv2.BORDER_REPLICATE)
    offset = (x0 + 0.5) * step_x - 0.5 - left, (y0 + 0.5) * step_y - 0.5 - top
    soft = _resample(crop, (y1 - y0, x1 - x0), (step_x, step_y), offset)
    return _Carried(x0, y0, soft)


def _resample(
    source: np.ndarray, size: tuple[int, int], step: tuple[float, float], offset: tuple[float, float]
) -> np.ndarray:
    """Sample `source` at ``offset + step * (column, row)`` for a result of ``(height, width)`` `size`."""
    matrix = np.array([[step[0], 0, offset[0]], [0, step[1], offset[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(source, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _optical_flow(dis: cv2.DISOpticalFlow, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """``(H, W, 2)`` float32: where each pixel of `source` (gray uint8) moves to in `target`, as ``dx dy``."""
    height, width = source.shape
    down, right = max(0, _SMALLEST_DIS_SIDE - height), max(0, _SMALLEST_DIS_SIDE - width)
    if down or right:
        source, target = (
            cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE) for image in (source, target)
        )
    return dis.calc(source, target, None)[:height, :width]


def _grid(x: int, y: int, width: int, height: int) -> np.ndarray:
    """``(height, width, 2)`` float32 pixel coordinates from ``(x, y)`` on."""
    columns, rows = np.meshgrid(
        np.arange(x, x + width, dtype=np.float32), np.arange(y, y + height, dtype=np.float32)
    )
    return np.dstack([columns, rows])


def _consistent(backward: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """``(H, W)`` float32, 1 where following `backward`, then `forward` leads back (Sundaram et al., 2010)."""
    height, width = backward.shape[:2]
    source = backward + _grid(0, 0, width, height)
    returned = cv2.remap(forward, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = ((backward + returned) ** 2).sum(axis=2)
    length = (backward**2).sum(axis=2) + (returned**2).sum(axis=2)
    return (error < 0.01 * length + 0.5).astype(np.float32)


def _destination(carried: _Carried, forward: np.ndarray) -> tuple[int, int, int, int]:
    """Box ``x0 y0 x1 y1`` in the new frame that holds wherever the object's pixels move, with a margin."""
    height, width = forward.shape[:2]
    motion = forward[carried.rows_columns][carried.soft > 0.1]
    if not len(motion):
        return 0, 0, 0, 0
    low, high = motion.min(axis=0), motion.max(axis=0)
    x0 = max(0, int(carried.x + low[0]) - _MARGIN)
    y0 = max(0, int(carried.y + low[1]) - _MARGIN)
    x1 = min(width, int(carried.x + carried.soft.shape[1] + high[0]) + _MARGIN)
    y1 = min(height, int(carried.y + carried.soft.shape[0] + high[1]) + _MARGIN)
    return x0, y0, x1, y1


def _guided_filter(image: np.ndarray, soft: np.ndarray, radius: int = 4, epsilon: float = 1e-3) -> np.ndarray:
    """Filter `soft` so that its edges follow those of the gray image (He et al., 2010)."""
    guide = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_soft = mean(guide), mean(soft)
    slope = (mean(guide * soft) - mean_guide * mean_soft) / (mean(guide**2) - mean_guide**2 + epsilon)
    return mean(slope) * guide + mean(mean_soft - slope * mean_guide)


def _tighten(carried: _Carried, soft: np.ndarray, x0: int, y0: int) -> None:
    """Store `soft`, whose corner is at ``(x0, y0)``, cut to the box around what is left of the object."""
    if not (soft >= 0.5).any():
        carried.soft = np.zeros((0, 0), np.float32)
        return
    x, y, width, height = cv2.boundingRect((soft > 0.05).astype(np.uint8))
    carried.x, carried.y = x0 + x, y0 + y
    carried.soft = np.clip(soft[y : y + height, x : x + width], 0, 1)
