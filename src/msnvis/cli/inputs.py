"""Commands that take several inputs go on with the next one where one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import typer

from msnvis.cli.messages import error_sentence, exit_code, is_debugging, say_error


def for_each_input(ctx: typer.Context, inputs: Sequence[str], work: Callable[[str], None]) -> None:
    """Do `work` with each of `inputs`; what goes wrong with one is told in a sentence.

    Raises `typer.Exit` in the end where any failed, with `exit_code`; of ``--debug``, the first error itself.
    """
    errors: list[Exception] = []
    for given in inputs:
        try:
            work(given)
        except Exception as error:
            if is_debugging(ctx):
                raise
            say_error(error_sentence(error))
            errors.append(error)
    if errors:
        if len(inputs) > 1:
            say_error(f"{len(errors)} of {len(inputs)} inputs failed")
        raise typer.Exit(exit_code(errors))
