"""Models of the Hugging Face hub, from this machine if they are here, else after one download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msnvis.errors import WeightsError
from msnvis.weights.files import is_offline

T = TypeVar("T")
#: No pickles, no other frameworks.
_PATTERNS = ["*.json", "*.txt", "*.safetensors"]


def load_from_hub(name: str, load: Callable[[str], T]) -> T:
    """`load` a model from its folder on this machine, which is downloaded once if it is not there.

    Asking the hub only when something is missing keeps a start without a connection from waiting for
    time-outs.

    Args:
        name: a folder, or a model of the hub, ``owner/name``.
        load: gets a folder with configuration and safetensors weights; to be called again after a download
            where it raised OSError.

    Raises:
        WeightsError: the model is not here and cannot be had, or is not what `load` wants.

    >>> load_from_hub(".", lambda folder: folder)
    '.'
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        if Path(name).is_dir():
            return load(name)
        try:
            return load(snapshot_download(name, allow_patterns=_PATTERNS, local_files_only=True))
        except OSError as missing:  # no such folder, or transformers' word for an incomplete one
            if is_offline():
                raise WeightsError(
                    f"the model '{name}' is not, or not completely, on this machine and MSNVIS_OFFLINE "
                    "forbids downloads; unset it, or give a folder that holds the model"
                ) from missing
        return load(_download(name))
    except HFValidationError as error:
        raise WeightsError(
            f"'{name}' is neither a folder nor a model of the Hugging Face hub (owner/name)"
        ) from error
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"transformers cannot load '{name}' ({_first_line(error)}); give a model of the hub or a folder "
            "with its configuration and safetensors weights"
        ) from error


def _download(name: str) -> str:
    """The folder of the model `name` after a single attempt.

    Raises:
        WeightsError: it cannot be had.
    """
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(name, allow_patterns=_PATTERNS)
    except Exception as error:
        raise WeightsError(
            f"the model '{name}' cannot be downloaded from the Hugging Face hub ({_first_line(error)}); "
            "check its name and the connection, or give a folder that holds the model"
        ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(". ")
