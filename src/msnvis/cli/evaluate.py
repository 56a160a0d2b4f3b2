"""`msnvis eval`: the official YouTube-VIS evaluation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from msnvis.cli.messages import say, say_warning


def evaluate(
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULTS",
            help="Official results json, tracks.json of `msnvis run`, or a folder with many of them.",
            show_default=False,
        ),
    ],
    annotations: Annotated[
        Path,
        typer.Option("--annotations", "-a", help="Ground truth, YouTube-VIS json.", show_default=False),
    ],
    json: Annotated[
        Path | None, typer.Option("--json", help="Write all numbers to this file.", show_default=False)
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Write a line for each category to this file.", show_default=False),
    ] = None,
    class_agnostic: Annotated[bool, typer.Option("--class-agnostic", help="Ignore the classes.")] = False,
    bootstrap: Annotated[
        int,
        typer.Option(
            "--bootstrap",
            min=0,
            metavar="N",
            help="Take 95 % confidence intervals from N samples of the videos; 1000 is usual.",
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the samples.")] = 0,
    per_category: Annotated[
        bool, typer.Option("--per-category", help="Also print a row for each category.")
    ] = False,
    curves: Annotated[
        Path | None,
        typer.Option("--curves", help="Draw precision over recall into this PNG.", show_default=False),
    ] = None,
    tracking: Annotated[
        Path | None,
        typer.Option(
            "--tracking",
            help="Print HOTA, IDF1 and id switches, and write them to this json.",
            show_default=False,
        ),
    ] = None,
    diagnosis: Annotated[
        Path | None,
        typer.Option(
            "--diagnose",
            help="Print which objects were missed, confused, switched, fragmented; write all to this json.",
            show_default=False,
        ),
    ] = None,
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score", help="For --tracking and --diagnose: leave out tracks with a lower score."
        ),
    ] = 0.0,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Processes that compare masks; one for each processor if left out.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare RESULTS with the ground truth: mAP, AP50, AP75, AR1, AR10 and more, in percent."""
    # Imported here because it takes a while and `--help` does not need it.
    from msnvis.evaluation import evaluate
    from msnvis.evaluation.ground_truth import read_ground_truth
    from msnvis.evaluation.results import load_results
    from msnvis.io.atomic import replacing

    truth = read_ground_truth(annotations)
    # Results for the evaluation alone need not fit into memory.
    found = load_results(results) if tracking or diagnosis else results
    report = evaluate(
        found,
        truth,
        class_agnostic=class_agnostic,
        bootstrap=bootstrap,
        seed=seed,
        workers=workers or os.cpu_count() or 1,
    )
    for note in report.notes:
        say_warning(note)
    outputs = [(json, report.to_json), (csv, report.to_csv)]
    tables = [report.table(results.stem, sizes=True, per_category=per_category)]
    if tracking or diagnosis:
        from msnvis.evaluation.frames import pair_videos

        paired = pair_videos(found, truth, class_agnostic=class_agnostic, score_threshold=min_score)
    if tracking:
        from msnvis.evaluation.tracking import measure_tracking

        measures = measure_tracking(paired)
        outputs.append((tracking, measures.to_json))
        tables.append(measures.table())
    if diagnosis:
        from msnvis.evaluation.diagnosis import diagnose_videos

        faults = diagnose_videos(paired)
        outputs.append((diagnosis, faults.to_json))
        tables.append(faults.table())
    if curves:
        from msnvis.evaluation.plots import plot_curves

        plot_curves(report, curves)
    for path, text in outputs:
        if path:
            with replacing(path) as temporary:
                temporary.write_text(text(), encoding="utf-8")
    say("\n\n".join(tables))
