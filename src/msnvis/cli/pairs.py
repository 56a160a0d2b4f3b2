"""`msnvis pairs`: training pairs for a selector from annotated video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msnvis.cli.messages import say
from msnvis.cli.progress import counted


def pairs(
    dataset: Annotated[Path, typer.Argument(help="Annotated video: file or folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the shards.")],
    format: Annotated[
        str,
        typer.Option("--from", metavar="FORMAT", help="Of the data set; `msnvis convert --help` has more."),
    ] = "ytvis",
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The frames, where they are not in the usual place.")
    ] = None,
    segmenter: Annotated[str, typer.Option(help="Whose masks are compared with...")] = "compact",
    segmenter_weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Weights for the segmenter instead of its own.")
    ] = None,
    propagator: Annotated[str, typer.Option(help="...the masks that this one propagates.")] = "flow",
    propagator_weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Weights for the propagator instead of its own.")
    ] = None,
    direction: Annotated[str, typer.Option(metavar="forward|backward|both")] = "both",
    start: Annotated[
        str,
        typer.Option(
            metavar="truth|segmenter|both",
            help="Objects begin with their first true mask, or as in the pipeline.",
        ),
    ] = "truth",
    selector: Annotated[
        str | None,
        typer.Option(help="Pairs that the tracker asks this selector about; with --start segmenter."),
    ] = None,
    selector_weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Weights for that selector instead of its own.")
    ] = None,
    mistakes: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of decisions that are turned round."),
    ] = 0.0,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 works in one, with all threads.")] = 2,
) -> None:
    """Make training pairs for `msnvis train selector`: two masks of an object, and which one is better.

    Started again, it makes what is missing.
    """
    from msnvis.datasets.formats import read_dataset
    from msnvis.io.lock import locked
    from msnvis.selection.make_pairs import DIRECTIONS, PairOptions, make_pairs, missing_shards
    from msnvis.selection.pair_store import PairStore
    from msnvis.selection.pairs import STARTS

    options = PairOptions(
        segmenter=segmenter,
        segmenter_options={"weights": segmenter_weights} if segmenter_weights else {},
        propagator=propagator,
        propagator_options={"weights": propagator_weights} if propagator_weights else {},
        directions=DIRECTIONS if direction == "both" else (direction,),
        starts=STARTS if start == "both" else (start,),
        selector=selector,
        selector_options={"weights": selector_weights} if selector_weights else {},
        mistakes=mistakes,
    )
    videos = read_dataset(dataset, format, images=images, need_frames=True).videos
    with locked(output):
        shards = missing_shards(videos, output, options)
        for _ in counted(make_pairs(shards, options, workers), "pairs", len(shards), "shards"):
            pass
    store = PairStore(output)
    say(f"{output}: {len(store)} pairs of {len(store.videos)} videos")
