"""`msnvis info`: what a video is."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console


def info(
    video: Annotated[
        str,
        typer.Argument(
            help="Video, image, folder or glob of frames, camera number, rtsp:// or http(s):// address."
        ),
    ],
) -> None:
    """Say what a video is: kind, size, frame rate, length."""
    from msnvis.io.readers import open_source

    source = open_source(video)
    Console(soft_wrap=True, highlight=False).print(source.describe())
