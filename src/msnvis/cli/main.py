"""The `msnvis` command: its sub-commands, and how errors reach the user."""

from __future__ import annotations

import re
import sys
from functools import partial
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

import msnvis
from msnvis.cli import (
    convert,
    demo,
    evaluate,
    evaluate_davis,
    export,
    info,
    models,
    pairs,
    run,
    synth,
    train,
    weights,
)
from msnvis.cli.messages import end_with, error_sentence, exit_code, is_debugging, say_error
from msnvis.cpu import prepare_process

#: Click's, wherever the installed Typer keeps its Click.
_UsageError = typer.BadParameter.__base__


class _Group(TyperGroup):
    """Turns every error into one sentence on stderr: exit code 2 where the user can mend it, else 1."""

    def invoke(self, ctx: typer.Context) -> object:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except _UsageError as error:
            command = error.ctx.command_path if error.ctx else "msnvis"
            end_with(f"{error.format_message().rstrip('.')}; `{command} --help` lists the options", 2)
        except KeyboardInterrupt:
            end_with("interrupted", 130)
        except Exception as error:
            if is_debugging(ctx):
                raise
            end_with(error_sentence(error), exit_code([error]))


class _Command(TyperCommand):
    """Shows what it needs as ``RESULTS``, where some versions of Typer write ``{RESULTS}``."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:
        return [re.sub(r"^\{([^|{}]+)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_command = partial(app.command, cls=_Command)
_command("run")(run.run)
_command("demo")(demo.demo)
_command("models")(models.models)
_command("eval")(evaluate.evaluate)
_command("eval-davis")(evaluate_davis.evaluate_davis)
_command("info")(info.info)
_command("pairs")(pairs.pairs)
_command("export")(export.export)
_command("convert")(convert.convert)
_command("synth")(synth.synth)
app.add_typer(train.app, name="train")
app.add_typer(weights.app, name="weights")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"msnvis {msnvis.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """Masks, classes and stable ids for every object in a video."""


def main() -> None:
    """Entry point of the `msnvis` console script."""
    prepare_process()
    try:
        sys.exit(app())
    except KeyboardInterrupt:  # before the command has begun
        say_error("interrupted")
        sys.exit(130)
