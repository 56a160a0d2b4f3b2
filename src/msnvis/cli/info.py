"""`msnvis info`: what a video is."""

from __future__ import annotations

from typing import Annotated

import typer

from msnvis.cli.messages import error_sentence, exit_code, is_debugging, say_error


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

    errors: list[Exception] = []
    for video in videos:
        try:
            typer.echo(str(open_source(video).describe()))
        except Exception as error:
            if is_debugging(ctx):
                raise
            say_error(error_sentence(error))
            errors.append(error)
    if errors:
        raise typer.Exit(exit_code(errors))
