"""Nothing half-written ever has its final name: results are made under another one and then renamed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msnvis.errors import OutputError

#: The names of temporaries: of what, by which process.
_PARTIAL = re.compile(r"\..+\.[0-9]+\.(partial(\.\w+)?|old)")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name next to `path` to write a file or a folder to; it takes its place at the end.

    What was at `path` stays untouched when the block fails or is interrupted, and the temporary is removed.
    Folders above `path` are made. Raises `OutputError` when the file system refuses.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "results" / "a.txt"
    >>> with replacing(target) as temporary:
    ...     _ = temporary.write_text("done")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('done', 1)
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _swap(temporary, path)
    finally:
        _remove(temporary)


def remove_partials(folder: Path) -> None:
    """Remove what `replacing` left in `folder` when its process was killed; nobody else may write there."""
    for path in folder.iterdir():
        if _PARTIAL.fullmatch(path.name):
            _remove(path)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the file system says while `path` is written into an `OutputError` of one sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); free some space or choose another folder"
        ) from None


def _swap(temporary: Path, path: Path) -> None:
    if temporary.is_dir() and path.exists():  # the system replaces files, but not folders that hold something
        old = path.with_name(f".{path.name}.{os.getpid()}.old")
        os.replace(path, old)
        os.replace(temporary, path)
        _remove(old)
    else:
        os.replace(temporary, path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):  # most often it was never made
            path.unlink()
