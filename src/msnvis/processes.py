"""Processes that work for another one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def end_with_parent() -> None:
    """Let this process end soon after the one that started it; a worker calls it first.

    Otherwise the workers of a process that is killed would go on, and then wait for work for ever. Ctrl-C,
    which reaches all processes of a terminal, ends a worker without a traceback: its parent answers.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker has a parent"
    parent.join()
    os._exit(1)  # also where the main thread is at work
