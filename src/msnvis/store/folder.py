"""The folder in which a run keeps what it needs to go on after an interruption, and its lock."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock

from msnvis.errors import InputError, OptionError
from msnvis.io.atomic import remove_partials, told
from msnvis.io.lock import acquire
from msnvis.store.checkpoint import read_checkpoint, write_checkpoint
from msnvis.store.fingerprint import is_recognisable
from msnvis.store.journal import Journal
from msnvis.store.run_store import RunStore

#: In the folder of the results.
NAME = ".msnvis"
#: Seconds between checkpoints, at least.
SECONDS = 10.0
#: Checkpoints may take one part in so many of the time.
_SHARE = 20
#: Differences named in a refusal.
_NAMED = 5


class WorkFolder:
    """Intermediate results beside the final ones, locked while its ``with`` block runs.

    They are kept after an interruption, so that the same run goes on from the last checkpoint, and removed by
    `finish`. Where nothing can be gone on with, nothing is left.

    Args:
        results: folder of the results, which is made when it does not exist.
        restart: drop what an interrupted run has left.
        keep: leave everything after success, too.

    Attributes:
        path: of the folder; other files in it are removed with it.

    Raises, on entering, `OutputError` where another run works in the folder.

    >>> import tempfile
    >>> results = Path(tempfile.mkdtemp())
    >>> with WorkFolder(results) as work:
    ...     store, state = work.open({"input": "street.mp4"})
    ...     work.save({"frame": 3})
    >>> with WorkFolder(results) as work:
    ...     work.open({"input": "street.mp4"})[1]
    ...     work.finish()
    {'frame': 3}
    """

    def __init__(self, results: Path, *, restart: bool = False, keep: bool = False) -> None:
        self.results = Path(results)
        self.keep = keep
        self.path = self.results / NAME
        self._journal_file, self._checkpoint_file = self.path / "journal", self.path / "checkpoint"
        self._restart = restart
        self._lock = FileLock(self.path / "lock")
        self._journal: Journal | None = None
        self._keeps = False
        self._saved, self._pause = 0.0, SECONDS

    def __enter__(self) -> WorkFolder:
        with told(self.results):
            self.path.mkdir(parents=True, exist_ok=True)
            acquire(self._lock, self.results)
            remove_partials(self.results)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal is not None:
            self._journal.close()
        if not self.has_checkpoint:
            self._drop()
            with suppress(OSError):  # not every system removes open files
                Path(self._lock.lock_file).unlink()
        self._lock.release()
        with suppress(OSError):  # where it holds something
            self.path.rmdir()

    @property
    def has_checkpoint(self) -> bool:
        """Whether the run can go on after an interruption."""
        return self._checkpoint_file.exists()

    def open(self, fingerprint: Mapping[str, Any]) -> tuple[RunStore, dict[str, Any] | None]:
        """Where the run keeps what it finds, and the state of the last checkpoint, if there is one.

        Args:
            fingerprint: all that the results follow from, as JSON can hold it; there will be no checkpoints
                where it is not `is_recognisable`.

        Raises `OptionError` where an interrupted run had another one, `InputError` where what is left of it
        is damaged.
        """
        if self._restart:
            self._drop()
        about = json.dumps(fingerprint).encode()
        state = None
        if self.has_checkpoint:
            try:
                self._journal = Journal.open(self._journal_file, about)
                self._check_same(self._journal.about, about)
                state = read_checkpoint(self._checkpoint_file)
                self._cut_to(state.pop("bytes"))
            except (InputError, KeyError) as error:
                raise self._refusal("what an interrupted run has left there is damaged") from error
        else:
            self._drop()  # it was interrupted before its first checkpoint
            self._journal = Journal.open(self._journal_file, about)
        self._keeps = is_recognisable(fingerprint)
        self._saved = time.monotonic()
        return RunStore(self._journal), state

    def peek(self) -> dict[str, Any] | None:
        """The state of the last checkpoint without entering, beside a run that is at work; None without one.

        Raises `InputError` where it is damaged.
        """
        return read_checkpoint(self._checkpoint_file) if self.has_checkpoint else None

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next checkpoint."""
        return self._keeps and time.monotonic() - self._saved >= self._pause

    def save(self, state: dict[str, Any]) -> None:
        """Make a checkpoint, which is on the disk afterwards, with all that is in the store."""
        if not self._keeps:
            return
        began = time.monotonic()
        self._journal.sync()
        write_checkpoint(self._checkpoint_file, {**state, "bytes": self._journal.size})
        self._saved = time.monotonic()
        self._pause = max(SECONDS, _SHARE * (self._saved - began))

    def finish(self) -> None:
        """The results are written: remove the intermediate ones, unless they are to be kept.

        Nothing can be read from the store any more.
        """
        if self._journal is not None:
            self._journal.close()
        if self.keep:
            return
        if self.has_checkpoint and hasattr(os, "sync"):
            os.sync()  # the results are on the disk before that from which they could be made again is gone
        self._drop()

    def _cut_to(self, size: Any) -> None:
        """Take away what came after the checkpoint."""
        if not isinstance(size, int) or not 0 < size <= self._journal.size:
            raise self._journal.damaged()
        self._journal.cut(size)

    def _check_same(self, old: bytes, new: bytes) -> None:
        differences = list(_differences(json.loads(old), json.loads(new)))
        if differences:
            more = [f"and {len(differences) - _NAMED} more"] if len(differences) > _NAMED else []
            what = ", ".join([*differences[:_NAMED], *more])
            raise self._refusal(f"an interrupted run is waiting there that was begun otherwise: {what}")

    def _refusal(self, why: str) -> OptionError:
        return OptionError(
            f"the run cannot go on in {self.results}: {why}; drop it with --restart (in Python restart=True) "
            "or choose another folder"
        )

    def _drop(self) -> None:
        # The checkpoint first: without it nobody asks for the rest.
        for path in (self._checkpoint_file, *self.path.iterdir()):
            if path != Path(self._lock.lock_file) and not path.is_dir():  # of pieces, see msnvis.pieces
                with told(path):
                    path.unlink(missing_ok=True)


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:
    """A phrase for each value in which two fingerprints differ."""
    if isinstance(old, dict) or isinstance(new, dict):
        old, new = old or {}, new or {}
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), f"{name} {key}".strip())
    elif old != new:
        yield f"{name} was {_shown(old)} and is {_shown(new)}"


def _shown(value: Any) -> str:
    text = json.dumps(value).strip('"')
    return text if len(text) <= 40 else text[:37] + "..."
