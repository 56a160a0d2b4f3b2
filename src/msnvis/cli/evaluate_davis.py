"""`msnvis eval-davis`: J, F and J&F of folders of label maps."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from msnvis.cli.messages import say


class Task(str, Enum):
    """As in `msnvis.evaluation.davis`, which takes a while to import."""

    SEMI_SUPERVISED = "semi-supervised"
    UNSUPERVISED = "unsupervised"


def evaluate_davis(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS",
            help="Folder with a folder of PNG label maps for each sequence, or of one sequence.",
            show_default=False,
        ),
    ],
    annotations: Annotated[
        Path,
        typer.Option(
            "--annotations",
            "-a",
            help="Ground truth of the same layout, for example DAVIS/Annotations/480p.",
            show_default=False,
        ),
    ],
    task: Annotated[
        Task, typer.Option(help="Match objects by their numbers, or by the best assignment.")
    ] = Task.SEMI_SUPERVISED,
    sequences: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of the sequences to evaluate, one a line, for example DAVIS/ImageSets/2017/val.txt; "
            "all when not given.",
            show_default=False,
        ),
    ] = None,
    single_object: Annotated[
        bool, typer.Option("--single-object", help="Take all objects of a sequence for one.")
    ] = False,
    all_frames: Annotated[
        bool,
        typer.Option("--all-frames", help="Judge the first and the last frame too; officially they are not."),
    ] = False,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write all numbers to this file.", show_default=False)
    ] = None,
) -> None:
    """Compare folders of label maps with the ground truth: J, F and J&F of DAVIS, in percent."""
    # Imported here because it takes a while and `--help` does not need it.
    from msnvis.evaluation import davis
    from msnvis.io.atomic import replacing

    names = davis.read_names(sequences) if sequences else None
    report = davis.evaluate_davis(
        results,
        annotations,
        task=task.value,
        sequences=names,
        single_object=single_object,
        all_frames=all_frames,
    )
    if json:
        with replacing(json) as temporary:
            temporary.write_text(report.to_json(), encoding="utf-8")
    say(report.table())
