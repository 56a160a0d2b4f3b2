"""The state of a run as one file: numbers and text as JSON, arrays as in safetensors, never pickles."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from msnvis.errors import InputError
from msnvis.io.atomic import told

_STATE = "state"
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
    data = save(arrays, metadata={_STATE: text})
    new = path.with_name(path.name + ".new")
    with told(path):
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
        _sync_folder(path.parent)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What was given to `write_checkpoint`; raises `InputError` where it is something else."""
    try:
        with safe_open(path, framework="np") as file:
            state = json.loads((file.metadata() or {})[_STATE])
            return _with_arrays(state, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged; begin the run anew") from error


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
