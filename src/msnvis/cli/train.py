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
    ctx: typer.Context,
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
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|TOML",
            help="Options from a file, such as msn-paper; those given here win.",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        str, typer.Option(metavar="NAME", help="compact, or swin-t-, swin-s- or swin-b-cascade.")
    ] = "compact",
    imagenet: Annotated[
        bool, typer.Option("--imagenet/--from-scratch", help="Begin with a backbone trained on ImageNet.")
    ] = True,
    steps: Annotated[int, typer.Option(help="Optimiser steps in all.")] = 12000,
    batch_size: Annotated[int, typer.Option(help="Images a step and process.")] = 4,
    learning_rate: Annotated[float, typer.Option(help="Of the heads.")] = 5e-4,
    warmup: Annotated[int, typer.Option(help="Steps over which the learning rate rises.")] = 300,
    canvases: Annotated[
        list[int] | None,
        typer.Option(
            "--canvas", metavar="PIXELS", help="Side of training images; repeat it for multi-scale."
        ),
    ] = None,
    short_sides: Annotated[
        list[int] | None,
        typer.Option(
            "--short-side",
            metavar="PIXELS",
            help="Scale images as they are to this instead of onto a canvas; repeat it for multi-scale.",
        ),
    ] = None,
    long_side: Annotated[
        int, typer.Option(metavar="PIXELS", help="What --short-side may make of the other side at most.")
    ] = 1333,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Carry all classes over to ytvis2019, ytvis2021, coco or any; by default they are those of "
            "the first data set.",
            show_default=False,
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
        Path | None, typer.Option(metavar="FILE|NAME", help="Weights to fine-tune instead of ImageNet's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Train a segmenter on COCO-format data; started again, it goes on where it was interrupted.

    Several GPUs: torchrun --standalone --nproc-per-node 4 -m msnvis train segmenter ...
    """
    if len(images) != len(annotations):
        raise OptionError(
            f"--annotations was given {len(annotations)} times and --images {len(images)} times; give one "
            "folder of images for each annotation file"
        )
    from msnvis.segmenters.training import TrainOptions, read_recipe, train_segmenter

    options = {
        "network": network,
        "imagenet": imagenet,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "warmup": warmup,
        "canvases": tuple(canvases or ()),
        "short_sides": tuple(short_sides or ()),
        "long_side": long_side,
        "labels": labels,
        "hold_out": hold_out,
        "validate_every": validate_every,
        "checkpoint_every": checkpoint_every,
        "precision": precision,
        "workers": workers,
        "start_from": start_from,
        "seed": seed,
    }
    given = {name: value for name, value in options.items() if _is_given(ctx, name)}
    if canvases:  # given instead of a recipe's short sides
        given["short_sides"] = tuple(short_sides or ())
    chosen = (read_recipe(recipe) if recipe else {}) | given
    train_segmenter(TrainOptions(data=list(zip(annotations, images, strict=True)), output=output, **chosen))


def _is_given(ctx: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line; the defaults in its help are those of `TrainOptions`."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


@app.command("selector")
def selector(
    pairs: Annotated[list[Path], typer.Option(metavar="DIR", help="Made by `msnvis pairs`; repeatable.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Weights, checkpoint, history, TensorBoard.")
    ],
    validation: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Other pairs to validate on, made by `msnvis pairs`.")
    ] = None,
    network: Annotated[str, typer.Option(metavar="msn|msn-lite|selector-net")] = "msn",
    epochs: Annotated[float, typer.Option(help="Passes over the pairs.")] = 40,
    batch_size: Annotated[int, typer.Option(help="Pairs a step and process.")] = 512,
    learning_rate: Annotated[float, typer.Option()] = 0.01,
    decay_every: Annotated[float, typer.Option(help="Epochs until the learning rate falls to a tenth.")] = 10,
    warmup: Annotated[int, typer.Option(help="Steps over which the learning rate rises.")] = 0,
    side: Annotated[int | None, typer.Option(metavar="PIXELS", help="Of the crops.")] = None,
    context: Annotated[
        float | None, typer.Option(metavar="SHARE", help="How much wider than the masks the crops are.")
    ] = None,
    loss: Annotated[str, typer.Option(metavar="patch|pair")] = "patch",
    both_orders: Annotated[
        bool, typer.Option("--both-orders", help="Train and ask in both orders, not in a random one.")
    ] = False,
    cell_weight: Annotated[
        float, typer.Option(help="Of an additional loss that asks where the object is.")
    ] = 0.0,
    teacher_weight: Annotated[
        float, typer.Option(help="Of an additional loss that asks what the backbone of compact sees.")
    ] = 0.0,
    min_margin: Annotated[float, typer.Option(help="Leave out pairs whose IoUs differ by less.")] = 0.0,
    full_margin: Annotated[
        float, typer.Option(help="Draw pairs whose IoUs differ by less than this less often.")
    ] = 0.0,
    resize_masks: Annotated[
        float, typer.Option(help="Probability that one of the two masks is grown or shrunk.")
    ] = 0.0,
    merge_masks: Annotated[
        float, typer.Option(help="Probability that one of the two masks covers a neighbour too.")
    ] = 0.0,
    vary_context: Annotated[
        float, typer.Option(metavar="SHARE", help="How far the context strays, as a share of it.")
    ] = 0.0,
    strong_augmentation: Annotated[
        float, typer.Option(help="Probability that a crop is turned, stretched, recoloured.")
    ] = 0.0,
    balance: Annotated[
        bool, typer.Option("--balance", help="Draw pairs as often for either side being the better one.")
    ] = False,
    hold_out: Annotated[float, typer.Option(help="Share of the videos validated on.")] = 0.1,
    validate_every: Annotated[int, typer.Option(metavar="STEPS")] = 500,
    checkpoint_every: Annotated[int, typer.Option(metavar="STEPS")] = 250,
    precision: Annotated[str, typer.Option(metavar="no|bf16|fp16", help="Mixed precision.")] = "no",
    workers: Annotated[int, typer.Option(help="Processes that load pairs.")] = 1,
    start_from: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of the same network to go on from.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Train a selector on pairs of masks; the defaults are the paper's, for 80,000 pairs."""
    from dataclasses import replace

    from msnvis.selection.learned import CROPS
    from msnvis.selection.training import SelectorTrainOptions, train_selector

    options = SelectorTrainOptions(
        pairs=pairs,
        output=output,
        validation=validation,
        network=network,
        start_from=start_from,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        decay_every=decay_every,
        warmup=warmup,
        loss=loss,
        min_margin=min_margin,
        full_margin=full_margin,
        resize_masks=resize_masks,
        merge_masks=merge_masks,
        vary_context=vary_context,
        strong_augmentation=strong_augmentation,
        balance=balance,
        both_orders=both_orders,
        cell_weight=cell_weight,
        teacher_weight=teacher_weight,
        hold_out=hold_out,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        precision=precision,
        workers=workers,
        seed=seed,
    )
    given = {key: value for key, value in (("side", side), ("context", context)) if value is not None}
    train_selector(replace(options, crops=replace(CROPS[network], **given)))
