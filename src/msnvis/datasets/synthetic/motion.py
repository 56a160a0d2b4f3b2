"""How things move: smooth random curves, the camera over its photograph, objects through the scene.

Matrices are 3x3 homographies of column vectors ``x y 1`` in pixels. Time is counted in frames and may lie
between two of them, which is what motion blur needs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.interpolate import CubicSpline

#: Frames between two stations of a path.
PATH_INTERVAL = (9.0, 17.0)
#: Control points of non-rigid deformation along each side of a cut-out.
FIELD_NODES = 4
#: Parts of a frame in which curves are known.
_STEPS = 32
#: Share of the longer side of a cut-out by which bending may move its border at most.
_BEND_RESERVE = 0.08


class Curve:
    """Smooth values over time: a cubic spline through given ones, in steps of a small part of a frame.

    Args:
        times: ``(N,)`` frames, growing; the first is 0.
        values: ``(N, ...)``.

    >>> float(Curve(np.array([0.0, 4.0]), np.array([0.0, 8.0]))(1.5))
    3.0
    """

    def __init__(self, times: np.ndarray, values: np.ndarray) -> None:
        # One frame more at either end: the shutter opens before a frame and closes after it.
        steps = np.arange(-_STEPS, (times[-1] + 1) * _STEPS + 1) / _STEPS
        self._table = CubicSpline(times, values, bc_type="natural")(steps)

    def __call__(self, time: float) -> np.ndarray:
        return self._table[round((time + 1) * _STEPS)]

    @classmethod
    def wander(
        cls, rng: np.random.Generator, frames: int, interval: float, low: np.ndarray, high: np.ndarray
    ) -> Curve:
        """Through values uniform between `low` and `high`, a new one every `interval` frames."""
        times = key_times(frames, interval)
        low, high = np.asarray(low, float), np.asarray(high, float)
        return cls(times, rng.uniform(low, high, (len(times), *low.shape)))


def key_times(frames: int, interval: float) -> np.ndarray:
    """About one time every `interval` frames from the first to the last, at least two: ``(N,)`` float64."""
    return np.linspace(0, max(frames - 1, 1), max(round((frames - 1) / interval) + 1, 2))


def translation(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def rotation(angle: float) -> np.ndarray:
    """By `angle` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map ``(N, 2)`` points."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def corners(size: tuple[int, int]) -> np.ndarray:
    """``(4, 2)`` float64 corners of a picture of ``(height, width)``, clockwise from the top left."""
    height, width = size
    return np.array([[0.0, 0], [width, 0], [width, height], [0, height]])


class Camera:
    """A window that wanders over a photograph, in the hand of somebody.

    Args:
        photo: ``(height, width)`` of the photograph.
        frame: ``(height, width)`` of the frames.
        view: x, y (0..1 of the room there is), share of the photograph, angle, keystone x, keystone y.
        shake: x, y in pixels and angle.
    """

    def __init__(self, photo: tuple[int, int], frame: tuple[int, int], view: Curve, shake: Curve) -> None:
        self.photo, self.frame, self.view, self.shake = photo, frame, view, shake
        self._known: dict[float, np.ndarray] = {}  # every object asks for the same times
        self._scene = self._steady(0.0)

    @classmethod
    def draw(
        cls, rng: np.random.Generator, photo: tuple[int, int], frame: tuple[int, int], frames: int
    ) -> Camera:
        """A random one: on a tripod, or slowly or quickly moving."""
        speed = rng.choice([0.05, 0.4, 1.0], p=[0.25, 0.45, 0.3])
        low = np.array([0.0, 0.0, 0.62, -0.08, -0.05, -0.05])
        high = np.array([1.0, 1.0, 0.95, 0.08, 0.05, 0.05])
        middle = rng.uniform(low, high)
        low, high = middle + speed * (low - middle), middle + speed * (high - middle)
        view = Curve.wander(rng, frames, rng.uniform(14, 30), low, high)
        tremor = rng.choice([0.0, 0.3, 1.0], p=[0.3, 0.4, 0.3])
        reach = tremor * np.array([0.01 * frame[1], 0.01 * frame[1], 0.008])
        shake = Curve.wander(rng, frames, rng.uniform(2, 4), -reach, reach)
        return cls(photo, frame, view, shake)

    def from_photo(self, time: float) -> np.ndarray:
        """From the photograph to the frame."""
        if time not in self._known:
            self._known[time] = self.shaken(time) @ np.linalg.inv(self._steady(time))
        return self._known[time]

    def from_scene(self, time: float) -> np.ndarray:
        """From the scene, which is what a steady camera saw at time 0, to the frame."""
        return self.from_photo(time) @ self._scene

    def shaken(self, time: float) -> np.ndarray:
        """From what a hand that does not shake would see to the frame."""
        dx, dy, angle = self.shake(time)
        height, width = self.frame
        centre = translation(width / 2, height / 2)
        return translation(dx, dy) @ centre @ rotation(angle) @ np.linalg.inv(centre)

    def _steady(self, time: float) -> np.ndarray:
        """From the frame to the photograph; the window always lies inside of it, with room for shaking."""
        x, y, share, angle, *keystone = self.view(time)
        height, width = self.frame
        units = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
        quad = units * (width / 2, height / 2) * (1 + units @ keystone)[:, None]
        quad = apply(rotation(angle), quad)
        quad *= np.clip(share, 0.3, 1) * np.min(self.photo[::-1] / np.ptp(quad, axis=0))
        free = self.photo[::-1] - np.ptp(quad, axis=0)
        margin = np.minimum(0.05 * np.ptp(quad, axis=0), free / 2)
        quad += margin + np.clip([x, y], 0, 1) * (free - 2 * margin) - quad.min(axis=0)
        return cv2.getPerspectiveTransform(corners(self.frame).astype(np.float32), quad.astype(np.float32))


@dataclass(frozen=True)
class ObjectMotion:
    """Where a cut-out is, and how it is bent, at any time.

    Attributes:
        size: ``(height, width)`` of the cut-out.
        scale: frame pixels for each of its own.
        path: x, y of its centre in the scene.
        pose: log zoom, angle, log aspect, shear, keystone x, keystone y.
        field: ``(FIELD_NODES, FIELD_NODES, 2)`` displacements in pixels of the cut-out, x and y.
        cut: side of the cut-out that has to stay out of sight, or None.
        follows: the camera keeps up with it.
    """

    size: tuple[int, int]
    scale: float
    path: Curve
    pose: Curve
    field: Curve
    cut: str | None
    follows: bool

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        size: tuple[int, int],
        scale: float,
        cut: str | None,
        frame: tuple[int, int],
        frames: int,
    ) -> ObjectMotion:
        """A random one for a cut-out of ``(height, width)``."""
        liveliness = rng.choice([0.15, 0.5, 1.0], p=[0.2, 0.4, 0.4])
        turn = 0.08 if cut else rng.choice([0.1, 0.25, 0.8], p=[0.5, 0.35, 0.15])
        reach = liveliness * np.array([0.3, turn, 0.12, 0.12, 0.12, 0.12])
        pose = Curve.wander(rng, frames, rng.uniform(8, 16), -reach, reach)
        bend = rng.choice([0.0, 0.02, 0.05], p=[0.25, 0.4, 0.35]) * max(size)
        nodes = np.full((FIELD_NODES, FIELD_NODES, 2), bend)
        field = Curve.wander(rng, frames, rng.uniform(4, 10), -nodes, nodes)
        extent = 0.65 * scale * np.array(size[::-1])
        path = _path(rng, frames, np.array(frame[::-1], float), extent, liveliness)
        return cls(size, scale, path, pose, field, cut, bool(rng.random() < 0.6))

    def to_frame(self, camera: Camera, time: float) -> np.ndarray:
        """From the cut-out to the frame."""
        seen = camera.shaken(time) if self.follows else camera.from_scene(time)
        matrix = seen @ translation(*self.path(time)) @ self._pose(time)
        return self._hiding_cut(matrix, camera.frame) if self.cut else matrix

    def for_size(self, size: tuple[int, int], scale: float) -> ObjectMotion:
        """The same motion for the same cut-out in another resolution: ``(height, width)`` and its scale."""
        ratio = size[0] / self.size[0]
        return replace(self, size=size, scale=scale, field=lambda time: self.field(time) * ratio)

    @property
    def reserve(self) -> float:
        """How far bending may move the border, in pixels of the frame."""
        return _BEND_RESERVE * self.scale * max(self.size)

    def max_zoom(self, frames: int) -> float:
        """The largest zoom, beside `scale`, at any frame."""
        return float(np.exp(max(self.pose(time)[0] for time in range(frames))))

    def _pose(self, time: float) -> np.ndarray:
        zoom, angle, aspect, shear, *keystone = self.pose(time)
        height, width = self.size
        scale = self.scale * np.exp(zoom)
        shape = np.diag([scale * np.exp(aspect), scale * np.exp(-aspect), 1.0])
        shape[0, 1] = scale * shear
        perspective = np.eye(3)
        perspective[2, :2] = keystone[0] / width, keystone[1] / height
        return rotation(angle) @ shape @ perspective @ translation(-width / 2, -height / 2)

    def _hiding_cut(self, matrix: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
        """Move the object so that its cut side is just beyond that side of the frame, as in the photo."""
        top_left, top_right, bottom_right, bottom_left = range(4)
        ends = {
            "left": (top_left, bottom_left),
            "top": (top_left, top_right),
            "right": (top_right, bottom_right),
            "bottom": (bottom_left, bottom_right),
        }[self.cut]
        axis = 0 if self.cut in ("left", "right") else 1
        side = apply(matrix, corners(self.size)[list(ends)])[:, axis]
        if self.cut in ("left", "top"):
            shift = -self.reserve - side.max()
        else:
            shift = frame[1 - axis] + self.reserve - side.min()
        return (translation(shift, 0) if axis == 0 else translation(0, shift)) @ matrix


def _path(
    rng: np.random.Generator, frames: int, frame: np.ndarray, extent: np.ndarray, liveliness: float
) -> Curve:
    """Through random stations in the frame and, now and then but never twice in a row, outside of it.

    Args:
        frame: ``(2,)`` width and height.
        extent: ``(2,)`` how far the object reaches from its centre.
        liveliness: 0..1, scales the steps between stations inside.
    """
    times = key_times(frames, rng.uniform(*PATH_INTERVAL))
    inside = rng.uniform(0.2, 0.8, 2) * frame
    was_outside, stations = False, []
    for _ in times:
        inside = np.clip(inside + rng.normal(0, 0.2 * liveliness, 2) * frame, 0.1 * frame, 0.9 * frame)
        was_outside = not was_outside and rng.random() < 0.25
        stations.append(_beyond(rng, inside, frame, extent) if was_outside else inside)
    return Curve(times, np.array(stations))


def _beyond(rng: np.random.Generator, point: np.ndarray, frame: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """`point` moved out of sight, as a rule over the nearest side."""
    distances = np.concatenate([point, frame - point]) + rng.uniform(0, 0.3, 4) * frame.max()
    side = int(distances.argmin())
    axis, is_far = side % 2, side >= 2
    outside = point.copy()
    outside[axis] = frame[axis] + extent[axis] if is_far else -extent[axis]
    return outside
