"""`msnvis models`: every part by name."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def models() -> None:
    """List every part by name, with what it is and what it needs."""
    # Imported here because filling the registries loads torch.
    from msnvis.propagators.base import propagators
    from msnvis.segmenters.base import segmenters
    from msnvis.segmenters.classifier import classifiers
    from msnvis.selection.base import selectors

    table = Table("kind", "name", "what it is", "needs", box=None, pad_edge=False)
    for registry in (segmenters, propagators, selectors, classifiers):
        for entry in registry.entries().values():
            # A name that ends in ":" is a family, completed by the user.
            name = entry.name + "NAME" if entry.name.endswith(":") else entry.name
            table.add_row(registry.kind, name, entry.summary, entry.needs)
    Console().print(table)
