"""The paper's segmenter (4.1): Cascade Mask R-CNN on a Swin Transformer, with published COCO checkpoints.

They are those of github.com/SwinTransformer/Swin-Transformer-Object-Detection, and the numbers are theirs:
mmdetection 2's test pipeline, anchors, box coders, pooling and averages over the three stages.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor

from msnvis.datasets.labels import label_space
from msnvis.devices import pick_device
from msnvis.segmenters.base import segmenters
from msnvis.segmenters.cascade import CascadeMaskRCNN
from msnvis.segmenters.cascade_config import PUBLISHED, CascadeConfig
from msnvis.segmenters.cascade_files import read_classes
from msnvis.segmenters.cascade_segmenter import CascadeSegmenter, Preprocessing
from msnvis.segmenters.swin import SWIN_B, SWIN_S, SWIN_T, SwinFeatures
from msnvis.weights.conversion import converters
from msnvis.weights.files import weights_path
from msnvis.weights.state import has_metadata, load_into

BACKBONES = {"swin-t-cascade": SWIN_T, "swin-s-cascade": SWIN_S, "swin-b-cascade": SWIN_B}
#: ImageNet's mean and deviations; images of 1333x800 pixels at most.
PREPROCESSING = Preprocessing(
    mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), short_side=800, long_side=1333, mmdetection=True
)

#: Our names of tensors, as patterns, and the names in the published checkpoints.
_PUBLISHED_NAMES = (
    (r"backbone\.layers\.0\.0\.(.+)", r"backbone.patch_embed.proj.\1"),
    (r"backbone\.layers\.0\.2\.(.+)", r"backbone.patch_embed.norm.\1"),
    *((rf"backbone\.layers\.{2 * i + 1}\.(.+)", rf"backbone.layers.{i}.blocks.\1") for i in range(4)),
    *((rf"backbone\.layers\.{2 * i + 2}\.(.+)", rf"backbone.layers.{i}.downsample.\1") for i in range(3)),
    (r"backbone\.norms\.(.+)", r"backbone.norm\1"),
    (r"fpn\.inner_blocks\.(\d)\.0\.(.+)", r"neck.lateral_convs.\1.conv.\2"),
    (r"fpn\.layer_blocks\.(\d)\.0\.(.+)", r"neck.fpn_convs.\1.conv.\2"),
    (r"rpn\.head\.conv\.0\.0\.(.+)", r"rpn_head.rpn_conv.\1"),
    (r"rpn\.head\.cls_logits\.(.+)", r"rpn_head.rpn_cls.\1"),
    (r"rpn\.head\.bbox_pred\.(.+)", r"rpn_head.rpn_reg.\1"),
    (r"box_heads\.(\d)\.convs\.(\d)\.0\.(.+)", r"roi_head.bbox_head.\1.shared_convs.\2.conv.\3"),
    (r"box_heads\.(\d)\.convs\.(\d)\.1\.(.+)", r"roi_head.bbox_head.\1.shared_convs.\2.bn.\3"),
    (r"box_heads\.(\d)\.fc\.(.+)", r"roi_head.bbox_head.\1.shared_fcs.0.\2"),
    (r"box_heads\.(\d)\.logits\.(.+)", r"roi_head.bbox_head.\1.fc_cls.\2"),
    (r"box_heads\.(\d)\.deltas\.(.+)", r"roi_head.bbox_head.\1.fc_reg.\2"),
    (r"mask_heads\.(\d)\.convs\.(\d)\.0\.(.+)", r"roi_head.mask_head.\1.convs.\2.conv.\3"),
    (r"mask_heads\.(\d)\.upsample\.(.+)", r"roi_head.mask_head.\1.upsample.\2"),
    (r"mask_heads\.(\d)\.logits\.(.+)", r"roi_head.mask_head.\1.conv_logits.\2"),
)
_PUBLISHED_LAYERS = {".mlp.0.": ".mlp.fc1.", ".mlp.3.": ".mlp.fc2."}


def published_name(name: str) -> str:
    """What the published checkpoints call a tensor of ours.

    >>> published_name("box_heads.2.logits.weight")
    'roi_head.bbox_head.2.fc_cls.weight'
    """
    for ours, theirs in _PUBLISHED_LAYERS.items():
        name = name.replace(ours, theirs)
    [renamed] = [re.sub(ours, theirs, name) for ours, theirs in _PUBLISHED_NAMES if re.fullmatch(ours, name)]
    return renamed


def build_swin_cascade(name: str, num_classes: int, config: CascadeConfig = PUBLISHED) -> CascadeMaskRCNN:
    """The network, untrained; `name` is one of `BACKBONES`."""
    return CascadeMaskRCNN(SwinFeatures(BACKBONES[name]), num_classes, config)


def create_swin_cascade(
    name: str,
    weights: str | Path | None = None,
    device: str = "auto",
    *,
    labels: str = "coco",
    short_side: int = PREPROCESSING.short_side,
    long_side: int = PREPROCESSING.long_side,
    min_score: float = PUBLISHED.score_threshold,
    max_detections: int = PUBLISHED.max_detections,
) -> CascadeSegmenter:
    """A published network, or one that `msnvis train segmenter` made.

    Args:
        name: one of `BACKBONES`.
        weights: a checkpoint as published, one that `msnvis weights convert` made of it, or a safetensors
            file that the training wrote; the published one, downloaded at first use, by default.
        device: ``auto``, ``cpu``, ``cuda``...
        labels: label space of a checkpoint's classes; files of our training name theirs themselves.
        short_side, long_side: pixels that images are scaled to.
        min_score: detections of a lower score are dropped.
        max_detections: at most so many an image.

    Raises:
        TensorsError: the checkpoint lacks tensors, or has others; it lists them.
        WeightsError: the file is missing, broken or cannot be had.
    """
    path = weights_path(weights or name)
    trained = has_metadata(path, "classes")
    classes = read_classes(path, name) if trained else label_space(labels).classes
    config = replace(PUBLISHED, score_threshold=min_score, max_detections=max_detections)
    network = build_swin_cascade(name, len(classes), config)
    load_into(network, path, str if has_metadata(path, "architecture") else published_name)
    network.fuse_batch_norm()
    preprocessing = replace(PREPROCESSING, short_side=short_side, long_side=long_side)
    return CascadeSegmenter(network.to(pick_device(device)), classes, preprocessing)


def read_published(name: str, path: Path) -> dict[str, Tensor]:
    """The state dict of our network from a checkpoint as published."""
    network = build_swin_cascade(name, len(label_space("coco").classes))
    load_into(network, path, published_name)
    return network.state_dict()


for _name, _size in (("swin-t-cascade", "T"), ("swin-s-cascade", "S"), ("swin-b-cascade", "B")):
    segmenters.register(
        _name,
        summary=f"Cascade Mask R-CNN on Swin-{_size}, 80 COCO classes"
        + (", the paper's own" if _size == "B" else ""),
        needs="download of weights",
    )(partial(create_swin_cascade, _name))
    converters.register(_name, summary="COCO checkpoints of Swin-Transformer-Object-Detection")(
        partial(read_published, _name)
    )
