"""Reading weights into models: safetensors, or PyTorch files without executing their pickles."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from msnvis.errors import TensorsError, WeightsError
from msnvis.weights.int8 import dequantise

#: Under these names training scripts put the state dict beside their other things.
_STATE_KEYS = ("state_dict", "model", "model_state_dict")
_KEYS_SHOWN = 3
#: How much larger than its file the tensors of a PyTorch file may be, taken together: some share memory, as
#: tied weights do, but a file of a kilobyte can call one number a tensor of gigabytes.
_MOST_TIMES = 8


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict onto the CPU, half precision and int8 with scales widened to float32.

    Args:
        path: ``.safetensors``, or what `torch.save` wrote: a state dict, bare or under ``state_dict`` or
        ``model``.

    Raises:
        WeightsError: the file is missing, truncated, not weights, or would run code when unpickled.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            _check_archive(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is not a state dict: it is no PyTorch file, or holds objects that would run code when "
            "loaded; save model.state_dict() instead, best as safetensors"
        ) from error
    except WeightsError:
        raise
    except Exception as error:  # a broken pickle can bring its reader to anything
        raise WeightsError(f"{path} is damaged or incomplete; get it again") from error
    state = _find_state(state, path)
    if path.suffix != ".safetensors":
        _check_tensors(state, path)
    try:
        return {name: _widen(value) for name, value in dequantise(state).items()}
    except RuntimeError as error:
        raise WeightsError(f"{path} has int8 tensors whose scales do not fit; make it again") from error


def read_metadata(path: str | Path, architecture: str, made_by: str) -> dict[str, str]:
    """What a safetensors file written by one of our trainings says about itself.

    Args:
        path: the file.
        architecture: the network whose weights it must hold.
        made_by: the command that makes such files, for the message.

    Raises:
        WeightsError: the file is missing, damaged, or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged or not a safetensors file; get it again") from error
    if metadata.get("architecture") != architecture:
        raise WeightsError(f"{path} does not hold the weights of '{architecture}'; make them by `{made_by}`")
    return metadata


def has_metadata(path: Path, key: str) -> bool:
    """Whether `path` is a safetensors file whose metadata have an entry `key`."""
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return key in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load_into(model: nn.Module, path: str | Path, name_in_file: Callable[[str], str] = str) -> None:
    """Load a weights file into `model`, which must have exactly its tensors.

    Args:
        model: is left as it was where the file does not fit.
        path: see `load_weights`.
        name_in_file: what the file calls each tensor of `model`; the same by default.

    Raises:
        TensorsError: the file belongs to another model; it lists all tensors that do not fit.
        WeightsError: the file cannot be read.
    """
    load_state(model, load_weights(path), path, name_in_file)


def load_state(
    model: nn.Module, state: dict[str, Tensor], path: str | Path, name_in_file: Callable[[str], str] = str
) -> None:
    """As `load_into`, for the `state` that the file at `path` holds.

    Raises:
        TensorsError: its tensors belong to another model.
    """
    own = {name_in_file(name): name for name in model.state_dict()}
    tensors = model.state_dict()
    # Batch norm counts its batches; no result depends on it, and many files leave it out.
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    unknown = [k for k in state if k not in own]
    reshaped = [k for k in own if k in state and state[k].shape != tensors[own[k]].shape]
    check_tensors(path, type(model).__name__, missing, unknown, reshaped)
    model.load_state_dict({own[k]: value for k, value in state.items()}, strict=False)


def check_tensors(
    path: str | Path, kind: str, missing: list[str], unknown: list[str], reshaped: list[str]
) -> None:
    """Refuse the weights at `path`, of a network of this `kind`, if any tensor is in one of the lists.

    Raises:
        TensorsError: one is.
    """
    found = (missing, "missing"), (unknown, "unknown"), (reshaped, "of another shape")
    problems = [f"{len(names)} {what} ({_some(names)})" for names, what in found if names]
    if problems:
        text = f"{path} does not hold the weights of this {kind}: tensors {'; '.join(problems)}"
        raise TensorsError(text, missing, unknown, reshaped)


def _check_archive(path: Path) -> None:
    """Refuse archives that hold more than their size: PyTorch stores everything as it is."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        held = sum(entry.file_size for entry in archive.infolist())
    if held > path.stat().st_size:
        raise WeightsError(f"{path} is a compressed archive, not what torch.save writes; get it again")


def _check_tensors(state: dict[str, Tensor], path: Path) -> None:
    """Refuse tensors that are no plain arrays, or larger than the file could be."""
    plain = all(value.layout is torch.strided and value.device.type == "cpu" for value in state.values())
    if not plain or any(value.is_quantized for value in state.values()):
        raise WeightsError(f"{path} holds tensors that are no plain arrays; save model.state_dict() instead")
    if sum(value.nbytes for value in state.values()) > _MOST_TIMES * path.stat().st_size:
        raise WeightsError(
            f"{path} has tensors of more than {_MOST_TIMES} times its size; save model.state_dict() instead"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_KEYS_SHOWN]) + (", ..." if len(names) > _KEYS_SHOWN else "")


def _find_state(content: object, path: Path) -> dict[str, Tensor]:
    for key in _STATE_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())
    ):
        raise WeightsError(f"{path} is not a state dict; save model.state_dict() instead")
    return content


def _widen(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
