"""Ctrl-C that takes effect between two frames, so that what is done can be written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType


class PoliteInterrupt:
    """In its `with` block the first Ctrl-C only sets a mark, which `check` turns into `KeyboardInterrupt`.

    The second one interrupts at once. Outside the main thread, where signals do not arrive, it does nothing.

    Args:
        stop: called at the first one too, to end a wait.
    """

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        self._wanted = False
        self._stop = stop

    def __enter__(self) -> PoliteInterrupt:
        self._is_main = threading.current_thread() is threading.main_thread()
        if self._is_main:
            self._before = signal.signal(signal.SIGINT, self._mark)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_main:
            signal.signal(signal.SIGINT, self._before)

    @property
    def pending(self) -> bool:
        """Whether Ctrl-C came and `check` has not been called since."""
        return self._wanted

    def check(self) -> None:
        """Raise `KeyboardInterrupt` once if Ctrl-C came."""
        if self._wanted:
            self._wanted = False
            raise KeyboardInterrupt

    def _mark(self, number: int, frame: FrameType | None) -> None:
        if self._wanted:
            raise KeyboardInterrupt
        self._wanted = True
        self._stop()
