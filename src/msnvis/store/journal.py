"""An append-only file of records, readable while it is being written.

::

    magic and version, 8 bytes | bytes and CRC-32 of `about` | about
    kind, 1 byte | frame, 8 | bytes of the payload, 4 | CRC-32 of all but itself, 4 | payload      (a record)

All numbers are little-endian. A record that was not written to its end is found by its length or checksum,
and cut off when the file is opened again.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

from msnvis.errors import InputError, OutputError

#: The number before the line feed is the version of the layout.
MAGIC = b"msnvis\x01\n"
_ABOUT = struct.Struct("<II")
_RECORD = struct.Struct("<BQI")
_CHECKSUM = struct.Struct("<I")
_HEAD = _RECORD.size + _CHECKSUM.size
#: What a journal without a path keeps in memory before it goes to a temporary file, in bytes.
_MEMORY_BYTES = 2**26
#: Bytes that are checked at a time.
_BLOCK = 2**20


class Record(NamedTuple):
    """Where a payload is: `kind` (0..255) and `frame` are the writer's, `offset` and `length` in bytes."""

    kind: int
    frame: int
    offset: int
    length: int


class Journal:
    """Records in a file; made by `open` or `temporary`.

    Attributes:
        about: what the file was begun with.
        size: bytes of all that is complete.

    >>> journal = Journal.temporary()
    >>> record = journal.append(kind=7, frame=0, payload=b"found")
    >>> journal.read(record.offset, record.length), [record.frame for record in journal.records()]
    (b'found', [0])
    """

    def __init__(self, file: BinaryIO, name: str, remedy: str) -> None:
        """Of a `file` without a buffer, for reading and writing; `name` and `remedy` are for messages."""
        self._file = file
        self._name, self._remedy = name, remedy
        self._lock = Lock()  # readers and writers share one position
        self.about = b""
        self.size = 0

    @classmethod
    def temporary(cls) -> Journal:
        """A new one in memory, which goes to a temporary file when it grows; it ends with its last reader."""
        file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES, buffering=0)  # noqa: SIM115
        remedy = "free some space or set TMPDIR to another folder"
        journal = cls(file, f"a temporary file in {tempfile.gettempdir()}", remedy)
        journal._begin(b"")
        return journal

    @classmethod
    def open(cls, path: Path, about: bytes) -> Journal:
        """The journal at `path`, cut after its last complete record; a new one about `about` without any.

        Raises `InputError` where the file is something else, or of another version.
        """
        with path.open("ab"):
            pass  # make it
        remedy = "free some space and repeat the command, which goes on from there"
        journal = cls(path.open("r+b", buffering=0), str(path), remedy)
        try:
            if journal._read_about():
                journal.cut(journal._end_of_records())
            else:
                journal._begin(about)
        except BaseException:
            journal.close()
            raise
        return journal

    def append(self, kind: int, frame: int, payload: bytes) -> Record:
        """Add a record; raises `OutputError` when the file system refuses, and then nothing was added."""
        head = _RECORD.pack(kind, frame, len(payload))
        checksum = zlib.crc32(payload, zlib.crc32(head))
        with self._lock:
            self._write(self.size, head + _CHECKSUM.pack(checksum) + payload)
            record = Record(kind, frame, self.size + _HEAD, len(payload))
            self.size = record.offset + record.length
        return record

    def read(self, offset: int, length: int) -> bytes:
        """That part of the file; raises `InputError` where it ends before."""
        data = b""
        if 0 <= offset <= offset + length <= self.size:
            with self._lock:
                self._file.seek(offset)
                data = self._file.read(length)
        if len(data) != length:
            raise self.damaged()
        return data

    def damaged(self) -> InputError:
        """The error of a file whose content makes no sense."""
        return InputError(f"{self._name} is damaged or was changed by someone else; begin the run anew")

    def records(self) -> Iterator[Record]:
        """All that are complete, in the order in which they were written."""
        offset = len(MAGIC) + _ABOUT.size + len(self.about)
        while offset < self.size:
            kind, frame, length = _RECORD.unpack(self.read(offset, _RECORD.size))
            yield Record(kind, frame, offset + _HEAD, length)
            offset += _HEAD + length

    def cut(self, size: int) -> None:
        """Forget what comes after the first `size` bytes, the end of a record."""
        with self._lock, self._told():
            self._file.truncate(size)
            self.size = size

    def sync(self) -> None:
        """Wait until everything is on the disk."""
        with self._told():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        self.close()

    def _begin(self, about: bytes) -> None:
        self._file.truncate(0)
        self._write(0, MAGIC + _ABOUT.pack(len(about), zlib.crc32(about)) + about)
        self.about, self.size = about, len(MAGIC) + _ABOUT.size + len(about)

    def _read_about(self) -> bool:
        """Whether the file has been begun; raises `InputError` where it is no journal of this version."""
        start = self._file.read(len(MAGIC) + _ABOUT.size)
        magic = start[: len(MAGIC)]
        if magic != MAGIC[: len(magic)]:
            raise InputError(f"{self._name} was not written by this version of msnvis")
        if len(start) < len(MAGIC) + _ABOUT.size:
            return False
        length, checksum = _ABOUT.unpack(start[len(MAGIC) :])
        self.size = os.fstat(self._file.fileno()).st_size
        if len(start) + length > self.size:
            return False
        self.about = self.read(len(start), length)
        return zlib.crc32(self.about) == checksum

    def _end_of_records(self) -> int:
        """Where the first record begins that is incomplete, or the file ends; `size` is that of the file."""
        end = offset = len(MAGIC) + _ABOUT.size + len(self.about)
        while offset + _HEAD <= self.size:
            head = self.read(offset, _HEAD)
            _, _, length = _RECORD.unpack_from(head)
            offset += _HEAD + length
            if offset > self.size or not self._is_whole(head, offset - length, length):
                break
            end = offset
        return end

    def _is_whole(self, head: bytes, offset: int, length: int) -> bool:
        checksum = zlib.crc32(head[: _RECORD.size])
        for start in range(offset, offset + length, _BLOCK):
            checksum = zlib.crc32(self.read(start, min(_BLOCK, offset + length - start)), checksum)
        return checksum == _CHECKSUM.unpack_from(head, _RECORD.size)[0]

    def _write(self, offset: int, data: bytes) -> None:
        with self._told():
            self._file.seek(offset)
            rest = memoryview(data)
            while rest:  # where the disk is nearly full, a part of it is written first
                rest = rest[self._file.write(rest) :]

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self._name} cannot be written ({error.strerror or error}); {self._remedy}"
            ) from error
