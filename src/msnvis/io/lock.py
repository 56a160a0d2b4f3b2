"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from msnvis.errors import OutputError
from msnvis.io.atomic import remove_partials, told


def acquire(lock: FileLock, folder: Path) -> None:
    """Take the lock of a folder; raises `OutputError` where another process has it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(
            f"another run is writing to {folder}; wait until it ends or choose another folder"
        ) from None


@contextmanager
def locked(folder: Path, *inner: Path) -> Iterator[None]:
    """Keep other processes out of `folder`, which is made when it does not exist.

    The system lets go of the lock when the process ends, however it ends. What one that was killed was
    writing there, or in the `inner` folders, is removed.

    Raises `OutputError` where another process is in it.

    >>> import tempfile
    >>> with locked(Path(tempfile.mkdtemp())) as _:
    ...     pass  # nobody else is here
    """
    lock, is_new = FileLock(folder / ".lock"), not folder.exists()
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        acquire(lock, folder)
    try:
        for place in (folder, *inner):
            if place.is_dir():
                remove_partials(place)
        yield
    finally:
        with suppress(OSError):  # not every system removes open files
            Path(lock.lock_file).unlink()
        lock.release()
        if is_new:
            with suppress(OSError):  # where it holds something now
                folder.rmdir()
