"""Reading ahead: the next frames are made while the latest one is worked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
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
    wanted: SimpleQueue[bool] = SimpleQueue()  # a fraction of the work of an executor and its futures
    made: SimpleQueue[tuple[T | object, BaseException | None]] = SimpleQueue()

    def make() -> None:
        while wanted.get():
            try:
                made.put((next(iterator, end), None))
            except BaseException as error:
                made.put((end, error))

    thread = Thread(target=make, name="ahead", daemon=True)  # one that nobody closed must not keep Python
    thread.start()
    try:
        for _ in range(depth):
            wanted.put(True)
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is end:
                return
            wanted.put(True)
            yield item
    finally:
        with suppress(Empty):
            while True:
                wanted.get_nowait()
        wanted.put(False)
        thread.join()
        if hasattr(iterator, "close"):
            iterator.close()
