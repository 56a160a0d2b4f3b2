"""`msnvis export`: networks for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from msnvis.cli.messages import say


def export(
    network: Annotated[str, typer.Argument(metavar="msn|msn-lite|selector-net")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.onnx")],
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Made by `msnvis train selector`; the shipped ones by default."),
    ] = None,
) -> None:
    """Write a selection network as ONNX, for any number of pairs; `--selector` takes the file, too."""
    from msnvis.selection.learned import load_selector
    from msnvis.selection.onnx import export_onnx

    selector = load_selector(network, weights or network, device="cpu")
    export_onnx(selector.network, network, selector.use, output)
    say(f"{output}: {network}, pairs of {selector.use.crops.side}x{selector.use.crops.side}")
