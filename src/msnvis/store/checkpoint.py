"""The state of a run as one file: a checksum, then text as JSON and arrays, as in safetensors; no pickles."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from msnvis.errors import InputError
from msnvis.io.atomic import told

#: The JSON text, beside the arrays, whose names are numbers.
_STATE = "state"
_CHECKSUM_BYTES = 4
#: The JSON object that stands for an array has this one key.
_ARRAY = "array"


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replace `path` by `state` at once, and wait until it is on the disk.

    Args:
        path: of the file.
        state: dicts with text as keys, and lists, of text, numbers, None and NumPy arrays.

    Raises `OutputError` when the file system refuses.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "checkpoint"
    >>> write_checkpoint(file, {"frame": 3, "votes": [np.array([0.5])]})
    >>> read_checkpoint(file)
    {'frame': 3, 'votes': [array([0.5])]}
    """
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_without_arrays(state, arrays))
    data = save(arrays | {_STATE: np.frombuffer(text.encode(), np.uint8)})
    new = path.with_name(path.name + ".new")
    with told(path):
        with new.open("wb") as file:
            file.write(_checksum(data))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        _sync_folder(path.parent)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What was given to `write_checkpoint`; raises `InputError` where it is something else."""
    content = path.read_bytes()
    checksum, data = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    try:
        if checksum != _checksum(data):
            raise ValueError("the checksum does not fit")
        arrays = {name: array.copy() for name, array in load(data).items()}  # its arrays are read-only
        return _with_arrays(json.loads(arrays.pop(_STATE).tobytes()), arrays)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged; begin the run anew") from error


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "little")


def _without_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = np.array(value, order="C")
        return {_ARRAY: name}
    if isinstance(value, dict):
        return {key: _without_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(item, arrays) for item in value]
    return value


def _with_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_with_arrays(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_ARRAY}:
        return arrays[value[_ARRAY]]
    return {key: _with_arrays(item, arrays) for key, item in value.items()}


def _sync_folder(folder: Path) -> None:
    """Wait until names in `folder` are on the disk, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
