"""A video or a piece of one to process, and how that ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class VideoTask:
    """One video to process.

    Attributes:
        address: what `msnvis.io.readers.open_source` takes.
        folder: for its results.
        restart: drop what an interrupted run has left there, and do what is done already again.
        is_one_of_many: of an input alone nobody expects that it is skipped because it is done.
    """

    address: str
    folder: Path
    restart: bool = False
    is_one_of_many: bool = True


@dataclass(frozen=True)
class PieceTask:
    """A piece of a long video to process, see `msnvis.pieces`.

    Attributes:
        video: that it belongs to.
        number: of the piece.
    """

    video: VideoTask
    number: int


@dataclass(frozen=True)
class Split:
    """In place of an outcome: what is to be processed before the video itself goes on.

    Attributes:
        pieces: that are missing.
        seconds: that the work took until then.
    """

    pieces: tuple[PieceTask, ...]
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How the work on a video ended.

    Attributes:
        input: its address.
        folder: of its results.
        status: ``done``, ``skipped`` (it was done already) or ``failed``.
        why: of a failure, in one sentence.
        frames, tracks: in the results.
        seconds: that the work took, on all workers together.
        warnings: sentences on what was wrong but could be coped with.
        is_ours: whether a failure is one that no user can mend.
    """

    input: str
    folder: str
    status: str
    why: str = ""
    frames: int = 0
    tracks: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    is_ours: bool = False
