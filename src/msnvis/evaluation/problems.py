"""Refusing inputs: one sentence for one bad entry, a list for several."""

from __future__ import annotations

from msnvis.datasets.problems import ListedError, Problems, listing
from msnvis.errors import InputError


def refuse(problems: Problems) -> None:
    """Raise `InputError` when anything is wrong; the first twenty entries are named and all are counted.

    >>> refuse(Problems())
    """
    found = problems.found
    if len(found) == 1:
        raise InputError(f"{found[0]}; correct it and evaluate again")
    if found:
        what = f"{found[0].file} has {len(found)} bad entries"
        raise ListedError(f"{what}; correct them and evaluate again:\n{listing(found)}")
