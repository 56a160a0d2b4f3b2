"""`msnvis train`: train parts on your own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Train parts on your own data.")


@app.callback()
def train() -> None:
    """Train parts on your own data."""


@app.command("segmenter")
def segmenter(
    data: Annotated[list[Path], typer.Argument(help="COCO-format annotation files.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Checkpoints and logs.")],
) -> None:
    """Train the compact segmenter."""
    from msnvis.segmenters.training import train_segmenter

    train_segmenter(data, output)
