"""Finding parts by name: from Python, the command line and third-party entry points alike."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Generic, TypeVar

from msnvis.errors import UnknownPartError

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered part: how to make it, what it is and what it needs."""

    name: str
    create: Callable[..., T]
    summary: str
    needs: str = "nothing"


class Registry(Generic[T]):
    """Named factories of one kind of part.

    A name ending in ``:`` registers a family: ``torchvision:`` answers ``torchvision:NAME`` and gets ``NAME``
    as its first argument. Packages add parts with an entry point in the group ``msnvis.<kind>s`` that loads
    to a callable returning the part.

    >>> shapes = Registry("shape")
    >>> @shapes.register("square", summary="four equal sides")
    ... def square(side=1):
    ...     return side * side
    >>> shapes.create("square", side=3)
    9
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[T]] = {}
        self._loaded_entry_points = False

    def register(
        self, name: str, *, summary: str, needs: str = "nothing"
    ) -> Callable[[Callable[..., T]], Callable[..., T]]:
        def add(create: Callable[..., T]) -> Callable[..., T]:
            self._entries[name] = Entry(name, create, summary, needs)
            return create

        return add

    def create(self, name: str, **options: object) -> T:
        """Make the part called `name`; raises `UnknownPartError` naming the nearest known one."""
        entries = self.entries()
        if name in entries:
            return entries[name].create(**options)
        family, colon, member = name.partition(":")
        if colon and member and f"{family}:" in entries:
            return entries[f"{family}:"].create(member, **options)
        raise UnknownPartError(self._unknown(name))

    def entries(self) -> dict[str, Entry[T]]:
        """All known parts by name, those of third-party packages included."""
        if not self._loaded_entry_points:
            self._loaded_entry_points = True
            for point in metadata.entry_points(group=f"msnvis.{self.kind}s"):
                package = point.dist.name if point.dist else "a third-party package"
                self._entries.setdefault(
                    point.name, Entry(point.name, _lazy(point), f"from {package}", package)
                )
        return dict(self._entries)

    def _unknown(self, name: str) -> str:
        known = sorted(self.entries())
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        return f"no {self.kind} is called '{name}'; {hint} (`msnvis models` lists them all)"


def _lazy(point: metadata.EntryPoint) -> Callable[..., T]:
    def create(*args: object, **options: object) -> T:
        return point.load()(*args, **options)

    return create
