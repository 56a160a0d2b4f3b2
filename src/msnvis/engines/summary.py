"""``runs.json``: how the work on each of many videos ended."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from msnvis.engines.outcome import Outcome
from msnvis.io.atomic import replacing

#: In the folder of all results.
NAME = "runs.json"
STATUSES = ("done", "skipped", "failed")
#: Seconds between two versions of the file, which is written whole.
_SECONDS = 5.0


def recorded(outcomes: Iterable[Outcome], folder: Path, total: int) -> Iterator[Outcome]:
    """Pass `outcomes` on and keep ``runs.json`` in `folder` up to date, also where an error ends them.

    It holds the number of inputs, how many of them are done, skipped and failed, and each outcome so far, in
    the order in which they came. Raises `OutputError` when the file system refuses.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for outcome in recorded([Outcome("a.mp4", "out/a", "failed", "a.mp4 is empty")], folder, 1): pass
    >>> json.loads((folder / NAME).read_text())["failed"]
    1
    """
    so_far: list[Outcome] = []
    _write(folder, so_far, total)
    written = time.monotonic()
    try:
        for outcome in outcomes:
            so_far.append(outcome)
            if time.monotonic() - written >= _SECONDS:
                _write(folder, so_far, total)
                written = time.monotonic()
            yield outcome
    finally:
        _write(folder, so_far, total)


def _write(folder: Path, outcomes: list[Outcome], total: int) -> None:
    counts = Counter(outcome.status for outcome in outcomes)
    content = {
        "inputs": total,
        **{status: counts[status] for status in STATUSES},
        "outcomes": [_entry(outcome) for outcome in outcomes],
    }
    with replacing(folder / NAME) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _entry(outcome: Outcome) -> dict[str, object]:
    """Its fields as JSON, without those that say nothing."""
    entry = {**asdict(outcome), "seconds": round(outcome.seconds, 3)}
    return {name: value for name, value in entry.items() if value or name in ("input", "folder", "status")}
