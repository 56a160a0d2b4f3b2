"""`msnvis models`: every part by name."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

#: Columns where there is no terminal, so that no name is broken.
_PIPE_WIDTH = 160


def models(
    name: Annotated[str | None, typer.Argument(help="A network whose --cost to print.")] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Parameters and multiply-accumulates of networks.")
    ] = False,
) -> None:
    """List every part, preset, label space and output format by name, with what it is and what it needs."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print(_costs(name) if cost or name else _parts())


def _parts() -> Table:
    # Imported here because filling the registries loads torch.
    from msnvis.datasets.formats import dataset_formats
    from msnvis.datasets.labels import LABEL_SPACES, label_space
    from msnvis.io.writers import formats
    from msnvis.presets import PRESETS
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
    for registry in (segmenters, propagators, selectors, classifiers, formats, dataset_formats):
        for entry in registry.entries().values():
            # A name that ends in ":" is a family; the user completes it.
            shown = entry.name + "NAME" if entry.name.endswith(":") else entry.name
            table.add_row(registry.kind, shown, escape(entry.summary), escape(entry.needs))
    for name, preset in PRESETS.items():
        table.add_row("preset", name, preset.summary, "what its parts need")
    for space in LABEL_SPACES:
        table.add_row("labels", space, f"{len(label_space(space).classes)} classes", "nothing")
    return table


def _costs(name: str | None) -> Table:
    from msnvis.cost import cost_names, network_cost

    right = {"justify": "right", "no_wrap": True}
    table = Table(
        "network", "input", Column("M parameters", **right), Column("GMac", **right), box=None, pad_edge=False
    )
    for network in [name] if name else cost_names():
        cost = network_cost(network)
        shape = "x".join(map(str, cost.shape))
        table.add_row(network, shape, f"{cost.parameters / 1e6:.2f}", f"{cost.macs / 1e9:.2f}")
    return table
