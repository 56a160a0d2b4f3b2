"""`msnvis info`: what a video is."""

from __future__ import annotations

from typing import Annotated

import typer

from msnvis.cli.inputs import for_each_input
from msnvis.cli.messages import say


def info(
    ctx: typer.Context,
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO",
            help="Video, image, folder or glob of frames, camera number, rtsp:// or http(s):// address.",
            show_default=False,
        ),
    ],
) -> None:
    """Say what each VIDEO is: kind, coding, size, length, frame rate."""
    from msnvis.io.readers import open_source

    for_each_input(ctx, videos, lambda video: say(str(open_source(video).describe())))
