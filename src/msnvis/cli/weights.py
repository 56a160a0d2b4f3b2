"""`msnvis weights`: files of weights by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from msnvis.cli.messages import say

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

#: Columns where there is no terminal, so that no address is broken.
_PIPE_WIDTH = 240
#: Digits of a checksum that the list shows, as many as torchvision publishes.
_DIGITS = 8


@app.callback()
def weights() -> None:
    """List, fetch, verify and convert files of weights."""


@app.command("list")
def list_(
    prefix: Annotated[str, typer.Argument(metavar="[PREFIX]", help="How the names to list begin.")] = "",
) -> None:
    """List every file of weights with its licence, size, checksum and source."""
    from rich.console import Console
    from rich.table import Column, Table

    from msnvis.weights.catalogue import TORCHVISION, find_weights, known_weights
    from msnvis.weights.files import cache_dir, local_path

    no_wrap = (Column(heading, no_wrap=True) for heading in ("name", "MB", "licence", "SHA-256", "here"))
    table = Table(*no_wrap, Column("from", overflow="fold"), box=None, pad_edge=False)
    for file in list(known_weights(prefix)) or [find_weights(prefix)]:  # which says what is like it
        here = "shipped" if file.shipped else "yes" if local_path(file).is_file() else "no"
        source = file.url or (f"{file.page} (by hand)" if file.page else file.source)
        table.add_row(
            file.name,
            f"{file.megabytes:.0f}",
            file.licence,
            file.sha256[:_DIGITS] or "not given",
            here,
            source,
        )
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    Console(highlight=False, markup=False, width=width).print(table)
    if not prefix:
        say(
            f"\n{TORCHVISION}NAME: mask detectors and ImageNet classifiers; "
            f"`msnvis weights list {TORCHVISION}` lists them\n"
            "transformers:NAME: kept by the Hugging Face hub's own library; `hf download NAME` fetches one\n"
            f"Downloads go to {cache_dir()}"
        )


@app.command("fetch")
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME", help="As `msnvis weights list` shows it.", show_default=False),
    ],
) -> None:
    """Download files of weights, or go on with downloads that broke off, and check them."""
    from msnvis.weights.catalogue import find_weights
    from msnvis.weights.files import weights_path

    for file in [find_weights(name) for name in names]:
        say(f"{file.name}: {weights_path(file)}")


@app.command("verify")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]", help="Which; all that are here if left out.", show_default=False),
    ] = None,
) -> None:
    """Check files of weights against their checksums; the exit code is 2 where one is wrong."""
    from msnvis.weights.catalogue import TORCHVISION, find_weights, known_weights
    from msnvis.weights.files import State, local_path, verify

    given = [find_weights(name) for name in names or ()]
    states = {file: verify(file) for file in given or (*known_weights(), *known_weights(TORCHVISION))}
    for file, state in states.items():
        if given or state is not State.ABSENT:
            say(f"{file.name}: {local_path(file)} {state.value}")
    if State.WRONG in states.values() or (given and State.ABSENT in states.values()):
        raise typer.Exit(2)


@app.command("convert")
def convert(
    part: Annotated[str, typer.Argument(help="Whose weights they are, such as torchvision:vit_b_16.")],
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="The published checkpoint.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.safetensors")],
) -> None:
    """Write a published checkpoint as safetensors, under the names of our networks.

    Nothing that a checkpoint may hold beside tensors is executed.
    """
    import msnvis.propagators
    import msnvis.segmenters  # noqa: F401 - both fill the registry of converters
    from msnvis.weights.conversion import convert_weights

    say(f"{output}: {convert_weights(part, checkpoint, output)} tensors of {part}")
