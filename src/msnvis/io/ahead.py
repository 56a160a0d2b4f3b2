"""Reading ahead: the next frames are made while the latest one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

#: Frames that wait at most: enough for a segmenter that takes four at a time.
DEPTH = 4


def ahead(items: Iterable[T], depth: int = DEPTH) -> Iterator[T]:
    """The same items, made in a thread of their own, at most `depth` of them before they are asked for.

    What `items` raises is raised here, at its place. Closing this ends the thread and closes `items`.

    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    iterator, end = iter(items), object()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        waiting = deque(thread.submit(next, iterator, end) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, iterator, end))
                yield item
        finally:
            thread.shutdown(cancel_futures=True)
            if hasattr(iterator, "close"):
                iterator.close()
