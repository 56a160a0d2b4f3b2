"""Workers do not outlive the process that they work for."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from msnvis.errors import MsnvisError
from msnvis.processes import spawned

SCRIPT = r"""
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from msnvis.processes import end_with_parent

def work(seconds):
    os.write(1, f"{os.getpid()}\n".encode())  # in one piece
    time.sleep(seconds)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, context, end_with_parent) as pool:
        list(pool.map(work, [0, 0, 0, 0]))  # then both wait for work
        list(pool.map(work, [600, 600] if sys.argv[2] == "busy" else [600]))
"""


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def begin(folder, method, state):
    """The program in a process group of its own, and the ids of its workers as soon as they work."""
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(folder / "script.py"), method, state]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    parent = subprocess.Popen(command, start_new_session=True, **pipes)
    workers = {int(parent.stdout.readline()) for _ in range(6 if state == "busy" else 5)}
    assert workers and parent.pid not in workers
    return parent, workers


def assert_ended(workers):
    latest = time.monotonic() + 60
    while any(map(is_alive, workers)) and time.monotonic() < latest:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="process ids tell nothing on this system")
@pytest.mark.parametrize("state", ["busy", "waiting"])
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers_end_when_their_parent_is_killed(tmp_path, method, state):
    parent, workers = begin(tmp_path, method, state)
    parent.kill()
    assert_ended(workers)
    parent.communicate()


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there is no such Ctrl-C on this system")
def test_ctrl_c_ends_workers_without_a_word(tmp_path):
    parent, workers = begin(tmp_path, "spawn", "busy")
    os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=60)
    assert_ended(workers)
    assert "Process SpawnProcess" not in said


IMPORTING = r"""
import os, time
from msnvis.processes import spawned

os.write(1, f"{os.getpid()}\n".encode())  # the parent, too, and each worker as soon as it imports this
if __name__ == "__main__":
    with spawned(2, int) as pool:
        list(pool.map(time.sleep, [600, 600]))
time.sleep(1)  # long imports
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="there is no such Ctrl-C on this system")
def test_ctrl_c_while_workers_import_ends_them_without_a_word(tmp_path):
    (tmp_path / "script.py").write_text(IMPORTING)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "script.py")], start_new_session=True, **pipes)
    processes = {int(parent.stdout.readline()) for _ in range(3)}
    os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=60)
    assert_ended(processes - {parent.pid})
    assert said.count("KeyboardInterrupt") == 1, "only the parent's own"


def test_a_lost_worker_is_told():
    with pytest.raises(MsnvisError, match=r"lost.*fewer workers"), spawned(1, int) as pool:
        pool.submit(os._exit, 9).result()


def test_what_work_raises_is_raised_here():
    with pytest.raises(ValueError, match="'x'"), spawned(1, int) as pool:
        pool.submit(int, "x").result()
