"""What kind of source a name stands for, and what the source is called, without opening it."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from msnvis.io.names import file_name

_NETWORK = ("rtsp://", "rtsps://", "http://", "https://")


def is_network(text: str) -> bool:
    """Whether `text` is an address in a network."""
    return text.lower().startswith(_NETWORK)


def is_camera(text: str) -> bool:
    """Whether `text` is the number of a camera, and not a file that is called so."""
    return text.isascii() and text.isdigit() and not Path(text).exists()


def network_name(address: str) -> str:
    """The last part of an address without query and password, for messages and files."""
    path = address.split("://", 1)[-1].split("?", 1)[0].rstrip("/").rsplit("@", 1)[-1]
    return file_name(path.rsplit("/", 1)[-1], "stream")


def source_name(text: str) -> str:
    """What a source is called, fit to name a folder of results.

    >>> source_name("videos/street.mp4"), source_name("0"), source_name("rtsp://me:secret@door/garden?a=1")
    ('street', 'camera0', 'garden')
    """
    path = Path(text)
    if is_network(text):
        return network_name(text)
    if is_camera(text):
        return f"camera{int(text)}"
    if path.is_dir():
        return file_name(path.resolve().name, "video")
    if not path.exists() and (matches := glob.glob(text, recursive=True)):
        return file_name(common_folder([Path(match) for match in matches]).name, "video")
    return file_name(path.stem, "video")


def common_folder(files: Sequence[Path]) -> Path:
    """The folder that holds all `files`, itself or in folders within."""
    return Path(os.path.commonpath([file.parent.resolve() for file in files]))
