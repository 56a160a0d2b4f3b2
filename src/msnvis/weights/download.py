"""Downloading a large file over HTTP(S): goes on where an earlier attempt broke off, tries again, tells how
far it is.

What is there lies in ``<name>.part`` until it is whole; ``<name>.part.version`` holds the ETag or date by
which the server knows that it still has the same file. One that gives neither is asked for all of it again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

_CHUNK = 1 << 18
_TIMEOUT_S = 30
#: Attempts in a row that bring nothing new before it is given up; the pause doubles from one to the next.
_ATTEMPTS = 4
_PAUSE_S = 1.0
#: Answers of servers that are overloaded or under repair.
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class TransferError(Exception):
    """The file cannot be had; `final` when trying again is of no use."""

    def __init__(self, reason: object, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def part_of(target: Path) -> Path:
    """Where the file lies while it is incomplete."""
    return target.with_name(target.name + ".part")


def discard(part: Path) -> None:
    """Remove what was downloaded."""
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def transfer(name: str, url: str, part: Path) -> None:
    """Fetch what `part` lacks.

    Args:
        name: what the display calls it.
        url: ``http://`` or ``https://``.
        part: incomplete file of an earlier attempt, or nothing yet.

    Raises:
        TransferError: it cannot be had; the text says why. What has arrived is kept.
    """
    failures, furthest = 0, 0
    with _display(name, url) as show:
        while True:
            try:
                for done, total in _receive(url, part):
                    show(done, total)
                return
            except TransferError as error:
                there = part.stat().st_size if part.exists() else 0
                failures = 0 if there > furthest else failures + 1
                furthest = max(there, furthest)
                if error.final or failures == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE_S * 2 ** max(failures - 1, 0))


def _receive(url: str, part: Path) -> Iterator[tuple[int, int | None]]:
    """Append what `part` lacks, or write all of it where the server cannot go on.

    Yields the bytes that are there and the bytes in all, None where the server does not tell.
    """
    done = _resumable(part)
    try:
        response = _request(url, done, part)
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not done:
            final = error.code < 500 and error.code not in _PASSING
            raise TransferError(f"HTTP {error.code} {error.reason}".rstrip(), final) from error
        if _content_range(error.headers["Content-Range"]) != (None, done):
            discard(part)
            raise TransferError("the server has another file now") from error
        return  # nothing is lacking
    except (OSError, HTTPException) as error:
        raise TransferError(getattr(error, "reason", error)) from error
    with response:
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            start, total = _content_range(response.headers["Content-Range"])
            known = _version_file(part).read_text(encoding="utf-8")
            if start != done or _version(response) not in ("", known):  # it minds neither header
                discard(part)
                raise TransferError("the server went on at another place, or with another file")
        else:
            done, total = 0, _number(response.headers["Content-Length"])
            part.unlink(missing_ok=True)
            _version_file(part).write_text(_version(response), encoding="utf-8")
        with part.open("ab") as file:
            while block := _read(response):
                file.write(block)
                done += len(block)
                yield done, total
    if total is not None and done < total:
        raise TransferError(f"the connection broke off after {done} of {total} bytes")


def _request(url: str, done: int, part: Path) -> HTTPResponse:
    headers = {"User-Agent": "msnvis"}
    if done:
        version = _version_file(part).read_text(encoding="utf-8")
        headers |= {"Range": f"bytes={done}-", "If-Range": version}
    return urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S)


def _read(response: HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)  # `read` would lose what came before a silence
    except (OSError, HTTPException) as error:
        raise TransferError(error) from error


def _resumable(part: Path) -> int:
    """Bytes of an earlier attempt that the server can tell from those of another file."""
    version = _version_file(part)
    if part.is_file() and version.is_file() and version.read_text(encoding="utf-8"):
        return part.stat().st_size
    return 0


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _version(response: HTTPResponse) -> str:
    """What `If-Range` may hold (RFC 9110, 13.1.5): a strong ETag, else a date, else nothing."""
    etag = response.headers["ETag"] or ""
    return etag if etag.startswith('"') else response.headers["Last-Modified"] or ""


def _content_range(header: str | None) -> tuple[int | None, int | None]:
    """First byte and bytes in all of ``bytes 5-9/10``; None where it tells no such number."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", header or "")
    return (_number(found[1]), _number(found[2])) if found else (None, None)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


@contextmanager
def _display(name: str, url: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on a terminal, one line elsewhere; gives what shows the bytes that are there and those in all."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"downloading {name} from {url}", soft_wrap=True, markup=False, highlight=False)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
