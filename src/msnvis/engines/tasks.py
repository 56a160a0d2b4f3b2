"""What a user names as inputs, video by video, and how each ended."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msnvis.engines.manifest import is_manifest, read_manifest
from msnvis.engines.outcome import VideoTask
from msnvis.errors import OptionError
from msnvis.io.addresses import is_camera, is_network, source_name
from msnvis.io.image_folder import IMAGE_SUFFIXES, natural_key

#: File name endings read as videos where a folder or a glob is searched for them.
VIDEO_SUFFIXES = {".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"}
VIDEO_SUFFIXES |= {".3gp", ".mts", ".mxf", ".ogv", ".ts", ".webm", ".wmv", ".y4m"}


def list_tasks(inputs: Sequence[str], output: Path, *, restart: bool = False) -> list[VideoTask]:
    """The videos that `inputs` stand for, each with its folder of results.

    Args:
        inputs: whatever `open_source` takes; a folder or glob in which there are videos and no images; a glob
            of folders of frames; and manifests, see `read_manifest`.
        output: folder for all results: that of a single input, otherwise each gets a folder in it, named by
            the manifest or after the input. A name that is taken gets a number: the same inputs in the same
            order always have the same folders.
        restart: see `VideoTask`.

    Raises:
        InputError: a manifest cannot be read.
        OptionError: one name is given to several videos.

    >>> [task.folder.name for task in list_tasks(["a/x.mp4", "b/X.mp4"], Path("out"))]
    ['x', 'X-2']
    """
    named = [pair for given in inputs for pair in _expanded(given, output)]
    if [address for address, _ in named] == list(inputs) and len(named) == 1:
        return [VideoTask(named[0][0], output, restart, is_one_of_many=False)]
    given_names = Counter(name.casefold() for _, name in named if name)
    if twice := [name for name, count in given_names.items() if count > 1]:
        raise OptionError(f"two manifests give the name '{twice[0]}' to results; change one of them")
    names = _FreeNames(given_names)
    return [
        VideoTask(address, output / (name or names.take(source_name(address))), restart)
        for address, name in named
    ]


def _expanded(given: str, output: Path) -> Iterator[tuple[str, str | None]]:
    """Each address that `given` stands for, with its name where a manifest gives one."""
    if not is_manifest(given):
        for address in _videos(given, output):
            yield address, None
        return
    for line, address, name in read_manifest(Path(given)):
        addresses = _videos(address, output)
        if name and len(addresses) > 1:
            raise OptionError(
                f"{given}, line {line}: {address} holds {len(addresses)} videos, which cannot all be called "
                f"'{name}'; leave the name out"
            )
        for each in addresses:
            yield each, name


def _videos(given: str, output: Path) -> list[str]:
    """The videos in a folder or glob without images; `given` itself where it is anything else."""
    path = Path(given)
    if is_network(given) or is_camera(given) or path.is_file():
        return [given]
    is_glob = not path.exists() and glob.has_magic(given)
    found = [Path(match) for match in glob.glob(given, recursive=True)] if is_glob else []
    if path.is_dir():
        found = [file for file in path.iterdir() if not file.name.startswith(".")]
    if any(file.suffix.lower() in IMAGE_SUFFIXES for file in found):
        return [given]
    own_results = output.resolve()
    videos = [
        str(file)
        for file in found
        if (file.suffix.lower() in VIDEO_SUFFIXES or (is_glob and file.is_dir()))
        and own_results not in (file.resolve(), *file.resolve().parents)
    ]
    return sorted(videos, key=natural_key) or [given]


class _FreeNames:
    """Names that are taken, in upper or lower case."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._latest = dict.fromkeys(taken, 1)  # the highest number tried with each

    def take(self, name: str) -> str:
        """`name`, with a number where it is taken."""
        free, number = name, self._latest.get(name.casefold(), 0)
        while free.casefold() in self._latest:
            number += 1
            free = f"{name}-{number}"
        self._latest[name.casefold()] = max(number, 1)
        self._latest.setdefault(free.casefold(), 1)
        return free
