"""`compact`: the segmenter shipped with the package, a Cascade Mask R-CNN on EfficientNet-Lite0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from msnvis.devices import pick_device
from msnvis.segmenters.base import segmenters
from msnvis.segmenters.cascade import CascadeMaskRCNN
from msnvis.segmenters.cascade_config import COMPACT, CascadeConfig
from msnvis.segmenters.cascade_files import read_classes
from msnvis.segmenters.cascade_segmenter import CascadeSegmenter, Preprocessing
from msnvis.segmenters.efficientnet import EfficientNetLite0Features
from msnvis.weights.files import weights_path
from msnvis.weights.state import load_into

ARCHITECTURE = "compact"
PREPROCESSING = Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3, short_side=480, long_side=640)


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
    path = weights_path(weights or "compact")
    classes = read_classes(path, ARCHITECTURE)
    network = build_compact(len(classes), replace(COMPACT, score_threshold=min_score))
    load_into(network, path)
    network.fuse_batch_norm()
    preprocessing = Preprocessing(PREPROCESSING.mean, PREPROCESSING.std, short_side, long_side)
    return CascadeSegmenter(network.to(pick_device(device)), classes, preprocessing)


def trainable_compact(num_classes: int) -> CascadeMaskRCNN:
    """The network with an ImageNet backbone, ready for training: early layers are frozen."""
    from msnvis.segmenters.efficientnet import load_imagenet

    network = build_compact(num_classes)
    network.backbone = EfficientNetLite0Features.from_classifier(load_imagenet())
    network.backbone.freeze(blocks=3)
    return network.to(memory_format=torch.channels_last)
