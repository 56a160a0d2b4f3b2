"""`msnvis synth`: synthetic video from a COCO-format dataset."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from msnvis.cli.messages import say
from msnvis.errors import OptionError


def synth(
    annotations: Annotated[Path, typer.Option(metavar="JSON", help="COCO annotations with masks.")],
    images: Annotated[Path, typer.Option(metavar="DIR", help="Their photographs.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to fill.")],
    videos: Annotated[int, typer.Option(help="How many videos.")] = 100,
    frames: Annotated[int, typer.Option(help="Frames of each.")] = 32,
    size: Annotated[str, typer.Option(metavar="WxH", help="Of the frames, in pixels; even.")] = "480x270",
    objects: Annotated[
        str,
        typer.Option(metavar="MIN-MAX", help="Moving objects a video; the background's come on top."),
    ] = "1-6",
    degradation: Annotated[
        float, typer.Option(help="Motion blur, light, noise and compression: 0 (none) to 1.")
    ] = 1.0,
    split: Annotated[
        str, typer.Option(metavar="all|train|val", help="Photographs to use; train and val share none.")
    ] = "all",
    val_share: Annotated[float, typer.Option(help="Share of the photographs that belong to val.")] = 0.2,
    split_seed: Annotated[int, typer.Option(help="Deals the photographs to train and val.")] = 0,
    seed: Annotated[int, typer.Option(help="Of everything else; the same one gives the same bytes.")] = 0,
    workers: Annotated[
        int | None, typer.Option(help="Processes; one for each processor if left out.", show_default=False)
    ] = None,
) -> None:
    """Make a dataset in the format of YouTube-VIS with exact ground truth out of photographs.

    Objects are cut out and move over other photographs. Started again with the same options, it goes on where
    it was interrupted.
    """
    from msnvis.cli.progress import counted
    from msnvis.datasets.synthetic import SynthOptions
    from msnvis.datasets.synthetic.writing import write_videos

    width, height = _pair(size, "x", "--size", "480x270")
    options = SynthOptions(
        videos=videos,
        frames=frames,
        size=(height, width),
        objects=_pair(objects, "-", "--objects", "1-6"),
        degradation=degradation,
        split=split,
        val_share=val_share,
        split_seed=split_seed,
        seed=seed,
    )
    made = write_videos(annotations, images, output, options, workers or os.cpu_count() or 1)
    count = sum(1 for _ in counted(made, "synth", videos, "videos"))
    say(f"{output}: {count} of {videos} videos made, {videos - count} were there already")


def _pair(text: str, separator: str, option: str, example: str) -> tuple[int, int]:
    match = re.fullmatch(rf"(\d+){separator}(\d+)", text.strip())
    if not match:
        raise OptionError(
            f"{option} {text} is not two whole numbers with '{separator}' between, like {example}"
        )
    return int(match[1]), int(match[2])
