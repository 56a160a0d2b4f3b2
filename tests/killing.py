"""Runs of `msnvis` in processes of their own, to be killed: one process imports everything, then forks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from safetensors.torch import load_file

_SERVER = """
import json, os, sys
import squares
squares.register()
import msnvis.io.writers, msnvis.pipeline, msnvis.io.recording
from msnvis.cli.main import main
from msnvis.store import folder
folder.SECONDS, folder._SHARE = 0.0, 0  # a checkpoint whenever there can be one
for line in sys.stdin:
    request = json.loads(line)
    pid = os.fork()
    if pid == 0:
        log = os.open(request["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for name, limit in request["limits"].items():
            import resource, signal
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(getattr(resource, name), (limit, limit))
        sys.argv = ["msnvis", *request["arguments"]]
        try:
            main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code or 0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class RunServer:
    """Starts `msnvis` runs one after the other.

    Args:
        folder: for what they print.
    """

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log.txt"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )

    def start(self, arguments: Sequence[object], **limits: int) -> int:
        """Begin ``msnvis ARGUMENTS``; gives the process id. `limits` are those of `resource`."""
        request = {"arguments": list(map(str, arguments)), "log": str(self.log), "limits": limits}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self) -> int:
        """The exit code of the run, negative where a signal ended it."""
        return int(self._process.stdout.readline())

    def run(self, arguments: Sequence[object], **limits: int) -> int:
        self.start(arguments, **limits)
        return self.wait()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def kill_training(arguments: Sequence[object], output: Path, first: int = 1) -> int:
    """Begin ``msnvis train ARGUMENTS -o OUTPUT`` and kill it after so many checkpoints; its exit code."""
    process = subprocess.Popen(_training(arguments, output), env=os.environ | {"OMP_NUM_THREADS": "1"})
    checkpoint, seen = output / "checkpoint.pt", set()
    while process.poll() is None and len(seen) < first:
        time.sleep(0.01)
        if checkpoint.exists():
            seen.add(checkpoint.stat().st_mtime_ns)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def train(arguments: Sequence[object], output: Path) -> None:
    """``msnvis train ARGUMENTS -o OUTPUT`` to the end."""
    subprocess.run(_training(arguments, output), check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def weights_after_kills(arguments: Sequence[object], folder: Path) -> Iterator[tuple[dict, dict]]:
    """Train in peace, and killed twice; gives the tensors of both, from each file of weights."""
    train(arguments, folder / "whole")
    for checkpoints in (1, 2):
        assert kill_training(arguments, folder / "killed", checkpoints) == -signal.SIGKILL
    train(arguments, folder / "killed")
    for name in ("best.safetensors", "final.safetensors"):
        yield load_file(folder / "whole" / name), load_file(folder / "killed" / name)


def _training(arguments: Sequence[object], output: Path) -> list[str]:
    return [sys.executable, "-m", "msnvis", "train", *map(str, arguments), "-o", str(output)]
