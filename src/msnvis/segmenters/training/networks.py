"""The networks that `msnvis train segmenter` trains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from msnvis.errors import OptionError, WeightsError
from msnvis.registry import did_you_mean
from msnvis.segmenters import compact, swin_cascade
from msnvis.segmenters.cascade import CascadeMaskRCNN
from msnvis.segmenters.cascade_segmenter import Preprocessing
from msnvis.segmenters.swin import swin_classifier
from msnvis.weights.files import weights_path
from msnvis.weights.state import has_metadata, load_into, load_weights

NETWORKS = (compact.ARCHITECTURE, *swin_cascade.BACKBONES)


@dataclass(frozen=True)
class Trainable:
    """A network to train, and what it expects of images in detection."""

    network: CascadeMaskRCNN
    preprocessing: Preprocessing


def check_network(name: str) -> None:
    """Raise `OptionError` unless `name` is one of `NETWORKS`."""
    if name not in NETWORKS:
        raise OptionError(f"'{name}' cannot be trained; {did_you_mean(name, NETWORKS)}")


def trainable(name: str, num_classes: int, imagenet: bool) -> Trainable:
    """The network called `name`, in training mode.

    Args:
        name: one of `NETWORKS`.
        num_classes: without background.
        imagenet: start from a backbone trained on ImageNet; `compact` always does.

    Raises:
        WeightsError: the backbone's weights cannot be had.
    """
    if name == compact.ARCHITECTURE:
        return Trainable(compact.trainable_compact(num_classes), compact.PREPROCESSING)
    network = swin_cascade.build_swin_cascade(name, num_classes)
    if imagenet:
        load_imagenet(network, name)
    return Trainable(network.to(memory_format=torch.channels_last), swin_cascade.PREPROCESSING)


def load_imagenet(network: CascadeMaskRCNN, name: str) -> None:
    """Take over torchvision's ImageNet weights of the Swin Transformer; norms of stages start anew."""
    source = swin_classifier(swin_cascade.BACKBONES[name])
    load_into(source, weights_path(f"torchvision:{name.removesuffix('-cascade').replace('-', '_')}"))
    state = {k: v for k, v in source.features.state_dict().items() if "relative_position_index" not in k}
    network.backbone.layers.load_state_dict(state, strict=False)


def load_matching(network: CascadeMaskRCNN, path: str | Path, name: str = compact.ARCHITECTURE) -> None:
    """Take over the tensors that have the name and shape of ours: all but the class logits.

    Args:
        network: is changed.
        path: a file that our training wrote or, for Swin, a published checkpoint; or a name of the list.
        name: of the network.

    Raises:
        WeightsError: the file cannot be read or has nothing in common with the network.
    """
    path = weights_path(path)
    published = name in swin_cascade.BACKBONES and not has_metadata(path, "architecture")
    own, state = network.state_dict(), load_weights(path)
    names = {key: swin_cascade.published_name(key) if published else key for key in own}
    found = {k: state[n] for k, n in names.items() if n in state and state[n].shape == own[k].shape}
    if not found:
        raise WeightsError(f"{path} has no tensor in common with this network")
    network.load_state_dict(found, strict=False)
