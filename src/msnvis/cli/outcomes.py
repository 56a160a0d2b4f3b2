"""What `msnvis run` says of many videos: each as it ends, and all of them in a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from msnvis.cli.messages import say_error, say_warning
from msnvis.cli.progress import counted
from msnvis.terminal import neutral

if TYPE_CHECKING:
    from msnvis.engines.outcome import Outcome, VideoTask

#: Most rows of the table; all are in the JSON file.
_ROWS = 40
#: The order of the table: what has to be looked at first.
_FIRST = ("failed", "done", "skipped")


def tell(outcomes: Iterable[Outcome], tasks: Sequence[VideoTask], output: Path, *, is_remote: bool) -> None:
    """Consume `outcomes` and say what fails; of many tasks keep ``runs.json`` and print a table of them.

    Args:
        outcomes: of `tasks`, in any order.
        tasks: the videos.
        output: folder for ``runs.json``.
        is_remote: whether nobody has shown progress and warnings yet.

    Raises `typer.Exit` in the end where any failed: with 2 where the user can mend all of them, else 1.
    """
    from msnvis.engines.summary import recorded

    many = any(task.is_one_of_many for task in tasks)
    if many:
        outcomes = recorded(outcomes, output, len(tasks))
    if is_remote:
        outcomes = counted(outcomes, "videos", len(tasks), "videos")
    ended = []
    for outcome in outcomes:
        ended.append(outcome)
        if outcome.status == "failed":
            say_error(outcome.why)
        for warning in outcome.warnings if is_remote else ():
            say_warning(warning)
    if many:
        _print_table(ended)
    failed = [outcome for outcome in ended if outcome.status == "failed"]
    if failed:
        if len(tasks) > 1:
            say_error(f"{len(failed)} of {len(tasks)} inputs failed")
        raise typer.Exit(1 if any(outcome.is_ours for outcome in failed) else 2)


def _print_table(outcomes: Sequence[Outcome]) -> None:
    table = Table("status", "frames", "tracks", "seconds", title="inputs", title_justify="left")
    table.add_column("input", overflow="fold")
    table.add_column("why", overflow="fold")
    ordered = sorted(outcomes, key=lambda outcome: _FIRST.index(outcome.status))
    for outcome in ordered[:_ROWS]:
        cells = (outcome.frames, outcome.tracks, f"{outcome.seconds:.1f}")
        numbers = map(str, cells) if outcome.status == "done" else ("", "", "")
        table.add_row(outcome.status, *numbers, escape(neutral(outcome.input)), escape(neutral(outcome.why)))
    counts = Counter(outcome.status for outcome in outcomes)
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    if len(ordered) > _ROWS:
        console.print(f"and {len(ordered) - _ROWS} more, see runs.json")
    console.print(", ".join(f"{counts[status]} {status}" for status in ("done", "skipped", "failed")))
