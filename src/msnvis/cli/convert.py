"""`msnvis convert`: annotated video from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msnvis.cli.messages import say, say_warning


def convert(
    path: Annotated[Path, typer.Argument(metavar="INPUT", help="Annotation file or folder of the dataset.")],
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="ytvis, coco, davis, mots, openimages, labelme, cvat or a plug-in's.",
        ),
    ],
    target: Annotated[str, typer.Option("--to", metavar="FORMAT", help="ytvis or coco.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="A new or empty folder.")],
    images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The frames, where they are not in the usual place of the format."),
    ] = None,
    frames: Annotated[
        str,
        typer.Option(metavar="none|link|copy", help="Only name the frames, or link or copy them to DIR."),
    ] = "none",
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Carry the classes over to ytvis2019, ytvis2021, coco or any; others are left out, counted.",
            show_default=False,
        ),
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Leave bad entries out, and say how many, instead of stopping.")
    ] = False,
) -> None:
    """Convert annotated video between formats; what is wrong with it is listed entry by entry.

    `msnvis models` lists the formats with what they read.
    """
    from msnvis.datasets.formats import convert_dataset
    from msnvis.datasets.labels import label_space
    from msnvis.datasets.mapping import dropped_sentence
    from msnvis.datasets.problems import count_by_kind, listing

    space = label_space(labels) if labels else None
    dataset, dropped = convert_dataset(
        path,
        output,
        source=source,
        target=target,
        images=images,
        frames=frames,
        labels=space,
        lenient=lenient,
    )
    if dataset.problems:
        say_warning(f"left out {count_by_kind(dataset.problems)}:\n{listing(dataset.problems)}")
    if space and dropped:
        say_warning(dropped_sentence(dropped, space, "tracks"))
    say(f"{output}: {dataset.summary()}")
