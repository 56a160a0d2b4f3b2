"""torchvision's published weights as `WeightFile`s, so that they come through our downloader."""

from __future__ import annotations

import difflib
from pathlib import PurePosixPath
from types import ModuleType

from torchvision.models import WeightsEnum, get_model_weights, list_models

from msnvis.errors import UnknownPartError
from msnvis.weights.files import WeightFile


def published_weights(name: str, module: ModuleType) -> WeightsEnum:
    """torchvision's recommended weights of a model.

    Args:
        name: of the model, such as ``vit_b_16``.
        module: ``torchvision.models`` for classifiers, ``torchvision.models.detection`` for detectors.

    Raises:
        UnknownPartError: `module` has no such model.

    >>> import torchvision
    >>> published_weights("vit_b_16", torchvision.models).name
    'IMAGENET1K_V1'
    """
    known = list_models(module=module)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean 'torchvision:{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise UnknownPartError(f"torchvision has no model '{name}' of this kind; {hint}")
    return get_model_weights(name).DEFAULT


def weight_file(weights: WeightsEnum) -> WeightFile:
    """What to download; torchvision puts the beginning of the SHA-256 at the end of the file's name.

    >>> import torchvision
    >>> weight_file(published_weights("vit_b_16", torchvision.models)).sha256
    'c867db91'
    """
    file = PurePosixPath(weights.url)
    return WeightFile(
        name=str(weights),
        file=file.name,
        sha256=file.stem.rpartition("-")[2],
        licence="BSD-3-Clause",
        source="torchvision",
        url=weights.url,
    )
