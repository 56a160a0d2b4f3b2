"""`msnvis run`: from videos to tracked masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from msnvis.cli.job import make_job
from msnvis.cli.messages import is_debugging
from msnvis.cli.outcomes import tell
from msnvis.errors import OptionError

#: Written where no --format is given.
DEFAULT_FORMATS = ("ytvis", "overlay", "summary")


def run(
    ctx: typer.Context,
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Video, image, folder or glob of frames or of videos, list of inputs (.txt, .csv), camera "
            "number, rtsp:// or http(s):// address.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where results go; one folder each for several inputs."
        ),
    ] = Path("out"),
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Parts that go together: compact, paper or best; other options win over it."
        ),
    ] = None,
    segmenter: Annotated[str, typer.Option(metavar="NAME", help="Finds objects in a frame.")] = "compact",
    segmenter_weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Weights for the segmenter instead of its own.")
    ] = None,
    propagator: Annotated[
        str, typer.Option(metavar="NAME", help="Carries masks to the next frame.")
    ] = "flow",
    propagator_weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Weights for the propagator instead of its own.")
    ] = None,
    selector: Annotated[str, typer.Option(metavar="NAME", help="Takes the better of two masks.")] = "score",
    selector_weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Weights for the selector: msn, msn-lite, selector-net."),
    ] = None,
    classifier: Annotated[
        str, typer.Option(metavar="NAME", help="Helps to name objects; `none` leaves it to the segmenter.")
    ] = "efficientnet-lite0",
    labels: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Classes: ytvis2019, ytvis2021, coco, or any, which keeps unnamed objects too.",
        ),
    ] = "ytvis2021",
    direction: Annotated[
        str, typer.Option(metavar="forward|backward|both", help="Which way objects are tracked.")
    ] = "both",
    score_threshold: Annotated[float, typer.Option(help="Score that makes a detection a new object.")] = 0.5,
    max_objects: Annotated[int, typer.Option(help="Most objects at a time.")] = 15,
    keep_alive: Annotated[
        int,
        typer.Option(
            min=0, metavar="FRAMES", help="How long an object that vanished can come back under its id."
        ),
    ] = 30,
    shots: Annotated[bool, typer.Option(help="Find cuts, and carry nothing across them.")] = True,
    human_objects: Annotated[
        bool,
        typer.Option(help="Join pieces of a board, racket, boat or motorbike that accompany one person."),
    ] = True,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Where networks run: auto, cpu, cuda, cuda:1, mps.")
    ] = "auto",
    start: Annotated[
        str | None, typer.Option(metavar="WHEN", help="First frame (250) or time (12.5s, 1:02.5).")
    ] = None,
    end: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Where to stop, likewise; not included.")
    ] = None,
    stride: Annotated[int, typer.Option(help="Take every so-many-th frame.")] = 1,
    max_side: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", help="Shrink frames to this longer side; results are full size."),
    ] = None,
    max_frames: Annotated[
        int | None,
        typer.Option(help="Refuse videos with more frames.  [default: 10 million]", show_default=False),
    ] = None,
    max_pixels: Annotated[
        int | None, typer.Option(help="Refuse larger frames.  [default: 2^27]", show_default=False)
    ] = None,
    reconnect: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="How long a camera or address that drops out is tried again; 0 is never."
        ),
    ] = 60.0,
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="ytvis, coco, png, mots, overlay or summary; repeat it for several.  "
            f"[default: {', '.join(DEFAULT_FORMATS)}]",
            show_default=False,
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, not where an interrupted run stopped.")
    ] = False,
    keep_intermediate: Annotated[
        bool,
        typer.Option("--keep-intermediate", help="Keep what results are made of, for other formats later."),
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            metavar="local|ray", help="One video after the other here, or many at a time on a Ray cluster."
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            help="With Ray: processes with models.  [default: as there is room]", show_default=False
        ),
    ] = None,
    worker_cpus: Annotated[
        float | None,
        typer.Option(
            help="With Ray: cores for each.  [default: 1 with GPUs, else PyTorch's threads]",
            show_default=False,
        ),
    ] = None,
    worker_gpus: Annotated[
        float | None,
        typer.Option(
            help="With Ray: GPUs for each, 0.25 for four on one.  [default: 1 where there are any]",
            show_default=False,
        ),
    ] = None,
    worker_retries: Annotated[
        int, typer.Option(help="With Ray: times a video or piece whose worker is lost is tried again.")
    ] = 3,
    piece_frames: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="FRAMES",
            help="With Ray: videos more than twice as long are processed in pieces of this length or more, "
            "from cut to cut.",
        ),
    ] = 5000,
) -> None:
    """Find, outline, name and track every object of each INPUT.

    A run that was interrupted goes on where it stopped when the command is repeated. Of many inputs, those
    that are done already are skipped.

    The exit code is 0 when all inputs succeeded, 2 when any failed, and 130 after Ctrl-C, which writes what
    is done.
    """
    # Imported here because it loads OpenCV and torch, which takes seconds.
    from msnvis.engines.ray_engine import RayOptions, run_on_ray
    from msnvis.engines.tasks import list_tasks
    from msnvis.io.writers import formats as known_formats

    if engine not in ("local", "ray"):
        raise OptionError(f"there is no engine '{engine}'; choose local or ray")
    ray_options = RayOptions(workers, worker_cpus, worker_gpus, worker_retries)
    formats = tuple(format or DEFAULT_FORMATS)
    for name in formats:
        known_formats.create(name)  # a wrong name is better told now than after an hour
    given = {
        "segmenter": segmenter,
        "propagator": propagator,
        "selector": selector,
        "classifier": classifier,
        "labels": labels,
        "direction": direction,
        "score_threshold": score_threshold,
        "max_objects": max_objects,
        "keep_alive": keep_alive,
        "shots": shots,
        "human_objects": human_objects,
        "device": device,
    }
    options = {**given, **(_over_preset(ctx, preset, given) if preset else {})}
    options["max_lost"] = options.pop("keep_alive")
    weights = {"segmenter": segmenter_weights, "propagator": propagator_weights, "selector": selector_weights}
    for kind, file in weights.items():
        if file is not None:
            name, own = (options[kind], {}) if isinstance(options[kind], str) else options[kind]
            options[kind] = (name, {**own, "weights": file})
    window = {"start": start, "end": end, "stride": stride, "max_side": max_side, "reconnect": reconnect}
    limits = {"max_frames": max_frames, "max_pixels": max_pixels}
    window |= {name: value for name, value in limits.items() if value is not None}
    make = partial(make_job, options, preset, window, formats, keep_intermediate=keep_intermediate)
    tasks = list_tasks(inputs, output, restart=restart)
    if engine == "ray":
        outcomes = run_on_ray(partial(make, quiet=True, piece_frames=piece_frames), tasks, ray_options)
    else:
        outcomes = map(make(debug=is_debugging(ctx)), tasks)
    tell(outcomes, tasks, output, is_remote=engine == "ray")


def _over_preset(ctx: typer.Context, preset: str, options: dict[str, object]) -> dict[str, object]:
    """The preset's options, and over them those of `options` that the user gave."""
    from msnvis.presets import preset_options

    sources = {name: ctx.get_parameter_source(name) for name in options}
    given = {name: v for name, v in options.items() if sources[name] and sources[name].name == "COMMANDLINE"}
    return {**preset_options(preset), **given}
