"""Image classifiers of the transformers library, found on the Hugging Face hub or in a folder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from msnvis.datasets.labels import LabelSpace, class_map, imagenet_classes, imagenet_map, label_space
from msnvis.errors import MissingExtraError, OptionError
from msnvis.segmenters.classifier import classifiers
from msnvis.segmenters.imagenet_classifiers import (
    BATCH_SIZE,
    MARGIN,
    CropClassifier,
    Preprocessing,
    classifier_of,
)
from msnvis.weights.hub import load_from_hub, load_whole

#: Share of the 1000 labels that must agree by name before a head is taken for ImageNet-1k in the usual order.
_IMAGENET_AGREEMENT = 0.8


@classifiers.register(
    "transformers:",
    summary="image classifiers of the Hugging Face hub, such as transformers:google/vit-base-patch16-224",
    needs="extra 'transformers', download",
)
def transformers_classifier(
    name: str,
    labels: str = "ytvis2021",
    device: str = "auto",
    *,
    margin: float = MARGIN,
    flip: bool = False,
    batch_size: int = BATCH_SIZE,
) -> CropClassifier:
    """`name`: a model of the hub or a folder, with safetensors weights; the rest is as in `CropClassifier`.

    Raises:
        MissingExtraError: transformers is not installed.
        TensorsError: its weights lack tensors, such as those of the last layer.
        WeightsError: there is no such model, or it cannot be had.
        OptionError: none of its labels has a counterpart in the label space.
    """
    try:
        from transformers import AutoImageProcessor, AutoModelForImageClassification
    except ImportError as error:
        raise MissingExtraError(
            f"classifier 'transformers:{name}' needs `pip install msnvis[transformers]`"
        ) from error

    def load(folder: str) -> tuple[AutoImageProcessor, nn.Module]:
        model = load_whole(AutoModelForImageClassification, folder)
        return AutoImageProcessor.from_pretrained(folder), model

    space = label_space(labels)
    processor, model = load_from_hub(name, load)
    to_labels = label_matrix(model.config.id2label, space)
    if not to_labels.any():
        raise OptionError(
            f"no label of '{name}' has a counterpart in '{space.name}'; choose another classifier"
        )
    preprocessing = Preprocessing(
        _side(processor.size), tuple(processor.image_mean), tuple(processor.image_std)
    )
    options = {"margin": margin, "flip": flip, "batch_size": batch_size}
    return classifier_of(_Logits(model), to_labels, preprocessing, space, device, **options)


def label_matrix(id2label: Mapping[int, str], space: LabelSpace) -> np.ndarray:
    """Which class of `space` each label of a head counts for: ``(L, C)`` float32 of 0 and 1.

    A head with the 1000 ImageNet labels in their usual order is mapped by index, any other by the first of a
    label's comma-separated names that is an ImageNet class or a class of a label space.
    """
    names = [[part.strip() for part in id2label[index].split(",")] for index in range(len(id2label))]
    imagenet = imagenet_classes()
    agree = sum(name in given for name, given in zip(imagenet, names, strict=False))
    if len(names) == len(imagenet) and agree >= _IMAGENET_AGREEMENT * len(imagenet):
        return imagenet_map(space)
    by_name = dict(zip(imagenet, imagenet_map(space), strict=True))
    matrix = np.zeros((len(names), len(space.classes)), np.float32)
    for row, given in enumerate(names):
        candidates = [by_name[name] for name in given if name in by_name] + list(class_map(given, space))
        matrix[row] = next((found for found in candidates if found.any()), 0)
    return matrix


def _side(size: Mapping[str, int]) -> int:
    return int(size.get("height") or size["shortest_edge"])


class _Logits(nn.Module):
    """The model, answering with its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(pixel_values=images).logits
