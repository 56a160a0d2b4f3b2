"""Masks carried by optical flow: no weights, no download, milliseconds a frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from msnvis.errors import InputError, OptionError
from msnvis.propagators.base import Corrections, Propagator, propagators
from msnvis.propagators.colours import NUM_COLOURS, colour_evidence, colour_indices

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
#: DIS refuses images in which its coarsest level would be smaller than a patch.
_SMALLEST_DIS_SIDE = 16
# All lengths below are in pixels at the size of the flow.
#: What is looked at around an object: its surroundings, and where its edge may go.
_MARGIN = 30
#: Standard deviation of where the warped edge may really be.
_EDGE_BLUR = 1.2
#: No colour makes a pixel part of an object where the blurred warped mask is below this.
_OUT_OF_REACH = 0.02
#: Window (2 r + 1 wide) and smoothness of the guided filter.
_GUIDE_RADIUS, _GUIDE_EPSILON = 4, 1e-3
_NOTHING = np.zeros((0, 0), np.float32)


@dataclass
class _Carried:
    """One object in the latest frame.

    Attributes:
        x, y: upper left corner of `soft`, in pixels at the size of the flow.
        soft: ``(h, w)`` float32 in 0..1, the soft mask; of size 0 while the object is not to be seen.
        evidence: ``(NUM_COLOURS,)`` float32 from `colour_evidence`, learnt from the masks given from outside.
        frames_missing: frames since there was a mask.
    """

    x: int
    y: int
    soft: np.ndarray
    evidence: np.ndarray
    frames_missing: int = 0

    @property
    def box(self) -> tuple[int, int, int, int]:
        """``x0 y0 x1 y1``, right and bottom exclusive."""
        height, width = self.soft.shape
        return self.x, self.y, self.x + width, self.y + height


@propagators.register("flow", summary="optical flow, corrected by colour where the flow is unsure")
class FlowPropagator(Propagator):
    """Warps masks by DIS optical flow and lets colour decide where the flow cannot know.

    In each step a mask is warped from the frame before. Near its edge the warp is unsure, and where forward
    and backward flow disagree (occluded or uncovered pixels) it knows nothing and is dropped: there the
    pixel's colour decides, by how much more often it was seen in the object than around it when a mask was
    last given from outside. A guided filter then pulls the edge to the edges in the image.

    Masks are kept as soft masks at the size of the flow, so that carrying them over many frames does not
    erode them, and are cut at one half when they are given out at full size. A mask in `Corrections`
    replaces the one carried; send only the masks that differ from what `step` returned, so that the others
    keep their soft edges.

    An object that vanishes (occluded, out of the frame) is held for `keep_alive` frames: `step` answers all
    False for its id, and a correction with a mask for that id brings it back with the colours known of it.
    After `keep_alive` frames without a mask the propagator forgets the id and leaves it out. It neither
    ends tracks before that nor recognises returning objects: both are up to the tracker.

    Args:
        max_side: longest side in pixels of the images on which flow is computed.
        preset: of DIS: "ultrafast", "fast" or "medium", from rough and quick to fine and slow.
        keep_alive: frames for which a vanished object is held; 0 forgets it at once.
        check_occlusion: do not believe the flow where forward and backward flow disagree.
        use_colour: let colour decide where the flow is unsure.
        refine_edges: pull edges to the edges in the image.

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
        keep_alive: int = 30,
        check_occlusion: bool = True,
        use_colour: bool = True,
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
        self.use_colour = use_colour
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
        self._check_size(image)
        self._apply(corrections or Corrections())
        before, self._image = self._image, _shrink(image, self.max_side)
        visible = [carried for carried in self._objects.values() if carried.soft.size]
        if visible:
            self._move(visible, before)
        self._forget_long_missing()
        return {id_: self._full_size(carried) for id_, carried in self._objects.items()}

    def state_dict(self) -> dict[str, object]:
        objects = list(self._objects.values())
        return {
            "size": np.array(self._size or (), np.int64),
            "image": self._image.copy(),
            "ids": np.array(list(self._objects), np.int64),
            "boxes": np.array([carried.box for carried in objects], np.int64).reshape(-1, 4),
            "frames_missing": np.array([carried.frames_missing for carried in objects], np.int64),
            "evidence": np.array([carried.evidence for carried in objects], np.float32).reshape(
                -1, NUM_COLOURS
            ),
            "soft": np.concatenate([_NOTHING.ravel(), *(carried.soft.ravel() for carried in objects)]),
        }

    def load_state_dict(self, state: dict[str, object]) -> None:
        size = tuple(int(side) for side in state["size"])
        self._size = (size[0], size[1]) if size else None
        self._image = np.array(state["image"], np.uint8)
        self._objects = {}
        start = 0
        for id_, box, evidence, missing in zip(
            state["ids"], state["boxes"], state["evidence"], state["frames_missing"], strict=True
        ):
            x0, y0, x1, y1 = (int(side) for side in box)
            end = start + (y1 - y0) * (x1 - x0)
            soft = np.array(state["soft"][start:end], np.float32).reshape(y1 - y0, x1 - x0)
            self._objects[int(id_)] = _Carried(x0, y0, soft, np.array(evidence, np.float32), int(missing))
            start = end

    def _check_size(self, image: np.ndarray) -> None:
        if self._size is None:
            raise InputError("propagation has not begun; call start() with the first frame and its masks")
        if image.shape[:2] != self._size:
            raise InputError(
                f"the frame is {image.shape[1]}x{image.shape[0]} pixels but the video began with "
                f"{self._size[1]}x{self._size[0]}; resize it or call start() again"
            )

    def _apply(self, corrections: Corrections) -> None:
        colours = colour_indices(self._image) if corrections.masks and self.use_colour else None
        for id_, mask in corrections.masks.items():
            if mask.shape != self._size:
                raise InputError(
                    f"the mask of object {id_} has shape {mask.shape}, not the frame's {self._size}"
                )
            x, y, soft = _soften(mask, self._image.shape[:2])
            known = self._objects.get(id_)
            evidence = known.evidence if known else np.zeros(NUM_COLOURS, np.float32)
            carried = self._objects[id_] = _Carried(x, y, soft, evidence)
            if colours is not None and soft.size:
                learnt = _learn(carried, colours)
                carried.evidence = (evidence + learnt) / 2 if known and evidence.any() else learnt
        for id_ in corrections.forget:
            self._objects.pop(id_, None)

    def _move(self, objects: list[_Carried], before: np.ndarray) -> None:
        """Carry `objects` from the image `before` to the present one."""
        old, new = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, self._image))
        forward, backward = _optical_flow(self._dis, old, new), _optical_flow(self._dis, new, old)
        source = backward + _grid(0, 0, *new.shape[::-1])
        reliable = _reliable(backward, forward, source) if self.check_occlusion else None
        colours = colour_indices(self._image) if self.use_colour else None
        guide = new.astype(np.float32) / 255
        for carried in objects:
            x0, y0, x1, y1 = _destination(carried, forward)
            window = slice(y0, y1), slice(x0, x1)
            soft = _warp(carried, source[window])
            if colours is not None:
                sure = None if reliable is None else reliable[window]
                soft = _decide_by_colour(soft, carried.evidence[colours[window]], sure)
            elif reliable is not None:
                soft *= reliable[window]
            if self.refine_edges:
                soft = np.clip(2 * _guided_filter(guide[window], soft) - 0.5, 0, 1)
            _store(carried, soft, x0, y0)

    def _forget_long_missing(self) -> None:
        for carried in self._objects.values():
            carried.frames_missing = 0 if carried.soft.size else carried.frames_missing + 1
        self._objects = {
            id_: carried
            for id_, carried in self._objects.items()
            if carried.frames_missing <= self.keep_alive
        }

    def _full_size(self, carried: _Carried) -> np.ndarray:
        """``(H, W)`` bool mask of the object in the whole frame."""
        mask = np.zeros(self._size, bool)
        if not carried.soft.size:
            return mask
        height, width = self._size
        scale_y, scale_x = height / self._image.shape[0], width / self._image.shape[1]
        left, top, right, bottom = carried.box
        x0, y0 = int(left * scale_x), int(top * scale_y)
        x1, y1 = min(width, math.ceil(right * scale_x)), min(height, math.ceil(bottom * scale_y))
        offset = (x0 + 0.5) / scale_x - 0.5 - left, (y0 + 0.5) / scale_y - 0.5 - top
        soft = _resample(carried.soft, (y1 - y0, x1 - x0), (1 / scale_x, 1 / scale_y), offset)
        mask[y0:y1, x0:x1] = soft >= 0.5
        return mask


def _shrink(image: np.ndarray, max_side: int) -> np.ndarray:
    scale = max_side / max(image.shape[:2])
    if scale >= 1:
        return image.copy()
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _soften(mask: np.ndarray, size: tuple[int, int]) -> tuple[int, int, np.ndarray]:
    """What the full-size bool mask covers of pixels at flow `size`: corner x, y, ``(h, w)`` float32 0..1."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if width == 0:
        return 0, 0, _NOTHING
    step_x, step_y = mask.shape[1] / size[1], mask.shape[0] / size[0]
    x0, y0 = int(x / step_x), int(y / step_y)
    x1 = min(size[1], math.ceil((x + width) / step_x))
    y1 = min(size[0], math.ceil((y + height) / step_y))
    left, top = int(x0 * step_x), int(y0 * step_y)
    crop = mask[top : math.ceil(y1 * step_y), left : math.ceil(x1 * step_x)].astype(np.float32)
    if max(step_x, step_y) > 1:
        crop = cv2.blur(crop, (math.ceil(step_x), math.ceil(step_y)), borderType=cv2.BORDER_REPLICATE)
    offset = (x0 + 0.5) * step_x - 0.5 - left, (y0 + 0.5) * step_y - 0.5 - top
    return x0, y0, _resample(crop, (y1 - y0, x1 - x0), (step_x, step_y), offset)


def _resample(
    source: np.ndarray, size: tuple[int, int], step: tuple[float, float], offset: tuple[float, float]
) -> np.ndarray:
    """Sample `source` at ``offset + step * (column, row)`` for a result of ``(height, width)`` `size`."""
    matrix = np.array([[step[0], 0, offset[0]], [0, step[1], offset[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(source, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _learn(carried: _Carried, colours: np.ndarray) -> np.ndarray:
    """Colour evidence for the object against what is around it."""
    x0, y0, x1, y1 = carried.box
    height, width = colours.shape
    left, top = min(x0, _MARGIN), min(y0, _MARGIN)
    right, bottom = min(width - x1, _MARGIN), min(height - y1, _MARGIN)
    around = colours[y0 - top : y1 + bottom, x0 - left : x1 + right]
    return colour_evidence(around, np.pad(carried.soft, ((top, bottom), (left, right))))


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
    return cv2.merge([columns, rows])


def _reliable(backward: np.ndarray, forward: np.ndarray, source: np.ndarray) -> np.ndarray:
    """``(H, W)`` bool: `backward` to `source`, then `forward` leads back (Sundaram et al., 2010)."""
    returned = cv2.remap(forward, source, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = cv2.transform((backward + returned) ** 2, np.ones((1, 2)))
    length = cv2.transform(backward**2 + returned**2, np.ones((1, 2)))
    return error < 0.01 * length + 0.5


def _destination(carried: _Carried, forward: np.ndarray) -> tuple[int, int, int, int]:
    """Box ``x0 y0 x1 y1`` in the new frame that holds wherever the object's pixels move, with a margin."""
    height, width = forward.shape[:2]
    x0, y0, x1, y1 = carried.box
    motion = forward[y0:y1, x0:x1][carried.soft >= carried.soft.max() / 2]
    low, high = motion.min(axis=0), motion.max(axis=0)
    left, top = np.clip([x0 + low[0] - _MARGIN, y0 + low[1] - _MARGIN], 0, [width - 1, height - 1])
    right, bottom = np.clip([x1 + high[0] + _MARGIN, y1 + high[1] + _MARGIN], 1, [width, height])
    return int(left), int(top), math.ceil(right), math.ceil(bottom)


def _warp(carried: _Carried, source: np.ndarray) -> np.ndarray:
    """The object's soft mask sampled at `source`, ``(h, w, 2)`` places in the old frame."""
    corner = np.array([carried.x, carried.y], np.float32)
    return cv2.remap(carried.soft, source - corner, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _decide_by_colour(warped: np.ndarray, evidence: np.ndarray, reliable: np.ndarray | None) -> np.ndarray:
    """Soft mask from the warped one, a prior unsure near its edge, and the colour evidence."""
    prior = cv2.GaussianBlur(warped, (0, 0), _EDGE_BLUR)
    reach = prior >= _OUT_OF_REACH
    if reliable is not None:
        prior = np.where(reliable, prior, np.float32(0.5))
    prior = prior.clip(1e-3, 1 - 1e-3)
    return reach * prior / (prior + (1 - prior) * np.exp(-evidence))


def _guided_filter(guide: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """Filter `soft` so that its edges follow those of the gray image `guide` (He et al., 2010)."""

    def mean(values: np.ndarray) -> np.ndarray:
        window = (2 * _GUIDE_RADIUS + 1, 2 * _GUIDE_RADIUS + 1)
        return cv2.blur(values, window, borderType=cv2.BORDER_REPLICATE)

    mean_guide, mean_soft = mean(guide), mean(soft)
    variance = mean(guide**2) - mean_guide**2
    slope = (mean(guide * soft) - mean_guide * mean_soft) / (variance + _GUIDE_EPSILON)
    return mean(slope) * guide + mean(mean_soft - slope * mean_guide)


def _store(carried: _Carried, soft: np.ndarray, x0: int, y0: int) -> None:
    """Keep `soft`, whose corner is at ``(x0, y0)``, cut to what is left of the object."""
    if not (soft >= 0.5).any():
        carried.x, carried.y, carried.soft = 0, 0, _NOTHING
        return
    x, y, width, height = cv2.boundingRect((soft > 0.05).astype(np.uint8))
    carried.x, carried.y = x0 + x, y0 + y
    carried.soft = soft[y : y + height, x : x + width].copy()
