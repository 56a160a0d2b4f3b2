"""Files that hold one long JSON list, element by element: results of a data set do not fit into memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from msnvis.errors import InputError
from msnvis.io.formats import reading

#: Characters read at a time.
_BLOCK = 1 << 20
#: Characters behind a number that tell whether it is complete.
_UNDECIDED = 3
#: What JSON calls white space.
_BLANK = " \t\r\n"


def holds_list(path: Path) -> bool:
    """Whether the JSON in a file starts as a list does; raises `InputError` when it cannot be read."""
    with reading.explained(str(path)), path.open(encoding="utf-8") as file:
        return file.read(_BLOCK).lstrip(_BLANK).startswith("[")


def read_list(path: Path) -> Iterator[Any]:
    """The elements of the list in a file, each read when it is asked for.

    Raises `InputError` when the file cannot be read or is not a JSON list.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "results.json"
    >>> _ = file.write_text('[{"score": 0.5}, {"score": 0.25}]')
    >>> [entry["score"] for entry in read_list(file)]
    [0.5, 0.25]
    """
    with reading.explained(str(path)), path.open(encoding="utf-8") as file:
        text = _Window(file)
        count = 0
        try:
            text.expect("[")
            if text.peek() != "]":
                yield text.element()
                count += 1
                while text.peek() == ",":
                    text.expect(",")
                    yield text.element()
                    count += 1
            text.expect("]")
            if text.peek():
                raise json.JSONDecodeError("Extra data", "", 0)
        except json.JSONDecodeError as error:
            reason = f"{error.msg} after {count} entries"
            raise InputError(
                f"{path} is not a JSON list ({reason}); it may be cut off, write it again"
            ) from None


class _Window:
    """The part of a file that has been read and not yet used."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._position = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            while self._position < len(self._text):
                if self._text[self._position] not in _BLANK:
                    return self._text[self._position]
                self._position += 1
            if not self._read():
                return ""

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise json.JSONDecodeError(f"'{character}' expected", "", 0)
        self._position += 1

    def element(self) -> Any:
        self.peek()
        while True:
            try:
                element, end = self._decoder.raw_decode(self._text, self._position)
            except json.JSONDecodeError:
                if not self._read():
                    raise
                continue
            if len(self._text) - end < _UNDECIDED and self._read():
                continue  # a number may go on: what is here of 1.5e+7 may be 1, 1. or 1.5e+
            self._position = end
            return element

    def _read(self) -> bool:
        """Read at least as much as there is, so that long elements are not tried too often."""
        rest = self._text[self._position :]
        more = self._file.read(max(_BLOCK, len(rest)))
        if more:
            self._text, self._position = rest + more, 0
        return bool(more)
