"""Classifiers with an ImageNet head: the shipped EfficientNet-Lite0, and larger networks by name.

The probability of a class is the sum over its ImageNet classes (`imagenet_map`); what falls on ImageNet
classes outside the label space is "none of these".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from msnvis.datasets.labels import LabelSpace, imagenet_map, label_space
from msnvis.devices import pick_device
from msnvis.errors import OptionError
from msnvis.segmenters.classifier import Classifier, classifiers
from msnvis.segmenters.efficientnet import EfficientNetLite0, fuse_batch_norm
from msnvis.structures import Detections
from msnvis.weights.files import weights_path
from msnvis.weights.state import load_into
from msnvis.weights.torchvision_files import published_weights

#: Grey of the bars beside a crop that is not square: 0 after normalisation by 0.5 and 0.5.
_GREY = 128
#: The network was trained at 224, but objects of videos are small and blurred: enlarged less, more are named
#: right.
_LITE0_SIZE = 192
#: Of what surrounds an object a little is shown to the network, as in the photographs that it learnt from.
MARGIN = 0.05
#: Objects that go through the network together; the most that are tracked by default, and one to spare.
BATCH_SIZE = 16


@dataclass(frozen=True)
class Preprocessing:
    """What a network was trained to see: a square of `size` pixels, ``(value / 255 - mean) / std`` in RGB."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class CropClassifier(Classifier):
    """Cuts each object out, classifies the cut-outs in batches and sums up the classes of the label space.

    Args:
        network: ``(N, 3, S, S)`` float32 to ``(N, L)`` logits.
        to_labels: ``(L, C)`` float32 of 0 and 1, the class of the label space that each logit counts for.
        classes: C names.
        preprocessing: of the network.
        device: where the network runs.
        margin: added to each side of an object's box, as a share of its width and height.
        flip: average with the mirrored cut-out; doubles the time.
        batch_size: objects at a time.
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        to_labels: np.ndarray,
        classes: tuple[str, ...],
        preprocessing: Preprocessing,
        device: torch.device,
        *,
        margin: float = MARGIN,
        flip: bool = False,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        if margin < 0:
            raise OptionError(f"margin must not be negative, not {margin}")
        if batch_size < 1:
            raise OptionError(f"batch_size must be at least 1, not {batch_size}")
        self.classes = classes
        self._network = network
        self._to_labels = torch.from_numpy(to_labels).to(device)
        self._preprocessing = preprocessing
        self._device = device
        self._margin = margin
        self._flip = flip
        self._batch_size = batch_size

    @property
    def known(self) -> np.ndarray:
        return self._to_labels.any(dim=0).cpu().numpy()

    def classify(self, image: np.ndarray, detections: Detections) -> np.ndarray:
        boxes = detections.boxes
        scores = np.zeros((len(boxes), len(self.classes)), np.float32)
        visible = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
        for start in range(0, len(visible), self._batch_size):
            chosen = visible[start : start + self._batch_size]
            size, margin = self._preprocessing.size, self._margin
            scores[chosen] = self._scores(np.stack([crop(image, boxes[i], size, margin) for i in chosen]))
        return scores

    @torch.inference_mode()
    def _scores(self, crops: np.ndarray) -> np.ndarray:
        mean = torch.tensor(self._preprocessing.mean, device=self._device).view(3, 1, 1)
        std = torch.tensor(self._preprocessing.std, device=self._device).view(3, 1, 1)
        batch = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2).float()
        batch = (batch / 255 - mean) / std
        probabilities = self._network(batch).softmax(dim=1)
        if self._flip:
            probabilities = (probabilities + self._network(batch.flip(3)).softmax(dim=1)) / 2
        return (probabilities @ self._to_labels).cpu().numpy()


def classifier_of(
    model: nn.Module,
    to_labels: np.ndarray,
    preprocessing: Preprocessing,
    space: LabelSpace,
    device: str,
    **options: float,
) -> CropClassifier:
    """A `CropClassifier` for `space` of a trained network, on the device called `device`."""
    where = pick_device(device)
    return CropClassifier(model.eval().to(where), to_labels, space.classes, preprocessing, where, **options)


def crop(image: np.ndarray, box: np.ndarray, size: int, margin: float) -> np.ndarray:
    """Cut out a box and its margin, scaled to fit a square, with grey bars at the shorter sides.

    Args:
        image: RGB uint8 ``(H, W, 3)``.
        box: ``x1 y1 x2 y2`` in whole pixels, within `image`, not empty.
        size: side of the square, pixels.
        margin: added to each side, as a share of the box's width and height; ends at the image's edge.

    Returns:
        RGB uint8 ``(size, size, 3)``.
    """
    x1, y1, x2, y2 = (int(edge) for edge in box)
    across, down = round(margin * (x2 - x1)), round(margin * (y2 - y1))
    cut = image[max(y1 - down, 0) : y2 + down, max(x1 - across, 0) : x2 + across]
    scale = size / max(cut.shape[:2])
    height, width = (max(round(side * scale), 1) for side in cut.shape[:2])
    cut = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    square = np.full((size, size, 3), _GREY, np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = cut
    return square


class NoClassifier(Classifier):
    """Names nothing: every probability is 0."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes

    @property
    def known(self) -> np.ndarray:
        return np.zeros(len(self.classes), bool)

    def classify(self, image: np.ndarray, detections: Detections) -> np.ndarray:
        return np.zeros((len(detections), len(self.classes)), np.float32)


@classifiers.register("none", summary="leaves naming to the segmenter")
def no_classifier(labels: str = "ytvis2021", device: str = "auto") -> NoClassifier:
    """`device` is accepted for uniformity."""
    return NoClassifier(label_space(labels).classes)


@classifiers.register("efficientnet-lite0", summary="ImageNet classifier, 4.7 M parameters, shipped")
def efficientnet_lite0(
    labels: str = "ytvis2021",
    device: str = "auto",
    weights: str | Path | None = None,
    *,
    margin: float = MARGIN,
    flip: bool = False,
    batch_size: int = BATCH_SIZE,
) -> CropClassifier:
    """The offline default; `weights` replaces the shipped file, the rest is as in `CropClassifier`."""
    space = label_space(labels)
    model = EfficientNetLite0()
    load_into(model, weights_path(weights or "efficientnet-lite0-imagenet"))
    fuse_batch_norm(model.eval())
    preprocessing = Preprocessing(_LITE0_SIZE, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    options = {"margin": margin, "flip": flip, "batch_size": batch_size}
    return classifier_of(model, imagenet_map(space), preprocessing, space, device, **options)


@classifiers.register(
    "torchvision:",
    summary="ImageNet classifiers of torchvision, such as torchvision:vit_b_16",
    needs="download",
)
def torchvision_classifier(
    name: str,
    labels: str = "ytvis2021",
    device: str = "auto",
    weights: str | Path | None = None,
    *,
    margin: float = MARGIN,
    flip: bool = False,
    batch_size: int = BATCH_SIZE,
) -> CropClassifier:
    """`weights`: a local state dict instead of torchvision's; the rest is as in `CropClassifier`."""
    space = label_space(labels)
    published = published_weights(name, torchvision.models)
    model = torchvision.models.get_model(name, weights=None)
    load_into(model, weights_path(weights or f"torchvision:{name}"))
    transform = published.transforms()
    preprocessing = Preprocessing(transform.crop_size[0], tuple(transform.mean), tuple(transform.std))
    options = {"margin": margin, "flip": flip, "batch_size": batch_size}
    return classifier_of(model, imagenet_map(space), preprocessing, space, device, **options)
