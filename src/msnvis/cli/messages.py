"""What the command line says: errors and warnings as single lines on stderr, results on stdout."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from msnvis.datasets.problems import ListedError
from msnvis.errors import MsnvisError


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


def say_error(message: str) -> None:
    typer.echo(f"msnvis: error: {message}", err=True)


def say_warning(message: str) -> None:
    typer.echo(f"msnvis: warning: {message}", err=True)


def is_debugging(ctx: typer.Context) -> bool:
    """Whether the user wants tracebacks."""
    return bool(ctx.find_root().params.get("debug"))
