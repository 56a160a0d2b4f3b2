"""Finding cuts online: whether a frame begins a new shot is decided from it and the frames before."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from msnvis.errors import OptionError
from msnvis.io.source import Frame, fit, working_size

#: Frames are compared at this longest side: enough for cuts, and blind to noise.
_SIDE = 64
#: So many earlier differences tell how much change is motion.
_WINDOW = 5


class OnlineAdaptiveDetector(ContentDetector):
    """PySceneDetect's content score, with a threshold that follows the motion so far.

    Fast motion scores as high as a cut but lasts: a cut also stands out from the frames before.
    PySceneDetect's own `AdaptiveDetector` compares with later frames as well, which a live source does not
    have yet.
    """

    def __init__(self, threshold: float, ratio: float, min_shot: int) -> None:
        super().__init__(threshold=threshold, min_scene_len=0)
        self._least = threshold
        self._ratio = ratio
        self._min_shot = min_shot
        self._since_cut = min_shot
        self._recent: deque[float] = deque(maxlen=_WINDOW)

    def state_dict(self) -> dict[str, Any]:
        """What it knows of the frames so far but the latest picture, as JSON can hold it."""
        return {"since_cut": self._since_cut, "recent": list(self._recent)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, after the latest picture was shown again."""
        self._since_cut = state["since_cut"]
        self._recent.extend(state["recent"])

    def process_frame(self, timecode: FrameTimecode, frame_img: np.ndarray) -> list[FrameTimecode]:
        """`timecode` in a list where the frame begins a shot, else an empty list."""
        is_first = self._frame_score is None
        super().process_frame(timecode, frame_img)
        if is_first:
            return []
        score = self._frame_score
        self._since_cut += 1
        stands_out = score >= max(self._least, self._ratio * max(self._recent, default=np.inf))
        if stands_out and self._since_cut > self._min_shot:
            self._recent.clear()
            self._since_cut = 1
            return [timecode]
        self._recent.append(score)
        return []


class ShotDetector:
    """Tells cuts one frame at a time; make a new one for each video.

    Args:
        threshold: least content difference of a cut, on PySceneDetect's scale of 0..255.
        ratio: a cut differs at least this many times as much as each of the five frames before it did.
        min_shot: frames in the shortest shot, the first excepted; a flash then makes one cut, not two.

    Raises:
        OptionError: a value makes no sense.

    >>> black, white = np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 255, np.uint8)
    >>> detector = ShotDetector()
    >>> [detector.is_cut(image) for image in (black, black, white, white)]
    [False, False, True, False]
    """

    def __init__(self, threshold: float = 27.0, ratio: float = 1.8, min_shot: int = 8) -> None:
        if not threshold > 0 or not ratio > 0 or min_shot < 1:
            raise OptionError(
                "shots need a threshold and a ratio above 0 and a shortest length from 1 frame on, "
                f"not {threshold!r}, {ratio!r} and {min_shot!r}"
            )
        self._detector = OnlineAdaptiveDetector(threshold, ratio, min_shot)
        self._count = 0
        self._latest: np.ndarray | None = None

    def is_cut(self, image: np.ndarray) -> bool:
        """Whether `image`, the next frame, begins a new shot; never so for the first two.

        Args:
            image: RGB uint8 ``(H, W, 3)``.
        """
        timecode = FrameTimecode(self._count, fps=25.0)  # only its place in the order matters
        self._count += 1
        self._latest = _thumbnail(image)
        return bool(self._detector.process_frame(timecode, self._latest))

    def state_dict(self) -> dict[str, Any]:
        """What it knows of the frames so far, as JSON and arrays can hold it."""
        return {"count": self._count, "latest": self._latest, **self._detector.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let a new detector with the same options go on from what `state_dict` gave."""
        self._count, self._latest = state["count"], state["latest"]
        if self._latest is not None:
            self._detector.process_frame(FrameTimecode(self._count - 1, fps=25.0), self._latest)
            self._detector.load_state_dict(state)


class KnownCuts:
    """In place of a `ShotDetector` where the cuts are known, as those of a part of a video are.

    >>> detector = KnownCuts([2])
    >>> [detector.is_cut(np.zeros((4, 6, 3), np.uint8)) for _ in range(4)]
    [False, False, True, False]
    """

    def __init__(self, cuts: Iterable[int]) -> None:
        self._cuts = frozenset(cuts)
        self._count = 0

    def is_cut(self, image: np.ndarray) -> bool:
        """Whether the next frame begins a new shot; `image` is not looked at."""
        self._count += 1
        return self._count - 1 in self._cuts

    def state_dict(self) -> dict[str, Any]:
        """What it knows of the frames so far, as JSON can hold it."""
        return {"count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._count = state["count"]


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """`image` as BGR, its longer side at most `_SIDE`."""
    size = working_size(image.shape[:2], _SIDE)
    step = max(1, max(image.shape) // (4 * _SIDE))  # averaging every pixel of a large frame would cost more
    height, width = (max(1, side // step) for side in image.shape[:2])
    whole = image[: height * step, : width * step]
    sampled = cv2.resize(whole, (width, height), interpolation=cv2.INTER_NEAREST)  # quicker than slicing
    return cv2.cvtColor(fit(sampled, size), cv2.COLOR_RGB2BGR)


def find_cuts(frames: Iterable[Frame], **options: float) -> list[int]:
    """Indices of the frames that begin a new shot, the first frame's not among them.

    Args:
        frames: in forward order; for a backward pass the cuts are found in a forward one, so that both agree.
        options: of `ShotDetector`.
    """
    detector = ShotDetector(**options)
    return [frame.index for frame in frames if detector.is_cut(frame.image)]
