"""What the results of a run follow from, for telling whether another run would give the same."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import av
import cv2
import numpy
import scenedetect
import torch

import msnvis

#: Others that compute, which need not be imported to know their version; some may not be installed.
_PACKAGES = ("torchvision", "scipy", "pycocotools", "transformers", "onnxruntime")


def versions() -> dict[str, str | None]:
    """Of all that computes; None for what is not there."""
    return {
        "msnvis": msnvis.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "av": av.__version__,
        "scenedetect": scenedetect.__version__,
        **{package: _installed(package) for package in _PACKAGES},
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def weights_checksum(part: object) -> str | None:
    """SHA-256 over the tensors of a part's networks; None where it has none.

    A part that learns from something else, a file for example, has an attribute `checksum` that says what.
    """
    networks = {n: value for n, value in vars(part).items() if isinstance(value, torch.nn.Module)}
    if not networks:
        return getattr(part, "checksum", None)
    digest = hashlib.sha256()
    for name, network in sorted(networks.items()):
        for key, tensor in network.state_dict().items():
            digest.update(f"{name}.{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def part_fingerprint(given: object, part: object) -> dict[str, Any]:
    """A part by the name and options by which it was asked for, or by its class, and its weights.

    The options of a ready-made part are what its method `fingerprint` gives, if it has one: all that its
    results follow from beside its weights, as JSON can hold it. One without attributes has none; those of
    any other are not known and None.

    Args:
        given: the name, ``(name, options)``, or the part itself.
        part: the part.
    """
    if isinstance(given, str):
        about: dict[str, Any] = {"name": given}
    elif isinstance(given, tuple):
        about = {"name": given[0], "options": {key: str(value) for key, value in given[1].items()}}
    else:
        about = {"name": f"{type(part).__module__}.{type(part).__qualname__}", "options": _own_options(part)}
    return {**about, "weights": weights_checksum(part)}


def is_recognisable(fingerprint: Mapping[str, Any]) -> bool:
    """Whether another run with this fingerprint would surely give the same results.

    >>> is_recognisable({"input": None}), is_recognisable({"input": {"name": "street.mp4"}, "parts": {}})
    (False, True)
    """
    parts = fingerprint.get("parts", {}).values()
    return bool(fingerprint.get("input")) and all(part.get("options", {}) is not None for part in parts)


def _own_options(part: object) -> Any:
    tell = getattr(part, "fingerprint", None)
    if tell is not None:
        return tell()
    return None if vars(part) else {}
