"""Telling whether a file is still the one that was read before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

#: Bytes at each end of a file that are looked at.
_END = 2**20


def file_identity(path: Path) -> dict[str, object]:
    """Name, size and a checksum of both ends of a file.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "clip.mp4"
    >>> _ = file.write_bytes(b"film")
    >>> file_identity(file)["size"]
    4
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        digest.update(file.read(_END))
        file.seek(max(_END, size - _END))
        digest.update(file.read(_END))
    return {"name": path.name, "size": size, "sha256 of its ends": digest.hexdigest()}


def files_identity(paths: Iterable[Path]) -> dict[str, object]:
    """The same of many files together: names and sizes of all, and both ends of the first and the last."""
    paths = list(paths)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0{path.stat().st_size if path.exists() else -1}\0".encode())
    for path in (paths[0], paths[-1]):
        digest.update(repr(file_identity(path)).encode() if path.exists() else b"")
    return {"files": len(paths), "sha256 of names and sizes": digest.hexdigest()}
