"""`msnvis train`: train parts on your own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msnvis.errors import OptionError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def train() -> None:
    """Train parts on your own data."""


@app.command("segmenter")
def segmenter(
    annotations: Annotated[
        list[Path], typer.Option(metavar="JSON", help="COCO annotations; repeat it for several data sets.")
    ],
    images: Annotated[
        list[Path],
        typer.Option(metavar="DIR", help="Their images, once for each --annotations, in that order."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Weights, checkpoint, history, TensorBoard.")
    ],
    steps: Annotated[int, typer.Option(help="Optimiser steps in all.")] = 12000,
    batch_size: Annotated[int, typer.Option(help="Images a step and process.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Of the heads.")] = 5e-4,
    canvases: Annotated[
        list[int] | None,
        typer.Option(
            "--canvas", metavar="PIXELS", help="Side of training images; repeat it for multi-scale."
        ),
    ] = None,
    hold_out: Annotated[
        int, typer.Option(help="Fully labelled images of the first data set kept for validation.")
    ] = 80,
    validate_every: Annotated[int, typer.Option(metavar="STEPS")] = 1000,
    checkpoint_every: Annotated[int, typer.Option(metavar="STEPS")] = 250,
    precision: Annotated[str, typer.Option(metavar="no|bf16|fp16", help="Mixed precision.")] = "no",
    workers: Annotated[int, typer.Option(help="Processes that load images.")] = 1,
    start_from: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights to fine-tune instead of ImageNet's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Train the `compact` segmenter on COCO-format data; started again, it goes on where it was interrupted.

    Several GPUs: accelerate launch -m msnvis train segmenter ...
    """
    if len(images) != len(annotations):
        raise OptionError(
            f"--annotations was given {len(annotations)} times and --images {len(images)} times; give one "
            "folder of images for each annotation file"
        )
    from msnvis.segmenters.training import TrainOptions, train_segmenter

    sides = {"canvases": tuple(canvases)} if canvases else {}
    train_segmenter(
        TrainOptions(
            data=list(zip(annotations, images, strict=True)),
            output=output,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            hold_out=hold_out,
            validate_every=validate_every,
            checkpoint_every=checkpoint_every,
            precision=precision,
            workers=workers,
            start_from=start_from,
            seed=seed,
            **sides,
        )
    )
