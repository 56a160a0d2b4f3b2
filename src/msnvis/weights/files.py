"""Weights by name: shipped inside the package, downloaded once into the user's cache, or put there by hand;
checked in all cases.

`MSNVIS_CACHE` names another cache folder; `MSNVIS_OFFLINE=1` forbids downloads.

Where a publisher gives no checksum, the file is trusted at first use: its SHA-256 is written beside it
(``<file>.sha256``, as `sha256sum` does) and what lies there later must be the same.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from contextlib import suppress
from enum import Enum
from importlib import resources
from pathlib import Path

import platformdirs
from filelock import FileLock

from msnvis.errors import WeightsError
from msnvis.weights.catalogue import WeightFile, find_weights, is_known
from msnvis.weights.download import TransferError, discard, part_of, transfer

_CHUNK = 1 << 20
#: How files begin that `torch.save` wrote before PyTorch 1.6: a pickled magic number.
_LEGACY_TORCH = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")


class State(Enum):
    """What `verify` finds; the values are for users."""

    RIGHT = "is the published file"
    SAME = "is what it was at first use; nobody publishes its checksum"
    FIRST_USE = "is here for the first time, and remembered; nobody publishes its checksum"
    WRONG = "is not what it should be; remove it and get it again"
    ABSENT = "is not on this machine"


def cache_dir() -> Path:
    """Folder of downloaded weights: `MSNVIS_CACHE`, or the operating system's usual place."""
    return Path(os.environ.get("MSNVIS_CACHE") or platformdirs.user_cache_dir("msnvis")) / "weights"


def is_offline() -> bool:
    """Whether `MSNVIS_OFFLINE` forbids downloads."""
    return os.environ.get("MSNVIS_OFFLINE", "") not in ("", "0")


def local_path(weights: WeightFile) -> Path:
    """Where the file lies, or would lie."""
    if weights.shipped:
        return Path(str(resources.files("msnvis.weights").joinpath(weights.file)))
    return cache_dir() / weights.file


def weights_path(weights: str | Path | WeightFile) -> Path:
    """Where weights lie, after downloading them if need be.

    Args:
        weights: a name that `msnvis weights list` shows, any `WeightFile`, or the path of a file, which is
            handed back.

    Raises:
        UnknownPartError: neither a name nor a file.
        WeightsError: the file is missing and cannot be had, or is not what it should be.

    >>> weights_path("efficientnet-lite0-imagenet").name
    'efficientnet-lite0-imagenet.safetensors'
    """
    if not isinstance(weights, WeightFile):
        path = Path(weights)
        if not is_known(str(weights)) and (path.suffix or path.exists()):
            return path
        weights = find_weights(str(weights))
    path = local_path(weights)
    if not path.is_file():
        fetch(weights)
    elif not weights.shipped and not _record_of(path).is_file():  # put there by hand
        _accept(path, weights)
    return path


def fetch(weights: WeightFile) -> Path:
    """Download a file unless it is there, and check it.

    It appears under its name only when it is complete and right; until then it is ``<name>.part``.

    Raises:
        WeightsError: no network, not there, no room, not the file that was asked for, or one that only a
            browser can fetch.
    """
    target = local_path(weights)
    if target.is_file():
        return target
    if weights.shipped:
        raise WeightsError(f"{target}: the weights '{weights.name}' are missing; reinstall msnvis")
    if weights.page:
        raise WeightsError(
            f"the weights '{weights.name}' can only be fetched by hand: open {weights.page} in a browser and "
            f"save the file as {target}"
        )
    if is_offline():
        raise WeightsError(
            f"the weights '{weights.name}' are not on this machine and MSNVIS_OFFLINE forbids downloads; "
            f"put {weights.url} at {target}"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock")):
            if not target.is_file():  # another process may have been faster
                _download(weights, target)
    except OSError as error:
        raise WeightsError(
            f"cannot write {target} ({error.strerror or error}); set MSNVIS_CACHE to a folder with room"
        ) from error
    return target


def _download(weights: WeightFile, target: Path) -> None:
    part = part_of(target)
    try:
        transfer(weights.name, str(weights.url), part)
    except TransferError as error:
        raise WeightsError(
            f"cannot download the weights '{weights.name}' from {weights.url} ({error}); "
            f"check the network and try again, or put the file at {target}"
        ) from error
    digest = sha256_of(part)
    if problem := _problem(part, digest, weights):
        discard(part)
        raise WeightsError(
            f"{weights.url} is not the expected file: {problem}; try again, or put the right file at {target}"
        )
    os.replace(part, target)
    discard(part)
    _record(target, digest)


def verify(weights: WeightFile) -> State:
    """Compare a file with its published checksum and with what it was at first use.

    >>> from msnvis.weights.catalogue import find_weights
    >>> verify(find_weights("compact")).name
    'RIGHT'
    """
    path = local_path(weights)
    if not path.is_file():
        return State.ABSENT
    digest, record = sha256_of(path), _record_of(path)
    remembered = record.is_file() and not weights.shipped
    changed = remembered and not record.read_text(encoding="utf-8").startswith(digest)
    if changed or _problem(path, digest, weights):
        return State.WRONG
    if not remembered and not weights.shipped:
        _record(path, digest)
    if weights.sha256:
        return State.RIGHT
    return State.SAME if remembered else State.FIRST_USE


def _accept(path: Path, weights: WeightFile) -> None:
    """Check a file that was put into the cache by hand, and remember it.

    Raises:
        WeightsError: it is not what it should be.
    """
    digest = sha256_of(path)
    if problem := _problem(path, digest, weights):
        raise WeightsError(
            f"{path} is not the weights '{weights.name}': {problem}; remove it and get it again from "
            f"{weights.page or weights.url}"
        )
    _record(path, digest)


def _problem(path: Path, digest: str, weights: WeightFile) -> str | None:
    """Why `path` cannot be the file that was published; None where it may be."""
    if weights.sha256:
        right = digest.startswith(weights.sha256)
        return None if right else f"its SHA-256 does not begin with {weights.sha256}"
    with path.open("rb") as file:
        legacy = file.read(len(_LEGACY_TORCH)) == _LEGACY_TORCH
    return None if legacy or zipfile.is_zipfile(path) else "it is no whole file of torch.save"


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _record(path: Path, digest: str) -> None:
    with suppress(OSError):  # a cache that is only to be read is as good
        _record_of(path).write_text(f"{digest}  {path.name}\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()
