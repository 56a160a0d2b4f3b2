"""The shapes of a CVAT track, and those between two keyframes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.formats import shapes
from msnvis.masks import RLE

#: Attributes of the shapes that are moved linearly.
_LINEAR = {"box": ("xtl", "ytl", "xbr", "ybr"), "ellipse": ("cx", "cy", "rx", "ry")}
KINDS = (*_LINEAR, "polygon", "mask")


@dataclass(frozen=True)
class Shape:
    """A shape in a frame.

    Attributes:
        kind: ``box``, ``ellipse``, ``polygon`` or ``mask``.
        values: four numbers of a box or ellipse, ``(P, 2)`` corners of a polygon, run lengths of a mask.
        angle: degrees, clockwise, of a box or ellipse.
        box: left, top, width, height of a mask.
    """

    kind: str
    values: np.ndarray
    angle: float = 0.0
    box: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def parse(cls, kind: str, attributes: Mapping[str, str]) -> Shape:
        """From the attributes of the XML element; raises ValueError, or KeyError where one is missing."""
        if kind in _LINEAR:
            values = np.array([float(attributes[name]) for name in _LINEAR[kind]])
            shape = cls(kind, values, float(attributes.get("rotation", 0)))
        elif kind == "polygon":
            points = [point.split(",") for point in attributes["points"].split(";")]
            shape = cls(kind, np.array([[float(x), float(y)] for x, y in points]))
        else:
            runs = np.array([int(run) for run in attributes["rle"].split(",")], np.int64)
            left, top, width, height = (int(attributes[name]) for name in ("left", "top", "width", "height"))
            return cls(kind, runs, box=(left, top, width, height))
        if not (np.isfinite(shape.values).all() and np.isfinite(shape.angle)):
            raise ValueError("a coordinate is not finite")
        return shape

    def mask(self, size: tuple[int, int]) -> RLE:
        """In a frame of `size` ``(height, width)``."""
        if self.kind == "mask":
            return self._decoded(size)
        if self.kind == "polygon":
            return shapes.polygon_mask(self.values, size)
        draw = shapes.rectangle if self.kind == "box" else shapes.ellipse
        return shapes.polygon_mask(draw(*self.values.tolist(), self.angle), size)

    def _decoded(self, size: tuple[int, int]) -> RLE:
        left, top, width, height = self.box
        inside = 0 <= left <= left + width <= size[1] and 0 <= top <= top + height <= size[0]
        if not inside or width < 1 or height < 1:
            raise ValueError(f"a mask of {width}x{height} at ({left}, {top}) is not in the frame")
        if (self.values < 0).any() or sum(self.values.tolist()) != width * height:
            raise ValueError(f"its run lengths do not fill its box of {width}x{height}")
        on = np.arange(len(self.values)) % 2 == 1
        return mask_ops.encode_crop(np.repeat(on, self.values).reshape(height, width), left, top, size)


def between(first: Shape, second: Shape, share: float) -> Shape:
    """The shape at `share` (0..1) of the time from one keyframe to the next."""
    if first.kind != second.kind or first.kind == "mask":
        return first
    if first.kind == "polygon":
        starts, ends = _matched(first.values, second.values)
        return replace(first, values=starts + (ends - starts) * share)
    turn = (second.angle - first.angle + 180) % 360 - 180  # the shorter way around
    return replace(
        first,
        values=first.values + (second.values - first.values) * share,
        angle=first.angle + turn * share,
    )


def _matched(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of two polygons in pairs: each with the one nearest to its share of the other's outline."""
    there = np.abs(_shares(first)[:, None] - _shares(second)[None, :])
    pairs = {(i, int(j)) for i, j in enumerate(there.argmin(axis=1))}
    unmatched = set(range(len(second))) - {j for _, j in pairs}
    pairs |= {(int(there[:, j].argmin()), j) for j in unmatched}
    ordered = np.array(sorted(pairs))
    return first[ordered[:, 0]], second[ordered[:, 1]]


def _shares(corners: np.ndarray) -> np.ndarray:
    """Share of the closed outline that lies before each corner."""
    steps = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    return (np.cumsum(steps) - steps) / max(float(steps.sum()), 1e-9)
