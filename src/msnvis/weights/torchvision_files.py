"""torchvision's published weights as `WeightFile`s, so that they come through our downloader."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import PurePosixPath
from types import ModuleType

import torchvision
from torchvision.models import WeightsEnum, detection, get_model_weights, list_models

from msnvis.errors import UnknownPartError
from msnvis.weights.catalogue import WeightFile

#: torchvision's detectors that give masks.
MASK_DETECTORS = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")


def published_weights(name: str, module: ModuleType) -> WeightsEnum:
    """torchvision's recommended weights of a model.

    Args:
        name: of the model, such as ``vit_b_16``.
        module: ``torchvision.models`` for classifiers, ``torchvision.models.detection`` for detectors.

    Raises:
        UnknownPartError: `module` has no such model.

    >>> published_weights("vit_b_16", torchvision.models).name
    'IMAGENET1K_V1'
    """
    known = list_models(module=module)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean 'torchvision:{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise UnknownPartError(f"torchvision has no model '{name}' of this kind; {hint}")
    return get_model_weights(name).DEFAULT


def torchvision_file(name: str) -> WeightFile:
    """What to download for torchvision's mask detector or ImageNet classifier `name`.

    torchvision puts the beginning of the SHA-256 at the end of the file's name.

    Raises:
        UnknownPartError: it has no such model.

    >>> torchvision_file("vit_b_16").sha256
    'c867db91'
    """
    published = published_weights(name, detection if name in MASK_DETECTORS else torchvision.models)
    file = PurePosixPath(published.url)
    # Of the default weights only SWAG's have a licence of their own: github.com/facebookresearch/SWAG.
    licence = "CC-BY-NC-4.0" if "SWAG" in published.meta.get("license", "") else "BSD-3-Clause"
    return WeightFile(
        name=f"torchvision:{name}",
        file=file.name,
        licence=licence,
        source=f"torchvision, {published}",
        megabytes=published.meta["_file_size"] * 2**20 / 1e6,  # torchvision counts in MiB
        sha256=file.stem.rpartition("-")[2],
        url=published.url,
    )


def torchvision_files() -> Iterator[WeightFile]:
    """Those of all mask detectors and ImageNet classifiers."""
    return (torchvision_file(name) for name in (*MASK_DETECTORS, *list_models(module=torchvision.models)))
