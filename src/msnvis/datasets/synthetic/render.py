"""Draws a scene, frame by frame, with the exact mask of every object that can be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.synthetic.motion import Camera, apply, corners
from msnvis.datasets.synthetic.scene import MovingObject, Scene, StandingObject
from msnvis.masks import RLE

#: Pixels that things may move between two of the exposures that make motion blur, and the most of those.
_BLUR_STEP = 2.0
_MAX_EXPOSURES = 9


@dataclass(frozen=True)
class Layer:
    """What one object adds to a frame.

    Attributes:
        left, top: where in the frame.
        alpha: ``(h, w)`` float32, 0..1.
        colour: ``(h, w, 3)`` float32 0..255, multiplied by alpha; None for what the backdrop shows already.
    """

    left: int
    top: int
    alpha: np.ndarray
    colour: np.ndarray | None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """``x1 y1 x2 y2``."""
        height, width = self.alpha.shape
        return self.left, self.top, self.left + width, self.top + height


def render(scene: Scene) -> Iterator[tuple[np.ndarray, list[RLE | None]]]:
    """Draw the frames before compression.

    Yields:
        The frame, ``(H, W, 3)`` uint8 RGB, and the mask of each object, those of `scene.standing` first: the
        pixels of which it covers at least half and nothing before it does; None where there are none.
    """
    objects = [_Standing(o, scene.camera) for o in scene.standing]
    objects += [_Moving(o, scene.camera) for o in scene.moving]
    order = sorted(range(len(objects)), key=lambda i: -objects[i].depth(0))
    for time in range(scene.frames):
        backdrop = _backdrop(scene, time)
        layers = [o.draw(time, scene.degradation.shutter) for o in objects]
        _reorder(order, [o.depth(time) for o in objects], layers)
        picture, owner = _composed(backdrop, layers, order)
        yield scene.degradation.expose(picture, time), _visible(owner, layers)


class _Moving:
    def __init__(self, moving: MovingObject, camera: Camera) -> None:
        self._moving, self._camera = moving, camera
        self._bent = np.any(moving.motion.field(0.0))

    def depth(self, time: float) -> float:
        return float(self._moving.depth(time))

    def draw(self, time: float, shutter: float) -> Layer | None:
        """The object as it looks while the shutter is open; None when it is out of sight."""
        cutout, motion = self._moving.cutout, self._moving.motion
        outline = corners(cutout.size)
        times = _exposures(lambda t: apply(motion.to_frame(self._camera, t), outline), time, shutter)
        matrices = [motion.to_frame(self._camera, t) for t in times]
        box = _box([apply(m, outline) for m in matrices], motion.reserve, self._camera.frame)
        if box is None:
            return None
        total = sum(self._exposure(m, t, box) for m, t in zip(matrices, times, strict=True))
        total *= np.float32(1 / len(times))
        alpha = cv2.extractChannel(total, 3) / 255
        return Layer(box[0], box[1], alpha, cv2.cvtColor(total, cv2.COLOR_RGBA2RGB))

    def _exposure(self, matrix: np.ndarray, time: float, box: tuple[int, int, int, int]) -> np.ndarray:
        """``(h, w, 4)`` float32: colour times alpha, and alpha, 0..255."""
        x, y = _inverse_map(matrix, box)
        if self._bent:
            height, width = self._moving.cutout.size
            field = self._moving.motion.field(time).astype(np.float32)
            field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
            shift = cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            x, y = x + shift[..., 0], y + shift[..., 1]
        return cv2.remap(self._moving.cutout.rgba, x, y, cv2.INTER_LINEAR).astype(np.float32)


class _Standing:
    def __init__(self, standing: StandingObject, camera: Camera) -> None:
        self._depth, self._camera = standing.depth, camera
        [(mask, self._left, self._top)] = mask_ops.decode_crops([standing.annotation.rle])
        self._mask = mask.astype(np.float32)

    def depth(self, time: float) -> float:
        return self._depth

    def draw(self, time: float, shutter: float) -> Layer | None:
        if not self._mask.size:
            return None
        matrix = self._camera.from_photo(time)
        place = (self._left, self._top)
        box = _box([apply(matrix, corners(self._mask.shape) + place)], 1.0, self._camera.frame)
        if box is None:
            return None
        x, y = _inverse_map(matrix, box)
        x, y = x - self._left, y - self._top
        # What the photograph cuts off is not known to end there.
        alpha = cv2.remap(self._mask, x, y, cv2.INTER_LINEAR)
        return Layer(box[0], box[1], alpha, None)


def _exposures(outline_at, time: float, shutter: float) -> np.ndarray:
    """Times at which to look, as close as the speed of the outline asks for: ``(N,)`` float64."""
    if not shutter:
        return np.array([float(time)])
    way = np.linalg.norm(outline_at(time + shutter / 2) - outline_at(time - shutter / 2), axis=1).max()
    count = int(np.clip(np.ceil(way / _BLUR_STEP), 1, _MAX_EXPOSURES))
    return time + shutter * ((np.arange(count) + 0.5) / count - 0.5)


def _backdrop(scene: Scene, time: int) -> np.ndarray:
    """``(H, W, 3)`` float32."""
    outline = corners(scene.photo.shape[:2])
    camera = scene.camera
    times = _exposures(lambda t: apply(camera.from_photo(t), outline), time, scene.degradation.shutter)
    size = scene.size[::-1]
    total = None
    for moment in times:
        seen = cv2.warpPerspective(scene.photo, camera.from_photo(moment), size).astype(np.float32)
        total = seen if total is None else total + seen
    return total / len(times)


def _box(
    outlines: Sequence[np.ndarray], reserve: float, frame: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """``x1 y1 x2 y2`` around all outlines inside the frame; None when there is nothing."""
    points = np.concatenate(outlines)
    x1, y1 = np.maximum(np.floor(points.min(axis=0) - reserve), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(points.max(axis=0) + reserve), frame[::-1]).astype(int)
    return (int(x1), int(y1), int(x2), int(y2)) if x1 < x2 and y1 < y2 else None


def _inverse_map(matrix: np.ndarray, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """For the pixels of `box` the place they show: x and y, each ``(h, w)`` float32."""
    inverse = np.linalg.inv(matrix).astype(np.float32)
    x = np.arange(box[0], box[2], dtype=np.float32)
    y = np.arange(box[1], box[3], dtype=np.float32)[:, None]
    (a, b, c), (d, e, f), (g, h, i) = inverse
    depth = 1 / (g * x + (h * y + i))
    return (a * x + (b * y + c)) * depth, (d * x + (e * y + f)) * depth


def _reorder(order: list[int], depths: Sequence[float], layers: Sequence[Layer | None]) -> None:
    """Bring far before near, in place, but let nothing pass through what it overlaps."""
    for _ in order:
        for k in range(len(order) - 1):
            back, front = order[k], order[k + 1]
            if depths[back] < depths[front] and not _overlap(layers[back], layers[front]):
                order[k], order[k + 1] = front, back


def _overlap(first: Layer | None, second: Layer | None) -> bool:
    if first is None or second is None:
        return False
    a, b = first.box, second.box
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _composed(
    backdrop: np.ndarray, layers: Sequence[Layer | None], order: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The picture, ``(H, W, 3)`` float32, and ``(H, W)`` int32: index of the object at each pixel, or -1."""
    picture = backdrop.copy()
    owner = np.full(backdrop.shape[:2], -1, np.int32)
    covered = False
    for index in order:
        layer = layers[index]
        if layer is None:
            continue
        x1, y1, x2, y2 = layer.box
        owner[y1:y2, x1:x2][layer.alpha >= 0.5] = index
        if layer.colour is None and not covered:
            continue  # nothing behind it hides the backdrop, which shows it already
        alpha = cv2.merge([layer.alpha] * 3)
        colour = backdrop[y1:y2, x1:x2] * alpha if layer.colour is None else layer.colour
        picture[y1:y2, x1:x2] *= 1 - alpha
        picture[y1:y2, x1:x2] += colour
        covered = True
    return picture, owner


def _visible(owner: np.ndarray, layers: Sequence[Layer | None]) -> list[RLE | None]:
    masks: list[RLE | None] = []
    for index, layer in enumerate(layers):
        mask = None
        if layer is not None:
            x1, y1, x2, y2 = layer.box
            seen = owner[y1:y2, x1:x2] == index
            if seen.any():
                mask = mask_ops.encode_crop(seen, x1, y1, owner.shape)
        masks.append(mask)
    return masks
