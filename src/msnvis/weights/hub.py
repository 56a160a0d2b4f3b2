"""Models of the Hugging Face hub, from this machine if they are here, else after one download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msnvis.errors import MissingExtraError, MsnvisError, WeightsError
from msnvis.weights.files import is_offline
from msnvis.weights.state import check_tensors

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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
        MissingExtraError: the library wants a package for this model that is not installed.

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
    except MsnvisError:
        raise
    except ImportError as error:
        raise MissingExtraError(
            f"'transformers:{name}' needs a package that is not installed ({_first_line(error)})"
        ) from error
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"transformers cannot load '{name}' ({_first_line(error)}); give a model of the hub or a folder "
            "with its configuration and safetensors weights"
        ) from error


def load_whole(model_class: type[PreTrainedModel], folder: str, **options: Any) -> PreTrainedModel:
    """A model of transformers, ready to run, if its file has all of its parameters.

    The library would go on with random numbers in place of those that are missing.

    Args:
        model_class: a class of transformers with ``from_pretrained``, which gets the `options`.
        folder: with configuration and safetensors weights.

    Raises:
        TensorsError: parameters are missing or of another shape; it lists them.
        WeightsError: the weights are damaged.
        OSError: files are missing.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # the table of missing tensors says that training is called for
    logging.disable_progress_bar()  # it would stand before a sentence that says what is wrong
    try:
        model, report = model_class.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # which are reported, too
            output_loading_info=True,
            **options,
        )
    except SafetensorError as error:
        raise WeightsError(
            f"the weights in {folder} are damaged or incomplete ({_first_line(error)}); get them again"
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()
    reshaped = sorted({name for name, *_ in report["mismatched_keys"]})
    # What is computed from the configuration may be missing.
    parameters = {name for name, _ in model.named_parameters()}
    missing = sorted(parameters & set(report["missing_keys"]) - set(reshaped))
    check_tensors(folder, type(model).__name__, missing, [], reshaped)
    return model.eval()


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
