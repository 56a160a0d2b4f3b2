"""What is wrong with a dataset: found entry by entry, told all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msnvis.errors import InputError

#: Problems that a listing names; the others are counted.
MAX_LISTED = 20
#: Longest description of a problem: values from the file are part of it.
_MAX_TEXT = 300


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        file: in which it is.
        entry: for example ``annotation 7``.
        text: what is wrong with the entry.
        kind: of what a lenient reader leaves out for it: ``video``, ``annotation``, ``category``...
    """

    file: str
    entry: str
    text: str
    kind: str

    def __str__(self) -> str:
        return f"{self.file}: {self.entry}: {self.text}"


class ListedError(InputError):
    """Several entries are bad; the text has a line for each of the first 20."""


class DatasetError(ListedError):
    """A dataset has bad entries; `problems` are all of them, the text lists the first 20."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        what, them = ("entry", "it") if len(problems) == 1 else ("entries", "them")
        super().__init__(
            f"{path} has {len(problems)} bad {what}; correct {them}, or leave {them} out with --lenient "
            f"(lenient=True):\n{listing(problems)}"
        )


class Problems:
    """Gathers what is wrong while a dataset is read.

    >>> problems = Problems()
    >>> with problems.noted("a.json", "annotation 7", "annotation"):
    ...     raise ValueError("it has no mask")
    >>> print(*problems.found)
    a.json: annotation 7: it has no mask
    """

    def __init__(self) -> None:
        self.found: list[Problem] = []

    @contextmanager
    def noted(self, file: Path | str, entry: str, kind: str) -> Iterator[None]:
        """Leave the block at the first error that comes from the data, note it, and go on after the block."""
        try:
            yield
        except KeyError as error:
            self.add(file, entry, f"it lacks the field {error}", kind)
        except RecursionError:
            self.add(file, entry, "it is nested too deeply", kind)
        except OSError as error:
            self.add(file, entry, f"it cannot be read ({error.strerror or error})", kind)
        except (InputError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
            self.add(file, entry, str(error), kind)

    def add(self, file: Path | str, entry: str, text: str, kind: str) -> None:
        """Note one thing; see `Problem`."""
        text = " ".join(text.split())
        if len(text) > _MAX_TEXT:
            text = f"{text[:_MAX_TEXT]}..."
        self.found.append(Problem(str(file), entry, text, kind))


def listing(problems: Sequence[Problem]) -> str:
    """A line for each of the first 20, and how many more there are."""
    lines = [f"  {problem}" for problem in problems[:MAX_LISTED]]
    if len(problems) > MAX_LISTED:
        lines.append(f"  and {len(problems) - MAX_LISTED} more")
    return "\n".join(lines)


def count_by_kind(problems: Sequence[Problem]) -> str:
    """How many of what were left out.

    >>> count_by_kind([Problem("a.json", f"annotation {i}", "no mask", "annotation") for i in range(2)])
    '2 annotations'
    """
    counts = Counter(problem.kind for problem in problems)
    return " and ".join(f"{count} {_plural(kind) if count > 1 else kind}" for kind, count in counts.items())


def _plural(kind: str) -> str:
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
