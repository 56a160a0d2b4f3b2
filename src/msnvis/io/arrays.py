"""Frames that are arrays already: in memory, or from any iterator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from msnvis.errors import InputError
from msnvis.io.source import NOMINAL_FPS, Frame, FrameSource, check_pixels, fit


class FrameArrays(FrameSource):
    """RGB uint8 arrays ``(H, W, 3)``: a sequence is read in both directions, an iterator forward and once."""

    def __init__(self, frames: Iterable[np.ndarray], name: str, fps: float | None) -> None:
        in_memory = isinstance(frames, Sequence | np.ndarray)
        super().__init__(name, live=not in_memory)
        self.fps = fps
        self._frames = frames
        if in_memory:
            if len(frames) == 0:
                raise InputError(f"{name} holds no frames")
            self.num_frames = len(frames)
            self._checked(0, frames[0])

    def frames(self) -> Iterator[Frame]:
        index = -1
        for index, array in enumerate(self._frames):
            yield self._frame(index, array)
        self.num_frames = index + 1

    def frames_reversed(self) -> Iterator[Frame]:
        if self.live:
            return super().frames_reversed()
        return (self._frame(index, self._frames[index]) for index in reversed(range(len(self._frames))))

    def _frame(self, index: int, array: np.ndarray) -> Frame:
        return Frame(index, index / (self.fps or NOMINAL_FPS), fit(self._checked(index, array), self.size))

    def _checked(self, index: int, array: np.ndarray) -> np.ndarray:
        if (
            not isinstance(array, np.ndarray)
            or array.dtype != np.uint8
            or array.ndim != 3
            or array.shape[2] != 3
        ):
            found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise InputError(
                f"frame {index} of {self.name} must be an RGB uint8 array (H, W, 3), not {found}"
            )
        height, width = array.shape[:2]
        if height == 0 or width == 0:
            raise InputError(f"frame {index} of {self.name} is empty: {width}x{height} pixels")
        check_pixels(self.name, (height, width))
        if self.size is None:
            self.size = self.source_size = (height, width)
        if self.size != (height, width):
            self.warn_of_size(f"frame {index}", (height, width), self.size)
        return array
