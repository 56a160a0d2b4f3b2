"""Work that is spread over several processes."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from msnvis.errors import MsnvisError
from msnvis.processes import end_with_parent

#: Items that a process takes at a time.
_AT_ONCE = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


def can_fork() -> bool:
    """Whether processes that know everything can be made in no time, and safely.

    They can on Linux, as long as no other thread of Python runs: a fork never gives free the locks that
    others hold. Threads that a linear algebra library keeps waiting do no harm to what needs none.
    """
    return sys.platform == "linux" and threading.active_count() == 1


def spread(
    function: Callable[[Item], Result], portions: Iterable[list[Item]], workers: int
) -> Iterator[tuple[Item, Result]]:
    """Each item and what `function` returns for it, in their order.

    Args:
        function: called in processes that are forked for each portion: what it changes is lost, what it
            returns is pickled.
        portions: drawn one by one, the next while one is worked on.
        workers: number of processes; with 1, all takes place in this one.

    Raises MsnvisError when a process ends before its work is done.

    >>> list(spread(len, [["a", "bc"], ["def"]], workers=1))
    [('a', 1), ('bc', 2), ('def', 3)]
    """
    if workers == 1:
        yield from ((item, function(item)) for items in portions for item in items)
        return
    context = multiprocessing.get_context("fork")
    remaining = iter(portions)
    items = next(remaining, None)
    while items:
        try:
            with ProcessPoolExecutor(workers, context, _Worker.prepare, (function, items)) as pool:
                working = pool.map(_Worker.work, range(len(items)), chunksize=_AT_ONCE)
                following = next(remaining, None)  # drawn meanwhile
                results = list(working)
        except BrokenProcessPool:
            raise MsnvisError(
                "a worker process was lost, perhaps for want of memory; evaluate with one worker"
            ) from None
        yield from zip(items, results, strict=True)
        items = following


class _Worker:
    """What a process of the pool finds at its start; none of it is sent."""

    job: tuple[Callable[[Any], Any], list[Any]]

    @classmethod
    def prepare(cls, function: Callable[[Any], Any], items: list[Any]) -> None:
        end_with_parent()
        # Ctrl-C reaches all processes of a terminal; the first one answers it and ends the others.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        cls.job = function, items

    @classmethod
    def work(cls, index: int) -> Any:
        function, items = cls.job
        return function(items[index])
