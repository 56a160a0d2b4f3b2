"""The live display of a run or a count: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from msnvis.terminal import neutral

if TYPE_CHECKING:
    from msnvis.pipeline import ProgressEvent

#: Seconds between two lines where there is no terminal.
_SECONDS_BETWEEN_LINES = 10.0

T = TypeVar("T")


class ProgressDisplay:
    """Shows `ProgressEvent`s of one video on stderr; use it in a `with` block and call it with each event.

    Args:
        name: of the video.
        sweeps: how often the video is read: twice where both directions are tracked.
    """

    def __init__(self, name: str, sweeps: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._name = neutral(name)
        self._sweeps = sweeps
        self._last: ProgressEvent | None = None
        self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[counts]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> ProgressDisplay:
        self._task = self._bar.add_task(self._name, total=None, counts="starting")
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, event: ProgressEvent) -> None:
        self._update_bar(event)
        if not self._console.is_terminal:
            self._print_line(event)
        self._last = event

    def writing(self) -> None:
        """The results are being written from now on."""
        self._bar.update(self._task, description=f"{self._name}: writing", counts="")

    def _update_bar(self, event: ProgressEvent) -> None:
        if event.stage == "merge":
            self._bar.update(self._task, description=f"{self._name}: merge", counts=f"{event.objects} tracks")
            return
        # The backward pass is the second half of the work.
        earlier = (event.total or 0) * (self._sweeps - 1) if event.stage == "backward" else 0
        self._bar.update(
            self._task,
            description=f"{self._name}: {event.stage}",
            completed=earlier + event.frame,
            total=event.total and event.total * self._sweeps,
            counts=_counts(event),
        )

    def _print_line(self, event: ProgressEvent) -> None:
        """At the end of each pass, and every few seconds."""
        last = self._last
        if last is not None and last.stage != event.stage:
            # By now it is known how many frames there are.
            counts = _counts(replace(last, total=event.total))
            self._console.print(f"{self._name}: {last.stage}: {counts}", markup=False)
        if event.stage != "merge" and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
            self._console.print(
                f"{self._name}: {event.stage}: {_counts(event)}{self._time_left(event)}", markup=False
            )

    def _time_left(self, event: ProgressEvent) -> str:
        if event.total is None or not event.fps:
            return ""
        later = 0 if event.stage == "backward" else event.total * (self._sweeps - 1)
        return f", about {max(event.total - event.frame + later, 0) / event.fps:.0f} s left"


def _counts(event: ProgressEvent) -> str:
    """For example ``120/250 frames, 4.2 fps, 3 objects``."""
    is_possible = event.total is not None and event.total >= event.frame  # some headers are wrong
    of_total = f"/{event.total}" if is_possible else ""
    objects = "1 object" if event.objects == 1 else f"{event.objects} objects"
    return f"{event.frame}{of_total} frames, {event.fps:.1f} fps, {objects}"


def counted(
    things: Iterable[T], name: str, total: int, unit: str, console: Console | None = None
) -> Iterator[T]:
    """Pass `things` on and show on stderr how many of `total` went by: a bar, or a line now and then."""
    console = console or Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    bar = Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    )
    next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
    with bar:
        task = bar.add_task(name, total=total)
        for count, thing in enumerate(things, 1):
            bar.advance(task)
            if not console.is_terminal and time.monotonic() >= next_line:
                next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
                console.print(f"{name}: {count}/{total} {unit}", markup=False)
            yield thing
