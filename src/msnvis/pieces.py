"""A long video in pieces that begin at cuts, so that several processes can work on it at the same time.

Nothing is carried across a cut, so that the pieces together give what the whole video gives. Each has a
folder of its own in the `WorkFolder` of the video, which goes on after an interruption like that of any run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msnvis.errors import InputError
from msnvis.io.atomic import told
from msnvis.io.part import SourcePart
from msnvis.io.source import FrameSource
from msnvis.store.folder import WorkFolder
from msnvis.store.run_store import RunStore
from msnvis.timings import Timings
from msnvis.video_run import DONE

if TYPE_CHECKING:
    from msnvis.pipeline import VideoInstanceSegmenter


def group_shots(cuts: Sequence[int], frames: int, least: int) -> list[tuple[int, int]]:
    """Runs of consecutive shots of `least` frames or more, as ``(first, last)`` with `last` exclusive.

    Args:
        cuts: frames that begin a new shot, ascending, the first one not among them.
        frames: of the video.
        least: frames; where less is left at the end, it belongs to the run before.

    >>> group_shots([30, 50, 120, 180], frames=200, least=40)
    [(0, 50), (50, 120), (120, 200)]
    """
    starts = [0]
    for cut in cuts:
        if cut - starts[-1] >= least and frames - cut >= least:
            starts.append(cut)
    return list(zip(starts, [*starts[1:], frames], strict=True))


class Piece:
    """Consecutive shots of a video.

    Attributes:
        source: their frames.
    """

    def __init__(self, parts: VideoInstanceSegmenter, source: SourcePart, folder: Path) -> None:
        self.source = source
        self._parts, self._folder = parts, folder

    @property
    def is_complete(self) -> bool:
        """Whether it is processed."""
        state = WorkFolder(self._folder).peek()
        return state is not None and state["stage"] == DONE

    def process(self) -> None:
        """Segment and track, or go on where this was interrupted; what is found stays in the folder.

        Raises what `VideoInstanceSegmenter.run` raises.
        """
        with WorkFolder(self._folder, keep=True) as work:
            self._parts.track(self.source, work)

    def count_tracks(self) -> dict[str, int]:
        """Direction -> ids that were given to tracks."""
        votes = WorkFolder(self._folder).peek()["votes"]
        return {direction: len(votes[direction]["ids"]) for direction in votes}

    @contextmanager
    def opened(self) -> Iterator[tuple[RunStore, Mapping[str, Any]]]:
        """What was found, and the state at the end."""
        with WorkFolder(self._folder, keep=True) as work:
            yield work.open(self._parts.fingerprint(self.source))


class VideoPieces:
    """The pieces of one video: planned by one process, processed by many, joined by one.

    Args:
        parts: what processes them.
        source: the whole video, which can be read again.
        results: folder of its results; the pieces are in it, in the `WorkFolder`.

    >>> pieces = VideoPieces(parts, open_source("long.mp4"), Path("out"))  # doctest: +SKIP
    >>> pieces.plan(least=5000)  # doctest: +SKIP
    >>> for number in pieces.missing: pieces[number].process()  # doctest: +SKIP
    >>> with WorkFolder("out") as work: parts.run(source, work=work, pieces=pieces)  # doctest: +SKIP
    """

    def __init__(self, parts: VideoInstanceSegmenter, source: FrameSource, results: Path) -> None:
        self._parts, self._source = parts, source
        self._path = WorkFolder(results).path / "pieces"
        self._plan_folder = self._path / "plan"

    @property
    def exist(self) -> bool:
        """Whether there is a plan."""
        return WorkFolder(self._plan_folder).has_checkpoint

    def plan(self, least: int) -> None:
        """Read the video and divide it at its cuts, unless that was done before.

        Afterwards none `exist` where that is impossible: without cuts in the right places, where reading
        warns of damage, because only whole files are read alike from anywhere, and without checkpoints.

        Args:
            least: frames of a piece.

        Raises:
            InputError: the video cannot be read.
            OptionError: what an interrupted run has left was begun otherwise.
            OutputError: the disk is full, or another run is planning.
        """
        with WorkFolder(self._plan_folder, keep=True) as work:
            _, plan = work.open(self._parts.fingerprint(self._source))
            if plan is None and (plan := self._read(least)):
                work.save(plan)
        if not self.exist:
            self.drop()

    def __getitem__(self, number: int) -> Piece:
        """One for processing."""
        plan = self._plan
        self._source.load_state_dict(plan["source"])
        return self._piece(plan, number)

    def __iter__(self) -> Iterator[Piece]:
        plan = self._plan
        return (self._piece(plan, number) for number in range(len(plan["bounds"])))

    @property
    def missing(self) -> list[int]:
        """Numbers of those that are not complete."""
        return [number for number, piece in enumerate(self) if not piece.is_complete]

    @property
    def seconds(self) -> Mapping[str, Mapping[str, float]]:
        """What planning took, as `Timings.state_dict` has it."""
        return self._plan["timings"]

    def drop(self) -> None:
        """Remove whatever there is; raises `OutputError` where another run is at work on it."""
        if not self._path.exists():
            return
        for folder in self._path.iterdir():
            with WorkFolder(folder):
                pass
        with told(self._path):
            shutil.rmtree(self._path)
        with suppress(OSError):  # where it holds something
            self._path.parent.rmdir()

    @property
    def _plan(self) -> dict[str, Any]:
        plan = WorkFolder(self._plan_folder).peek()
        if plan is None:
            raise InputError(f"the pieces in {self._path} were removed by another run; repeat the command")
        return plan

    def _piece(self, plan: Mapping[str, Any], number: int) -> Piece:
        first, last = plan["bounds"][number]
        part = SourcePart(self._source, first, last, plan["cuts"])
        return Piece(self._parts, part, self._path / f"{number:05}")

    def _read(self, least: int) -> dict[str, Any] | None:
        """The plan; None where there is but one piece."""
        warnings, timings = len(self._source.warnings), Timings()
        detector, cuts, frames = self._parts.shot_detector(self._source), [], 0
        for frame in timings.each("decode", self._source.frames()):
            frames += 1
            with timings.measure("shots"):
                if detector.is_cut(frame.image):
                    cuts.append(frame.index)
        bounds = group_shots(cuts, frames, least)
        if len(bounds) == 1 or len(self._source.warnings) > warnings:
            return None
        return {
            "bounds": bounds,
            "cuts": cuts,
            "source": self._source.state_dict(),
            "timings": timings.state_dict(),
        }
