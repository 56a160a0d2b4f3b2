"""Lists of inputs as text or CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from msnvis.errors import InputError
from msnvis.io.addresses import is_camera, is_network
from msnvis.io.names import file_name

_SUFFIXES = {".txt": "\t", ".csv": ","}
#: Of the columns, where the first line names them.
_HEADER = ["input", "output"]


def is_manifest(given: str) -> bool:
    """Whether `given` is a list of inputs: a file with the ending ``.txt`` or ``.csv``."""
    path = Path(given)
    return path.suffix.lower() in _SUFFIXES and path.is_file()


def read_manifest(path: Path) -> list[tuple[int, str, str | None]]:
    """Number of the line, input, and name of its folder of results or None.

    Args:
        path: UTF-8 text with an input a line and, after a comma (``.csv``, with the quotes of CSV) or a tab
            (``.txt``), optionally a name. Empty lines, lines that begin with ``#`` and a first line
            ``input,output`` are passed over. Relative inputs start from the folder of the manifest.

    Raises:
        InputError: it cannot be read, holds no inputs, or a name is repeated or cannot name a folder.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "list.csv"
    >>> _ = file.write_text("/videos/a.mp4,first\\n/videos/b.mp4\\n")
    >>> read_manifest(file)
    [(1, '/videos/a.mp4', 'first'), (2, '/videos/b.mp4', None)]
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            entries = list(_entries(path, _rows(file, _SUFFIXES[path.suffix.lower()])))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a list of inputs ({error}); write it as UTF-8") from error
    if not entries:
        raise InputError(f"{path} lists no inputs; write one a line")
    return entries


def _rows(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Number and cells of the lines that say something."""
    if delimiter == ",":
        reader = csv.reader(lines)
        numbered = ((reader.line_num, row) for row in reader)
    else:
        numbered = enumerate((line.split(delimiter) for line in lines), 1)
    for number, row in numbered:
        cells = [cell.strip() for cell in row]
        is_header = number == 1 and cells == _HEADER[: len(cells)]
        if any(cells) and not cells[0].startswith("#") and not is_header:
            yield number, cells


def _entries(path: Path, rows: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, str, str | None]]:
    names: dict[str, int] = {}
    for number, (given, *more) in rows:
        name = more[0] if more and more[0] else None
        if not given or len(more) > 1:
            raise InputError(f"{path}, line {number}: give one input and at most one name for its results")
        if name is not None:
            if file_name(name, "") != name:
                raise InputError(f"{path}, line {number}: '{name}' cannot name a folder; choose another name")
            before = names.setdefault(name.casefold(), number)
            if before != number:
                raise InputError(
                    f"{path}, line {number}: '{name}' is the name in line {before} already; choose another"
                )
        is_live = is_network(given) or is_camera(given)
        yield number, given if is_live else str(path.parent / given), name
