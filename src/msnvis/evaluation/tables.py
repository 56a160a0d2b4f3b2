"""Plain text tables for terminals and files."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

#: Wide enough for any row; terminals may wrap.
_WIDTH = 1000


def text_table(headings: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Columns of text, shares as percentages.

    Args:
        headings: of the columns.
        rows: cells; floats are shares and shown as percentages.
        left: so many columns are aligned to the left, the others to the right.

    >>> print(text_table(["class", "IoU"], [["cat", 0.5], ["giraffe", 1.0]]))
    class     IoU
    cat      50.0
    giraffe 100.0
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="left" if column < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{100 * cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row))
    output = io.StringIO()
    Console(file=output, width=_WIDTH, markup=False, highlight=False, emoji=False).print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().rstrip("\n").split("\n"))
