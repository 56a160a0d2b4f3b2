"""Whether a GIF is whole: its header does not say how many frames it has, but its last block says the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B


def is_complete(path: Path) -> bool:
    """Whether the blocks of a GIF (GIF89a, sections 15 to 27) follow each other up to its trailer.

    Pixels are skipped, so this takes a fraction of the time of decoding. What follows the trailer does not
    matter.
    """
    with path.open("rb") as file:
        try:
            _skip_table(file, file.read(13)[10])
            while (block := file.read(1)[0]) != _TRAILER:
                if block == _IMAGE:
                    _skip_table(file, file.read(9)[8])
                    file.seek(1, os.SEEK_CUR)
                elif block == _EXTENSION:
                    file.seek(1, os.SEEK_CUR)
                else:
                    return False
                while length := file.read(1)[0]:
                    file.seek(length, os.SEEK_CUR)
        except IndexError:  # the file has ended
            return False
        return True


def _skip_table(file: BinaryIO, flags: int) -> None:
    """Skip the colour table that `flags` announce, if any."""
    if flags & 0x80:
        file.seek(3 << ((flags & 7) + 1), os.SEEK_CUR)
