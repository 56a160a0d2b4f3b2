"""Waiting for calls that may block for long, in such a way that the wait can be broken off."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

#: Seconds between two looks at whether the wait was broken off.
_LOOK_SECONDS = 0.05


def interruptible(function: Callable[[], T]) -> T:
    """What `function` returns or raises; Ctrl-C does not have to wait for it.

    >>> interruptible(lambda: 6 * 7)
    42
    """
    waiter = Waiter()
    try:
        return waiter.call(function)
    finally:
        waiter.close()


class Waiter:
    """A thread that makes calls, one at a time; `stop` ends the wait for them with `KeyboardInterrupt`.

    Python handles signals only between its own instructions, and a call that waits for a network returns to
    them after seconds.

    >>> waiter = Waiter()
    >>> waiter.call(lambda: 6 * 7)
    42
    >>> waiter.close()
    """

    def __init__(self) -> None:
        self._is_stopped = False
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[object, BaseException | None]] = SimpleQueue()
        # A call that hangs must not keep Python.
        self._thread = Thread(target=self._work, name="live", daemon=True)

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns or raises; `KeyboardInterrupt` after `stop`."""
        self._check()
        if not self._thread.is_alive():
            self._thread.start()
        self._calls.put(function)
        while True:
            try:
                answer, error = self._answers.get(timeout=_LOOK_SECONDS)
            except Empty:
                self._check()
                continue
            if error is not None:
                raise error
            return answer

    def sleep(self, seconds: float) -> None:
        """Wait; `KeyboardInterrupt` after `stop`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, _LOOK_SECONDS))
        self._check()

    def stop(self) -> None:
        """Break off what waits now or will wait; may be called by a signal handler, so it takes no lock."""
        self._is_stopped = True

    def close(self, last: Callable[[], object] = lambda: None) -> None:
        """Make the `last` call, when one under way is through, and end the thread; waits hardly for that."""
        if not self._thread.is_alive():
            last()
            return
        self._calls.put(last)
        self._calls.put(None)
        self._thread.join(timeout=2 * _LOOK_SECONDS)

    def _check(self) -> None:
        if self._is_stopped:
            raise KeyboardInterrupt

    def _work(self) -> None:
        while (function := self._calls.get()) is not None:
            try:
                answer = function(), None
            except BaseException as error:
                answer = None, error
            self._answers.put(answer)
