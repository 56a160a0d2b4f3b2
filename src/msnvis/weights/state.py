"""Reading weights into models: safetensors, or PyTorch files without executing their pickles."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from msnvis.errors import WeightsError
from msnvis.weights.int8 import dequantise

#: Under these names training scripts put the state dict beside their other things.
_STATE_KEYS = ("state_dict", "model", "model_state_dict")
_KEYS_SHOWN = 3


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
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is not a state dict: it is no PyTorch file, or holds objects that would run code when "
            "loaded; save model.state_dict() instead, best as safetensors"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise WeightsError(f"{path} is damaged or incomplete; get it again") from error
    return {name: _widen(value) for name, value in dequantise(_find_state(state, path)).items()}


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


def load_into(model: nn.Module, path: str | Path) -> None:
    """Load a weights file into `model`, which must have exactly its names and shapes.

    Raises:
        WeightsError: the file cannot be read, or belongs to another model.
    """
    load_state(model, load_weights(path), path)


def load_state(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """As `load_into`, where the tensors of the file at `path` had to be renamed first.

    Raises:
        WeightsError: they belong to another model; the text names the file and the first of the tensors.
    """
    expected = model.state_dict()
    # Batch norm counts its batches; no result depends on it, and many files leave it out.
    missing = [k for k in expected if k not in state and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state if k not in expected]
    shapes = [k for k in expected if k in state and state[k].shape != expected[k].shape]
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:_KEYS_SHOWN])}{', ...' if len(keys) > _KEYS_SHOWN else ''})"
        for keys, what in ((missing, "missing"), (unexpected, "unknown"), (shapes, "of another shape"))
        if keys
    ]
    if problems:
        kind = type(model).__name__
        raise WeightsError(f"{path} does not hold the weights of this {kind}: tensors {'; '.join(problems)}")
    model.load_state_dict(state, strict=False)


def _find_state(content: object, path: Path) -> dict[str, Tensor]:
    for key in _STATE_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(v, Tensor) for v in content.values())
    ):
        raise WeightsError(f"{path} is not a state dict; save model.state_dict() instead")
    return content


def _widen(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
