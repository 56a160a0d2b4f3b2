"""What workers do next: videos in their order, and the pieces of long ones before the videos after them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from msnvis.engines.outcome import Outcome, PieceTask, Split, VideoTask

#: What a worker does at a time.
Step = VideoTask | PieceTask


@dataclass
class _Divided:
    """A video of which pieces are under way: their numbers, and seconds that it took until now."""

    missing: set[int]
    seconds: float


class Schedule:
    """Steps that wait, and what follows from those that are done.

    A video that answers with a `Split` is given out again when all of its pieces are done. When one of them
    fails, the video has failed, and what it would still need is not begun.

    >>> clip = VideoTask("a.mp4", Path("out"))
    >>> schedule = Schedule([clip, VideoTask("b.mp4", Path("other"))])
    >>> schedule.done(schedule.next()[0], Split((PieceTask(clip, 0), PieceTask(clip, 1))))
    >>> [schedule.next()[0].number for _ in range(2)]
    [0, 1]
    """

    def __init__(self, tasks: Iterable[VideoTask]) -> None:
        self._waiting: deque[tuple[Step, int]] = deque((task, 0) for task in tasks)
        self._divided: dict[Path, _Divided] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> tuple[Step, int]:
        """The next step, and how many workers it has lost."""
        return self._waiting.popleft()

    def again(self, step: Step, losses: int) -> None:
        """Let `step` be next, for it lost its worker; what was done of it is not dropped."""
        self._waiting.appendleft((_going_on(step), losses))

    def done(self, step: Step, result: Outcome | Split) -> Outcome | None:
        """Note what came of a step; gives how its video ended, if it did."""
        if isinstance(result, Split):
            return self._divide(step, result)
        if isinstance(step, PieceTask):
            return self._count(step, result)
        before = self._divided.pop(step.folder, None)
        return replace(result, seconds=result.seconds + before.seconds) if before else result

    def _divide(self, task: VideoTask, split: Split) -> Outcome | None:
        if self._divided.pop(task.folder, None):  # it would go on for ever
            return failed(task, "its pieces were removed while it was processed; repeat the command")
        self._divided[task.folder] = _Divided({piece.number for piece in split.pieces}, split.seconds)
        self._waiting.extendleft((piece, 0) for piece in reversed(split.pieces))
        return None

    def _count(self, piece: PieceTask, outcome: Outcome) -> Outcome | None:
        video = self._divided.get(piece.video.folder)
        if video is None:
            return None  # another piece has failed
        video.seconds += outcome.seconds
        if outcome.status == "failed":
            del self._divided[piece.video.folder]
            self._waiting = deque(waiting for waiting in self._waiting if not _is_of(waiting[0], piece.video))
            return replace(outcome, seconds=video.seconds)
        video.missing.discard(piece.number)
        if not video.missing:
            self._waiting.appendleft((_going_on(piece.video), 0))
        return None


def failed(step: Step, why: str, *, is_ours: bool = False) -> Outcome:
    """That the video of `step` has failed."""
    task = step.video if isinstance(step, PieceTask) else step
    return Outcome(task.address, str(task.folder), "failed", f"{task.address}: {why}", is_ours=is_ours)


def _going_on(step: Step) -> Step:
    return replace(step, restart=False) if isinstance(step, VideoTask) else step


def _is_of(step: Step, video: VideoTask) -> bool:
    return isinstance(step, PieceTask) and step.video.folder == video.folder
