"""Reads hostile input in a process of its own, which may crash and whose memory and time are limited."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from fuzz_mutations import Files

#: Bytes that reading a file of a few kilobytes may take beyond what the process has: the largest frame that
#: is read has 2^27 pixels, thrice that in RGB, and is held twice while it is converted.
MEMORY = 1 << 30
#: What the system refuses beyond, so that a defect does no harm: address space, of which threads take much.
ADDRESSES = 4 << 30
#: Seconds of processor time that a file may take, and of time on the clock before the process counts as hung.
SECONDS, PATIENCE = 20.0, 180.0
#: Characters of a sentence; long values from files have to be cut.
_LONGEST = 1500


@dataclass(frozen=True)
class Outcome:
    """What became of one input.

    Attributes:
        verdict: ``read`` or ``refused``, which are in order; ``crashed``, ``hung``, ``greedy`` (memory),
            ``slow`` or ``escaped`` (files outside of the folder), which are not.
        text: the sentence with which it was refused, or what happened.
        seconds: of processor time.
        megabytes: most memory taken beyond what there was before.
    """

    verdict: str
    text: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0

    @property
    def is_fine(self) -> bool:
        return self.verdict in ("read", "refused")


class Guard:
    """One process that reads files as long as it lives; a context manager."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def attempt(self, reader: str, files: Files) -> Outcome:
        """Let the `fuzz_readers.READERS` of this name read `files`."""
        if self._process is None:
            self._start()
        # Deep enough for ../.. to be seen.
        with tempfile.TemporaryDirectory() as top:
            folder = Path(top, "outer", "inner", "input")
            for name, data in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            self._pipe.send((reader, folder))
            outcome = self._answer()
            strangers = [path for path in _around(folder) if path not in (folder, folder.with_name("out"))]
            if strangers:
                return Outcome("escaped", f"{strangers[0]} was made")
        return outcome

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()
        if not self._pipe.poll(PATIENCE):
            raise RuntimeError("the process that reads hostile input does not start")
        self._pipe.recv()

    def _answer(self) -> Outcome:
        if not self._pipe.poll(PATIENCE):
            self._end()
            return Outcome("hung", f"no answer in {PATIENCE:.0f} s")
        try:
            return self._pipe.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self._end()
            return Outcome("crashed", f"the process ended with code {code}")

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _around(folder: Path) -> list[Path]:
    """Everything in the two folders around `folder`."""
    inner = folder.parent
    return [path for path in (*inner.parent.parent.iterdir(), *inner.parent.iterdir(), *inner.iterdir())
            if path not in (inner, inner.parent)]  # fmt: skip


def _serve(pipe: Connection) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    from fuzz_readers import READERS

    _limit_addresses()
    silence = os.open(os.devnull, os.O_WRONLY)  # libraries complain of what they read
    os.dup2(silence, 2)
    pipe.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            name, folder = pipe.recv()
            pipe.send(_judged(lambda name=name, folder=folder: READERS[name].read(folder)))


def _judged(read: Callable[[], None]) -> Outcome:
    from msnvis.datasets.problems import ListedError
    from msnvis.errors import MsnvisError

    before, began = _reset_peak(), time.process_time()
    verdict, text = "read", ""
    try:
        read()
    except MsnvisError as error:
        verdict, text = "refused", str(error)
        lines = text.splitlines()
        if (
            not text
            or len(text) > _LONGEST * len(lines)
            or (len(lines) > 1 and not isinstance(error, ListedError))
        ):
            verdict, text = "crashed", f"this is no sentence: {text!r}"
    except MemoryError:
        verdict, text = "greedy", traceback.format_exc()
    except BaseException:
        verdict, text = "crashed", traceback.format_exc()
    seconds, megabytes = time.process_time() - began, (_peak() - before) / 2**20
    if verdict in ("read", "refused") and seconds > SECONDS:
        verdict, text = "slow", f"{seconds:.1f} s: {text}"
    if verdict in ("read", "refused") and megabytes > MEMORY / 2**20:
        verdict, text = "greedy", f"{megabytes:.0f} MiB: {text}"
    return Outcome(verdict, text, seconds, megabytes)


def _limit_addresses() -> None:
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):  # not Linux: the time limit is left
        return
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ADDRESSES,) * 2)


def _reset_peak() -> int:
    """Bytes that the process has now, from where its peak counts anew; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(key: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)
