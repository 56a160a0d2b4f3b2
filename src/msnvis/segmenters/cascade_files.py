"""Weights files of our own Cascade Mask R-CNNs: safetensors that name their network and their classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file

from msnvis.errors import WeightsError
from msnvis.io.atomic import replacing
from msnvis.segmenters.cascade import CascadeMaskRCNN
from msnvis.weights.state import read_metadata

_MADE_BY = "msnvis train segmenter"
#: A network of so many classes is made before it is known whether the file has its tensors.
MAX_CLASSES = 10_000


def save_cascade(network: CascadeMaskRCNN, architecture: str, classes: Sequence[str], path: Path) -> None:
    """Write weights in half precision with the name of the network and its classes."""
    state = {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    metadata = {"architecture": architecture, "classes": json.dumps(list(classes))}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata=metadata)


def read_classes(path: Path, architecture: str) -> tuple[str, ...]:
    """Class names that a weights file carries.

    Raises:
        WeightsError: there is no such file, or it was not written by `save_cascade` for this architecture.
    """
    metadata = read_metadata(path, architecture, _MADE_BY)
    if "classes" not in metadata:
        raise WeightsError(f"{path} names no classes; make it by `{_MADE_BY}`")
    try:
        classes = json.loads(metadata["classes"])
    except (ValueError, RecursionError):
        classes = None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise WeightsError(f"{path} names its classes by something else than a list; make it by `{_MADE_BY}`")
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise WeightsError(
            f"{path} names {len(classes)} classes, not 1 to {MAX_CLASSES}; make it by `{_MADE_BY}`"
        )
    return tuple(classes)
