"""`compact`: the segmenter shipped with the package, a Cascade Mask R-CNN on EfficientNet-Lite0."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from msnvis.devices import pick_device
from msnvis.errors import WeightsError
from msnvis.io.atomic import replacing
from msnvis.segmenters.base import segmenters
from msnvis.segmenters.cascade import COMPACT, CascadeConfig, CascadeMaskRCNN
from msnvis.segmenters.cascade_segmenter import CascadeSegmenter, Preprocessing
from msnvis.segmenters.efficientnet import EfficientNetLite0Features
from msnvis.weights.files import weights_path
from msnvis.weights.state import load_into, read_metadata

ARCHITECTURE = "compact"
PREPROCESSING = Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, short_side=320, long_side=640)


def build_compact(num_classes: int, config: CascadeConfig = COMPACT) -> CascadeMaskRCNN:
    """The network, untrained."""
    return CascadeMaskRCNN(EfficientNetLite0Features(), num_classes, config)


@segmenters.register(
    "compact",
    summary="Cascade Mask R-CNN on EfficientNet-Lite0, 80 COCO classes, made for CPUs",
    needs="nothing",
)
def create_compact(
    weights: str | Path | None = None,
    device: str = "auto",
    short_side: int = PREPROCESSING.short_side,
    long_side: int = PREPROCESSING.long_side,
    min_score: float = 0.15,
) -> CascadeSegmenter:
    """The shipped segmenter, or one that `msnvis train segmenter` made.

    Args:
        weights: a safetensors file written by the training; the shipped one by default.
        device: ``auto``, ``cpu``, ``cuda``...
        short_side, long_side: pixels that images are scaled to; larger finds smaller objects and takes
        longer.

    Raises:
        WeightsError: the file is missing, broken or belongs to another network.
    """
    path = Path(weights) if weights is not None else weights_path("compact")
    classes = read_classes(path)
    network = build_compact(len(classes), replace(COMPACT, score_threshold=min_score))
    load_into(network, path)
    network.fuse_batch_norm()
    preprocessing = Preprocessing(PREPROCESSING.mean, PREPROCESSING.std, short_side, long_side)
    return CascadeSegmenter(network.to(pick_device(device)), classes, preprocessing)


def read_classes(path: Path) -> tuple[str, ...]:
    """Class names that a weights file carries.

    Raises:
        WeightsError: there is no such file or it was not written by `save_compact`.
    """
    metadata = read_metadata(path, ARCHITECTURE, "msnvis train segmenter")
    if "classes" not in metadata:
        raise WeightsError(f"{path} names no classes; make it by `msnvis train segmenter`")
    return tuple(json.loads(metadata["classes"]))


def save_compact(network: CascadeMaskRCNN, classes: Sequence[str], path: Path) -> None:
    """Write weights in half precision with their class names."""
    state = {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    metadata = {"architecture": ARCHITECTURE, "classes": json.dumps(list(classes))}
    with replacing(path) as temporary:
        save_file(state, temporary, metadata=metadata)


def trainable_compact(num_classes: int) -> CascadeMaskRCNN:
    """The network with an ImageNet backbone, ready for training: early layers are frozen."""
    from msnvis.segmenters.efficientnet import load_imagenet

    network = build_compact(num_classes)
    network.backbone = EfficientNetLite0Features.from_classifier(load_imagenet())
    network.backbone.freeze(blocks=3)
    return network.to(memory_format=torch.channels_last)
