"""What a command with several inputs does when some fail."""

from __future__ import annotations

import click
import pytest
import typer

from msnvis.cli.inputs import for_each_input
from msnvis.errors import InputError


def context(debug: bool = False) -> click.Context:
    context = click.Context(click.Command("msnvis"))
    context.params = {"debug": debug}
    return context


def refuse_b(given: str, error: Exception) -> None:
    if given == "b":
        raise error


def test_all_inputs_are_tried_and_the_failed_ones_told(capsys):
    tried = []

    def work(given):
        tried.append(given)
        refuse_b(given, InputError("b is empty"))

    with pytest.raises(typer.Exit) as leaving:
        for_each_input(context(), ["a", "b", "c"], work)
    assert tried == ["a", "b", "c"]
    assert leaving.value.exit_code == 2
    lines = ["msnvis: error: b is empty", "msnvis: error: 1 of 3 inputs failed"]
    assert capsys.readouterr().err.splitlines() == lines


def test_an_error_of_ours_has_another_exit_code(capsys):
    with pytest.raises(typer.Exit) as leaving:
        for_each_input(context(), ["b"], lambda given: refuse_b(given, RuntimeError("oops")))
    assert leaving.value.exit_code == 1
    assert "RuntimeError: oops" in capsys.readouterr().err


def test_debugging_shows_the_first_error_itself():
    with pytest.raises(InputError, match="b is empty"):
        for_each_input(
            context(debug=True), ["b", "a"], lambda given: refuse_b(given, InputError("b is empty"))
        )


def test_success_is_silent(capsys):
    for_each_input(context(), ["a", "c"], lambda given: None)
    assert capsys.readouterr().err == ""
