"""A part of a video as a source of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from msnvis.io.source import Frame, FrameSource


class SourcePart(FrameSource):
    """Consecutive frames of another source: their indices count from 0, and their timestamps stay.

    Args:
        whole: where they come from; warnings go there, too.
        first: index of the first of them.
        last: index of the frame after the last of them.
        cuts: frames of the whole that begin a new shot.

    >>> import numpy as np
    >>> from msnvis.io.readers import source_from_frames
    >>> part = SourcePart(source_from_frames(np.zeros((9, 4, 6, 3), np.uint8), fps=10), 4, 7, cuts=[4, 6, 8])
    >>> [(frame.index, frame.timestamp) for frame in part.frames()], part.cuts
    ([(0, 0.4), (1, 0.5), (2, 0.6)], [2])
    """

    kind = "part of a video"

    def __init__(self, whole: FrameSource, first: int, last: int, cuts: Iterable[int]) -> None:
        super().__init__(whole.name, label=whole.label)
        self._whole, self._last = whole, last
        self.offset = first
        self.cuts = [cut - first for cut in cuts if first < cut < last]
        self.size, self.source_size, self.fps = whole.size, whole.source_size, whole.fps
        self.num_frames = last - first
        self.warnings = whole.warnings

    def frames(self) -> Iterator[Frame]:
        return map(self._shifted, self._whole.part(self.offset, self._last))

    def frames_reversed(self) -> Iterator[Frame]:
        return map(self._shifted, self._whole.part_reversed(self.offset, self._last))

    def identity(self) -> dict[str, object] | None:
        whole = self._whole.identity()
        return whole and {**whole, "part": [self.offset, self._last]}

    def _shifted(self, frame: Frame) -> Frame:
        return replace(frame, index=frame.index - self.offset)
