"""What the command line says: errors and warnings as single lines on stderr, results on stdout."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import NoReturn

import typer

from msnvis.datasets.problems import ListedError
from msnvis.errors import MsnvisError
from msnvis.terminal import neutral

#: Seconds in which a launcher ends the other processes of a training after the first has failed.
_LAUNCHER_SECONDS = 30.0


def error_sentence(error: Exception) -> str:
    """What happened, without a traceback."""
    if isinstance(error, ListedError):  # a sentence, and a line for each bad entry
        return str(error)
    text = " ".join(str(error).split())
    if isinstance(error, MsnvisError):
        return text
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"unexpected {what} (repeat it as `msnvis --debug ...` to see the traceback)"


def exit_code(errors: Iterable[Exception]) -> int:
    """2 where the user can mend all of them, else 1."""
    return 2 if all(isinstance(error, MsnvisError) for error in errors) else 1


def end_with(message: str, code: int) -> NoReturn:
    """Say what went wrong and leave with an exit code.

    Of several processes of one training (torchrun numbers them in RANK) the first tells what all of them met,
    and its end ends the others; one that is still there a little later met an error of its own.
    """
    if os.environ.get("RANK", "0") != "0":
        time.sleep(_LAUNCHER_SECONDS)
    say_error(message)
    raise typer.Exit(code)


def say(message: str) -> None:
    """Print a result."""
    typer.echo(neutral(message))


def say_error(message: str) -> None:
    typer.echo(f"msnvis: error: {neutral(message)}", err=True)


def say_warning(message: str) -> None:
    typer.echo(f"msnvis: warning: {neutral(message)}", err=True)


def is_debugging(ctx: typer.Context) -> bool:
    """Whether the user wants tracebacks."""
    return bool(ctx.find_root().params.get("debug"))
