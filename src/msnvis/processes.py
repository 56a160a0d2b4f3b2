"""Processes that work for another one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from msnvis.cpu import prepare_process
from msnvis.errors import MsnvisError

#: Not on Windows, where a Ctrl-C cannot be held back.
_CAN_BLOCK = hasattr(signal, "pthread_sigmask")


@contextmanager
def spawned(workers: int, prepare: Callable[..., None], *arguments: object) -> Iterator[ProcessPoolExecutor]:
    """A pool of new processes, each of which calls `prepare` first and ends with this one.

    What `prepare` raises is only known as a lost process, so what users can do wrong does not belong there.
    They are spawned, not forked: PyTorch's threads do not survive a fork.

    Raises:
        MsnvisError: a process ended before its work was done.
    """
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _prepare, (prepare, arguments))
    try:
        # Workers import for a second or two. A Ctrl-C of that time waits until they can die without a word.
        with _interrupts_held():
            for _ in range(workers):
                pool.submit(int)
        yield pool
    except BrokenProcessPool:
        raise MsnvisError(
            "a worker process was lost, perhaps for want of memory; repeat the command with fewer workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def end_with_parent() -> None:
    """Let this process end soon after the one that started it; a worker calls it first.

    Otherwise the workers of a process that is killed would go on, and then wait for work for ever. Ctrl-C,
    which reaches all processes of a terminal, ends a worker without a traceback: its parent answers.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if _CAN_BLOCK:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_watch, daemon=True).start()


def _prepare(prepare: Callable[..., None], arguments: tuple[object, ...]) -> None:
    end_with_parent()
    prepare_process()
    prepare(*arguments)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C back, also from processes that are started meanwhile, until they call `end_with_parent`."""
    if not _CAN_BLOCK:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "only a worker has a parent"
    parent.join()
    os._exit(1)  # also where the main thread is at work
