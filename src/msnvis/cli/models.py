"""`msnvis models`: every part by name."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

#: Columns where there is no terminal, so that no name is broken.
_PIPE_WIDTH = 160


def models() -> None:
    """List every part, label space and output format by name, with what it is and what it needs."""
    # Imported here because filling the registries loads torch.
    from msnvis.datasets.labels import LABEL_SPACES, label_space
    from msnvis.io.writers import formats
    from msnvis.propagators import propagators
    from msnvis.segmenters import classifiers, segmenters
    from msnvis.selection import selectors

    table = Table(
        "kind",
        Column("name", no_wrap=True),
        Column("what it is", overflow="fold"),
        "needs",
        box=None,
        pad_edge=False,
    )
    for registry in (segmenters, propagators, selectors, classifiers, formats):
        for entry in registry.entries().values():
            # A name that ends in ":" is a family; the user completes it.
            name = entry.name + "NAME" if entry.name.endswith(":") else entry.name
            table.add_row(registry.kind, name, escape(entry.summary), escape(entry.needs))
    for name in LABEL_SPACES:
        table.add_row("labels", name, f"{len(label_space(name).classes)} classes", "nothing")
    Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)
