"""Where the time goes: wall and processor seconds by part of the pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Timings:
    """Seconds spent in each named part. Parts must not be nested: the inner one would be counted twice.

    Attributes:
        wall: part -> seconds on the clock.
        cpu: part -> processor seconds of all threads, which do not grow when another process takes the cores.
            What threads of the decoder and the encoder do meanwhile counts for the part that is under way.

    >>> timings = Timings()
    >>> with timings.measure("select"):
    ...     total = sum(range(1000))
    >>> list(timings.wall), timings.cpu["select"] >= 0
    (['select'], True)
    """

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def state_dict(self) -> dict[str, dict[str, float]]:
        """The seconds so far, for `load_state_dict`."""
        return {"wall": dict(self.wall), "cpu": dict(self.cpu)}

    def load_state_dict(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Go on counting from what `state_dict` gave."""
        self.wall, self.cpu = dict(state["wall"]), dict(state["cpu"])

    def add(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Count what another one's `state_dict` gave, too."""
        for ours, theirs in ((self.wall, state["wall"]), (self.cpu, state["cpu"])):
            for part, seconds in theirs.items():
                ours[part] = ours.get(part, 0.0) + seconds

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time of the `with` block to `part`."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[part] = self.wall.get(part, 0.0) + time.perf_counter() - wall
            self.cpu[part] = self.cpu.get(part, 0.0) + time.process_time() - cpu

    def each(self, part: str, items: Iterable[T]) -> Iterator[T]:
        """The same items; the time it takes to get each counts for `part`."""
        iterator = iter(items)
        end = object()
        while True:
            with self.measure(part):
                item = next(iterator, end)
            if item is end:
                return
            yield item  # type: ignore[misc]
