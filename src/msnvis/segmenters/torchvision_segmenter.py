"""torchvision's Mask R-CNN, trained on the 80 classes of COCO, as a second segmenter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import detection

from msnvis import masks as mask_ops
from msnvis.datasets.labels import label_space
from msnvis.devices import pick_device
from msnvis.errors import OptionError
from msnvis.segmenters.base import Segmenter, segmenters
from msnvis.structures import Detections
from msnvis.weights.files import weights_path
from msnvis.weights.state import load_into
from msnvis.weights.torchvision_files import MASK_DETECTORS, published_weights

_MASK_THRESHOLD = 0.5


class TorchvisionSegmenter(Segmenter):
    """Wraps a detector with torchvision's interface and its 91 COCO outputs.

    Args:
        model: torchvision detector in eval mode.
        device: where it runs.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        space = label_space("coco")
        self.classes = space.classes
        self._column = {id_: column for column, id_ in enumerate(space.ids)}
        self._model = model.to(device)
        self._device = device

    @torch.inference_mode()
    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        # One at a time: a batch is padded to its largest image, which changes results.
        return [self._detections(image, self._model([self._tensor(image)])[0]) for image in images]

    def _tensor(self, image: np.ndarray) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self._device)
        return pixels.permute(2, 0, 1).float() / 255

    def _detections(self, image: np.ndarray, found: dict[str, Tensor]) -> Detections:
        masks = (found["masks"][:, 0] > _MASK_THRESHOLD).cpu().numpy()
        labels = found["labels"].tolist()
        # COCO's numbering has gaps, for which the network has outputs all the same.
        kept = [i for i, label in enumerate(labels) if label in self._column and masks[i].any()]
        scores = found["scores"].cpu().numpy()[kept]
        class_scores = np.zeros((len(kept), len(self.classes)), np.float32)
        class_scores[np.arange(len(kept)), [self._column[labels[i]] for i in kept]] = scores
        rles = mask_ops.encode(masks[kept])
        return Detections((image.shape[0], image.shape[1]), rles, scores, class_scores)


@segmenters.register(
    "torchvision:",
    summary="Mask R-CNN on COCO: torchvision:maskrcnn_resnet50_fpn or torchvision:maskrcnn_resnet50_fpn_v2",
    needs="download of 170 MB",
)
def torchvision_segmenter(
    name: str,
    weights: str | Path | None = None,
    device: str = "auto",
    *,
    pretrained: bool = True,
    score_threshold: float = 0.1,
    max_detections: int = 50,
    min_side: int = 800,
) -> TorchvisionSegmenter:
    """Make one of torchvision's mask detectors.

    Args:
        name: of the model in torchvision.
        weights: a local state dict instead of torchvision's published one, or a name of the list.
        device: ``auto``, ``cpu``, ``cuda``...
        pretrained: False leaves the network untrained.
        score_threshold: detections below are dropped.
        max_detections: at most so many an image.
        min_side: images are scaled so that their shorter side has so many pixels.

    Raises:
        UnknownPartError: torchvision has no such mask detector.
        WeightsError: the weights cannot be had or do not fit.
    """
    published_weights(name, detection)  # raises where there is no such model
    if name not in MASK_DETECTORS:
        raise OptionError(f"'torchvision:{name}' gives no masks; use one of: {', '.join(MASK_DETECTORS)}")
    model = detection.__dict__[name](
        weights=None,
        weights_backbone=None,
        box_score_thresh=score_threshold,
        box_detections_per_img=max_detections,
        min_size=min_side,
    )
    if name == "maskrcnn_resnet50_fpn":
        # Its published weights were trained with frozen batch norm without epsilon.
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    if weights is not None or pretrained:
        load_into(model, weights_path(weights or f"torchvision:{name}"))
    return TorchvisionSegmenter(model.eval(), pick_device(device))
