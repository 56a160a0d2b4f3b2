"""Finding parts by name: from Python, the command line and third-party entry points alike."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any, Generic, TypeVar

from msnvis.errors import OptionError, UnknownPartError

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
    as its first argument. Packages add parts with an entry point in the group ``msnvis.<kind>s`` (spaces
    become ``_``) that loads to a callable returning the part.

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
        """Make the part called `name`.

        Raises:
            UnknownPartError: there is none; the text names the nearest.
            OptionError: it has no such option, or needs one that is not given.
        """
        factory = self._factory(name)
        _check_options(f"{self.kind} '{name}'", inspect.signature(factory), options, self._needs(name))
        return factory(**options)

    def takes(self, name: str, option: str) -> bool:
        """Whether the part called `name` has an `option`; one that it hands on unseen does not count.

        Raises:
            UnknownPartError: there is no such part.
        """
        return option in _option_names(inspect.signature(self._factory(name)))

    def _needs(self, name: str) -> str:
        family = name.partition(":")[0] + ":"
        return (self._entries.get(name) or self._entries[family]).needs

    def _factory(self, name: str) -> Callable[..., T]:
        entries = self.entries()
        if name in entries:
            return entries[name].create
        family, colon, member = name.partition(":")
        if colon and member and f"{family}:" in entries:
            return partial(entries[f"{family}:"].create, member)
        hint = did_you_mean(name, sorted(entries))
        raise UnknownPartError(f"no {self.kind} is called '{name}'; {hint} (`msnvis models` lists them all)")

    def entries(self) -> dict[str, Entry[T]]:
        """All known parts by name, those of third-party packages included."""
        if not self._loaded_entry_points:
            self._loaded_entry_points = True
            for point in metadata.entry_points(group=f"msnvis.{self.kind.replace(' ', '_')}s"):
                package = point.dist.name if point.dist else "a third-party package"
                self._entries.setdefault(
                    point.name, Entry(point.name, _Lazy(point), f"from {package}", package)
                )
        return dict(self._entries)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a `name` that nobody knows: the nearest known one, or all of them.

    >>> did_you_mean("flwo", ["flow", "cfbi"]), did_you_mean("x", ["flow", "cfbi"])
    ("did you mean 'flow'?", 'known: flow, cfbi')
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def _check_options(part: str, signature: inspect.Signature, options: dict[str, object], needs: str) -> None:
    """Raise `OptionError` where calling with `options` would be a `TypeError`."""
    try:
        signature.bind(**options)
    except TypeError:
        names = _option_names(signature)
        takes_any = inspect.Parameter.VAR_KEYWORD in [p.kind for p in signature.parameters.values()]
        unknown = next((option for option in options if option not in names), None)
        if unknown is None or takes_any:
            missing = next(name for name in names if name not in options and _is_required(signature, name))
            what = "" if needs == "nothing" else f" ({needs})"
            raise OptionError(f"{part} needs the option '{missing}'{what}") from None
        hint = did_you_mean(unknown, sorted(names)) if names else "it takes none"
        raise OptionError(f"{part} has no option '{unknown}'; {hint}") from None


def _option_names(signature: inspect.Signature) -> list[str]:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, parameter in signature.parameters.items() if parameter.kind in named]


def _is_required(signature: inspect.Signature, name: str) -> bool:
    return signature.parameters[name].default is inspect.Parameter.empty


class _Lazy:
    """The factory behind an entry point, imported when its options are looked at or it is called."""

    def __init__(self, point: metadata.EntryPoint) -> None:
        self._point = point

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._point.load())

    def __call__(self, *args: object, **options: object) -> Any:
        return self._point.load()(*args, **options)
