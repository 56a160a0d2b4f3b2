"""Masks carried by optical flow: no weights, no download, milliseconds a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from msnvis import masks as mask_ops
from msnvis.errors import OptionError
from msnvis.masks import RLE
from msnvis.propagators.base import Corrections, Propagator, check_frame, check_mask, propagators
from msnvis.propagators.colours import NUM_COLOURS, colour_evidence, colour_indices
from msnvis.propagators.soft_masks import (
    decide_by_colour,
    follow_edges,
    harden,
    optical_flow,
    origin_of_pixels,
    reliable_pixels,
    shrink,
    soften,
    tight_crop,
    warp,
)

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
#: What is looked at around an object, in pixels at the size of the flow: where it may go, what surrounds it.
_MARGIN = 30
#: How much of the colour evidence known of an object stays at each correction, as one mask may be poor.
_MEMORY = 0.8
#: A mask in a part of the frame: ``(h, w)`` bool, its left column and its top row.
_Crop = tuple[np.ndarray, int, int]
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
    pixel's colour decides, by how much more often it was seen in the object than around it when masks were
    given from outside. A guided filter then pulls the edge to the edges in the image.

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
        preset: of DIS: "ultrafast", "fast" or "medium". The slower ones are finer, which was not measured to
            make better masks.
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
        preset: Literal["ultrafast", "fast", "medium"] = "ultrafast",
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
        self._preset = _PRESETS[preset]
        self._begin(None, np.zeros((0, 0, 3), np.uint8))

    def _begin(self, size: tuple[int, int] | None, image: np.ndarray) -> None:
        """Forget everything; `image` is the latest, at the size of the flow."""
        self._size = size
        self._image = image
        self._objects: dict[int, _Carried] = {}
        # A new one each time, because DIS keeps the levels that it had to choose for a small image.
        self._dis = cv2.DISOpticalFlow_create(self._preset)

    def start(self, image: np.ndarray, masks: Mapping[int, np.ndarray]) -> None:
        self._begin((int(image.shape[0]), int(image.shape[1])), shrink(image, self.max_side))
        self._correct(self._crops(masks))

    def step(self, image: np.ndarray, corrections: Corrections | None = None) -> dict[int, np.ndarray]:
        check_frame(image, self._size)
        corrections = corrections or Corrections()
        self._advance(image, self._crops(corrections.masks), corrections.forget)
        masks = {}
        for id_, carried in self._objects.items():
            crop, left, top = self._full_size(carried)
            masks[id_] = np.zeros(self._size, bool)
            masks[id_][top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        return masks

    def step_rles(
        self, image: np.ndarray, masks: Mapping[int, RLE], forget: frozenset[int] = frozenset()
    ) -> dict[int, RLE]:
        check_frame(image, self._size)
        for id_, rle in masks.items():
            check_mask(id_, tuple(rle["size"]), self._size)
        crops = mask_ops.decode_crops(list(masks.values()))
        self._advance(image, dict(zip(masks, crops, strict=True)), forget)
        return {
            id_: mask_ops.encode_crop(*self._full_size(carried), self._size)
            for id_, carried in self._objects.items()
        }

    def state_dict(self) -> dict[str, np.ndarray]:
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

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        size = tuple(int(side) for side in state["size"])
        self._begin((size[0], size[1]) if size else None, np.array(state["image"], np.uint8))
        start = 0
        for id_, box, evidence, missing in zip(
            state["ids"], state["boxes"], state["evidence"], state["frames_missing"], strict=True
        ):
            x0, y0, x1, y1 = (int(side) for side in box)
            end = start + (y1 - y0) * (x1 - x0)
            soft = np.array(state["soft"][start:end], np.float32).reshape(y1 - y0, x1 - x0)
            self._objects[int(id_)] = _Carried(x0, y0, soft, np.array(evidence, np.float32), int(missing))
            start = end

    def _crops(self, masks: Mapping[int, np.ndarray]) -> dict[int, _Crop]:
        for id_, mask in masks.items():
            check_mask(id_, mask.shape, self._size)
        return {id_: tight_crop(mask) for id_, mask in masks.items()}

    def _advance(self, image: np.ndarray, corrections: Mapping[int, _Crop], forget: frozenset[int]) -> None:
        """Apply what was decided about the frame before, then move all objects to `image`."""
        self._correct(corrections)
        for id_ in forget:
            self._objects.pop(id_, None)
        before, self._image = self._image, shrink(image, self.max_side)
        visible = [carried for carried in self._objects.values() if carried.soft.size]
        if visible:
            self._move(visible, before)
        self._forget_long_missing()

    def _correct(self, corrections: Mapping[int, _Crop]) -> None:
        colours = colour_indices(self._image) if corrections and self.use_colour else None
        for id_, (crop, left, top) in corrections.items():
            known = self._objects.get(id_)
            evidence = known.evidence if known else np.zeros(NUM_COLOURS, np.float32)
            if crop.size == 0:
                self._objects[id_] = _Carried(0, 0, _NOTHING, evidence)
                continue
            soft, x, y = soften(crop, left, top, self._size, self._image.shape[:2])
            carried = self._objects[id_] = _Carried(x, y, soft, evidence)
            if colours is not None:
                learnt = _learn(carried, colours)
                carried.evidence = _MEMORY * evidence + (1 - _MEMORY) * learnt if evidence.any() else learnt

    def _move(self, objects: Sequence[_Carried], before: np.ndarray) -> None:
        """Carry `objects` from the image `before` to the present one."""
        old, new = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, self._image))
        forward, backward = optical_flow(self._dis, old, new), optical_flow(self._dis, new, old)
        origin = origin_of_pixels(backward)
        reliable = reliable_pixels(backward, forward, origin) if self.check_occlusion else None
        colours = colour_indices(self._image) if self.use_colour else None
        guide = new.astype(np.float32) / 255
        for carried in objects:
            x0, y0, x1, y1 = _destination(carried, forward)
            window = slice(y0, y1), slice(x0, x1)
            soft = warp(carried.soft, carried.x, carried.y, origin[window])
            believed = None if reliable is None else reliable[window]
            if colours is not None:
                soft = decide_by_colour(soft, carried.evidence[colours[window]], believed)
            elif believed is not None:
                soft *= believed
            if self.refine_edges:
                soft = follow_edges(soft, guide[window])
            _store(carried, soft, x0, y0)

    def _forget_long_missing(self) -> None:
        for carried in self._objects.values():
            carried.frames_missing = 0 if carried.soft.size else carried.frames_missing + 1
        self._objects = {
            id_: carried
            for id_, carried in self._objects.items()
            if carried.frames_missing <= self.keep_alive
        }

    def _full_size(self, carried: _Carried) -> _Crop:
        if not carried.soft.size:
            return np.zeros((0, 0), bool), 0, 0
        return harden(carried.soft, carried.x, carried.y, self._image.shape[:2], self._size)


def _learn(carried: _Carried, colours: np.ndarray) -> np.ndarray:
    """Colour evidence for the object against what is around it."""
    x0, y0, x1, y1 = carried.box
    height, width = colours.shape
    left, top = min(x0, _MARGIN), min(y0, _MARGIN)
    right, bottom = min(width - x1, _MARGIN), min(height - y1, _MARGIN)
    around = colours[y0 - top : y1 + bottom, x0 - left : x1 + right]
    return colour_evidence(around, np.pad(carried.soft, ((top, bottom), (left, right))))


def _destination(carried: _Carried, forward: np.ndarray) -> tuple[int, int, int, int]:
    """Box ``x0 y0 x1 y1`` in the new frame that holds wherever the object's pixels move, with a margin."""
    height, width = forward.shape[:2]
    x0, y0, x1, y1 = carried.box
    motion = forward[y0:y1, x0:x1][carried.soft >= carried.soft.max() / 2]
    low, high = motion.min(axis=0), motion.max(axis=0)
    left, top = np.clip([x0 + low[0] - _MARGIN, y0 + low[1] - _MARGIN], 0, [width - 1, height - 1])
    right, bottom = np.clip([x1 + high[0] + _MARGIN, y1 + high[1] + _MARGIN], 1, [width, height])
    return int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom))


def _store(carried: _Carried, soft: np.ndarray, x0: int, y0: int) -> None:
    """Keep `soft`, whose corner is at ``(x0, y0)``, cut to what is left of the object."""
    if not (soft >= 0.5).any():
        carried.x, carried.y, carried.soft = 0, 0, _NOTHING
        return
    x, y, width, height = cv2.boundingRect((soft > 0.05).astype(np.uint8))
    carried.x, carried.y = x0 + x, y0 + y
    carried.soft = soft[y : y + height, x : x + width].copy()
