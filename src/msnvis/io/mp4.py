"""What an MP4 or QuickTime file claims to hold, looked at before FFmpeg believes it.

FFmpeg makes an index of all samples when it opens such a file, a sample once for each entry of the edit list.
A table of samples may be a single number, so that a file of two kilobytes could claim billions of them.

Source of the boxes: ISO/IEC 14496-12, 8.1 (media data), 8.6.1.2 (stts), 8.6.6 (elst), 8.7.3 (stsz), 8.7.4
(stsc), 8.7.5 (stco) and 8.8.8 (trun).
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from msnvis.errors import InputError

#: Samples that any file may claim; beyond, the table of an honest one has 4 bytes for each.
_FREE_SAMPLES, _SAMPLE_BYTES = 10**6, 4
#: Entries of an edit list. FFmpeg's time grows with their square; editors write a few.
_MAX_EDITS = 1000
#: Boxes of boxes, as far as tracks may be in them; FFmpeg looks for them in unused space, too.
_CONTAINERS = {
    *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf"),
    *(b"cmov", b"free", b"hoov", b"mvex", b"udta"),
}
#: FFmpeg follows no deeper.
_DEPTH = 10
#: Boxes of numbers.
_TABLES = {b"hdlr", b"elst", b"stts", b"stsc", b"stsz", b"stco", b"co64", b"trun"}
_TABLE_HEAD = 24
#: Bytes of boxes that are compressed, as old versions of QuickTime wrote them.
_MAX_COMPRESSED = 1 << 26
#: FFmpeg joins so many samples of uncompressed sound in its index.
_JOINED = 1024


def check_claims(path: Path, name: str) -> None:
    """Raise `InputError` where a file claims more samples than it can hold; other formats pass.

    Args:
        path: of any file.
        name: for the message.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            samples, edits = _claims(file, size)
    except OSError:
        return  # FFmpeg says why it cannot be opened
    if samples > size // _SAMPLE_BYTES + _FREE_SAMPLES:
        raise InputError(f"{name} claims {samples} samples, which {size} bytes cannot hold; it is damaged")
    if edits > _MAX_EDITS:
        raise InputError(f"{name} has an edit list of {edits} entries; at most {_MAX_EDITS} are allowed")


def _claims(file: BinaryIO, size: int) -> tuple[int, int]:
    """Samples of all tracks and fragments as often as they are edited in, and the longest edit list."""
    samples, longest = 0, 0
    track: dict[bytes, bytes] = {}
    for kind, table in _boxes(file, 0, size):
        if kind in (b"trak", b"moof"):
            samples, track = samples + _track_samples(track), {}
        elif kind == b"trun":
            samples += _number(table, 4)
        elif kind == b"elst":
            longest = max(longest, _number(table, 4))
        if kind != b"hdlr" or table[8:12] in (b"vide", b"soun"):  # QuickTime has others
            track[kind] = table
    return samples + _track_samples(track), longest


def _track_samples(tables: dict[bytes, bytes]) -> int:
    """Entries of the index of a track."""
    of_sound, steps = tables.get(b"hdlr", b"")[8:12] == b"soun", tables.get(b"stts", b"")
    if of_sound and (_number(steps, 4), _number(steps, 12)) == (1, 1):  # a sample at a time
        chunks = _number(tables.get(b"stco", tables.get(b"co64", b"")), 4)
        runs = tables.get(b"stsc", b"")
        longest = max((_number(runs, start) for start in range(12, len(runs) - 3, 12)), default=0)
        return chunks * (longest // _JOINED + 1)
    return _number(tables.get(b"stsz", b""), 8) * max(1, _number(tables.get(b"elst", b""), 4))


def _number(table: bytes, start: int) -> int:
    return int.from_bytes(table[start : start + 4], "big")


def _boxes(file: BinaryIO, start: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Kind of each box between two places and of those in it, and what it begins with where it is a table."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        length, kind, body = _number(head, 0), head[4:8], start + 8
        if length == 1:
            length, body = int.from_bytes(head[8:], "big"), start + 16
        last = min(start + length, end) if length else end
        if last < body:
            return
        if kind in _CONTAINERS and depth < _DEPTH:
            yield kind, b""
            yield from _boxes(file, body, last, depth + 1)
        elif kind == b"cmvd" and depth < _DEPTH:
            content = _decompressed(file, body + 4, last)
            yield from _boxes(io.BytesIO(content), 0, len(content), depth + 1)
        elif kind in _TABLES:
            file.seek(body)
            yield kind, file.read(last - body if kind == b"stsc" else min(last - body, _TABLE_HEAD))
        start = last


def _decompressed(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(file.read(max(end - start, 0)), _MAX_COMPRESSED)
    return b""
