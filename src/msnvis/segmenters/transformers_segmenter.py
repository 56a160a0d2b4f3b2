"""Instance segmenters of the transformers library, found on the Hugging Face hub or in a folder."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msnvis.datasets.labels import class_map, label_space
from msnvis.devices import pick_device
from msnvis.errors import MissingExtraError, OptionError, WeightsError
from msnvis.segmenters.base import Segmenter, segmenters
from msnvis.structures import Detections
from msnvis.weights.hub import load_from_hub, load_whole

#: `model_type` of a configuration -> the class that loads such models.
_LOADERS = {
    "mask2former": "AutoModelForUniversalSegmentation",
    "maskformer": "AutoModelForUniversalSegmentation",
    "eomt": "AutoModelForUniversalSegmentation",
    "eomt_dinov3": "AutoModelForUniversalSegmentation",
    "rf_detr": "AutoModelForInstanceSegmentation",
}
#: Their post-processing enlarges the finished masks of all queries, pixel by pixel; only those that are kept
#: need it.
_ENLARGED_LAST = ("mask2former", "maskformer")
#: COCO's classes as Mask2Former's COCO models call them, and as we do.
_ALIASES = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
}


class TransformersSegmenter(Segmenter):
    """Runs a model with the image processor and the post-processing that belong to it.

    Masks may overlap. Objects of labels that are not among `columns` are left out.

    Args:
        model: in evaluation mode, on its device.
        processor: its image processor.
        classes: C names.
        columns: label of the model -> index in `classes`.
        min_score: detections of a lower score are dropped.
        max_detections: at most so many an image.
    """

    def __init__(
        self,
        model: nn.Module,
        processor: Any,
        classes: Sequence[str],
        columns: Mapping[int, int],
        *,
        min_score: float,
        max_detections: int,
    ) -> None:
        self.model, self.processor = model, processor
        self.classes, self.columns = tuple(classes), dict(columns)
        self.min_score, self.max_detections = min_score, max_detections
        self.device = next(model.parameters()).device
        self._enlarge = model.config.model_type in _ENLARGED_LAST
        self._process = processor.post_process_instance_segmentation
        self._overlaps = "return_binary_maps" in inspect.signature(self._process).parameters

    @torch.inference_mode()
    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        # One at a time: a batch is padded to its largest image, which changes results.
        return [self._segment(image) for image in images]

    def _segment(self, image: np.ndarray) -> Detections:
        size = (image.shape[0], image.shape[1])
        inputs = self.processor(images=np.ascontiguousarray(image), return_tensors="pt").to(self.device)
        outputs = self.model(**inputs)
        if "pixel_mask" in inputs:
            without_padding(outputs, inputs["pixel_mask"][0])
        parts = [outputs] if self._overlaps else single_queries(outputs, self.min_score)
        found = [pair for part in parts for pair in self._found(part, size)]
        found = [pair for pair in found if pair[0]["label_id"] in self.columns]
        found = sorted(found, key=lambda pair: -pair[0]["score"])[: self.max_detections]
        if not found:
            return Detections.empty(size, len(self.classes))
        segments, maps = zip(*found, strict=True)
        masks = _at_size(torch.stack(maps), size)
        scores = np.array([segment["score"] for segment in segments], np.float32)
        class_scores = np.zeros((len(found), len(self.classes)), np.float32)
        class_scores[np.arange(len(found)), [self.columns[s["label_id"]] for s in segments]] = scores
        visible = masks.any(axis=(1, 2))
        return Detections.from_masks(masks[visible], scores[visible], class_scores[visible])

    def _found(self, outputs: Any, size: tuple[int, int]) -> list[tuple[dict[str, Any], Tensor]]:
        """What the post-processing says of each object, with its ``(h, w)`` bool mask."""
        options = {} if self._enlarge else {"target_sizes": [size]}
        if self._overlaps:
            options["return_binary_maps"] = True
        [found] = self._process(outputs, threshold=self.min_score, **options)
        segments, maps = found["segments_info"], found["segmentation"]
        if self._overlaps:
            return list(zip(segments, maps > 0, strict=False))  # where nothing is found it is no stack
        return [(segment, maps == segment["id"]) for segment in segments]


def single_queries(outputs: Any, min_score: float) -> list[Any]:
    """The outputs of each query that may reach `min_score`, as if it were the only one.

    Some post-processing paints all masks into one map, where weak objects may hide strong ones.

    Args:
        outputs: with ``class_queries_logits`` of ``(1, Q, C + 1)``, the last for no object, and
            ``masks_queries_logits`` of ``(1, Q, h, w)``.
        min_score: probability of the best class.
    """
    logits, masks = outputs.class_queries_logits, outputs.masks_queries_logits
    best = logits[0].softmax(dim=-1)[:, :-1].amax(dim=-1)
    return [
        SimpleNamespace(class_queries_logits=logits[:, q : q + 1], masks_queries_logits=masks[:, q : q + 1])
        for q in (best >= min_score).nonzero()[:, 0].tolist()
    ]


def without_padding(outputs: Any, pixel_mask: Tensor) -> None:
    """Stretch the mask logits of `outputs` so that they show the image without its padding.

    The library's post-processing takes padding for a part of the image, which would shift masks.

    Args:
        outputs: with ``masks_queries_logits`` of ``(1, Q, h, w)``, which are replaced.
        pixel_mask: ``(H, W)``, 1 in the image, 0 in the padding at its right and bottom.
    """
    across = pixel_mask.any(dim=0).float().mean().item()
    down = pixel_mask.any(dim=1).float().mean().item()
    if min(across, down) < 1:
        logits = outputs.masks_queries_logits
        place = logits.new_tensor([[[across, 0, across - 1], [0, down, down - 1]]])
        grid = F.affine_grid(place, list(logits.shape), align_corners=False)
        outputs.masks_queries_logits = F.grid_sample(logits, grid, padding_mode="border", align_corners=False)


def _at_size(masks: Tensor, size: tuple[int, int]) -> np.ndarray:
    """``(N, *size)`` bool, by the nearest pixel as in the library's post-processing."""
    if tuple(masks.shape[1:]) != size:
        masks = F.interpolate(masks[:, None].float(), size=size, mode="nearest")[:, 0] > 0
    return masks.cpu().numpy()


@segmenters.register(
    "transformers:",
    summary="Mask2Former, MaskFormer, EoMT, RF-DETR, such as "
    "transformers:facebook/mask2former-swin-base-coco-instance",
    needs="extra 'transformers', download",
)
def transformers_segmenter(
    name: str,
    weights: str | Path | None = None,
    device: str = "auto",
    *,
    min_score: float = 0.1,
    max_detections: int = 100,
    keep_unknown: bool = False,
) -> TransformersSegmenter:
    """Load an instance segmenter; images are scaled as its own image processor says.

    Args:
        name: a model of the Hugging Face hub or a folder, with safetensors weights.
        weights: a folder to load instead.
        device: ``auto``, ``cpu``, ``cuda``...
        min_score, max_detections: as in `TransformersSegmenter`.
        keep_unknown: keep objects whose label no label space knows; the stuff classes of panoptic models
            are such.

    Raises:
        MissingExtraError: transformers is not installed.
        TensorsError: its weights lack tensors; it lists them.
        WeightsError: there is no such model, it cannot be had, or it is no instance segmenter.
        OptionError: no label space knows any of its labels.

    >>> from msnvis import create_segmenter
    >>> create_segmenter("transformers:facebook/mask2former-swin-base-coco-instance")  # doctest: +SKIP
    """
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError(f"segmenter 'transformers:{name}' needs `pip install msnvis[transformers]`")
    model, processor = load_from_hub(str(weights or name), _load)
    labels = [model.config.id2label[index].split(",")[0].strip() for index in sorted(model.config.id2label)]
    classes, columns = known_classes(labels, keep_unknown)
    if not classes:
        raise OptionError(
            f"no label space knows a label of '{name}', such as '{labels[0]}'; set keep_unknown to keep all"
        )
    model = model.to(pick_device(device))
    options = {"min_score": min_score, "max_detections": max_detections}
    return TransformersSegmenter(model, processor, classes, columns, **options)


def known_classes(labels: Sequence[str], keep_unknown: bool) -> tuple[list[str], dict[int, int]]:
    """Names of the classes to keep, and which label is which of them.

    >>> known_classes(["tvmonitor", "wall", "dog"], keep_unknown=False)
    (['tv', 'dog'], {0: 0, 2: 1})
    """
    names = [_ALIASES.get(label, label) for label in labels]
    known = class_map(names, label_space("any")).any(axis=1)
    kept = [index for index, name in enumerate(names) if known[index] or keep_unknown]
    return [names[index] for index in kept], {label: column for column, label in enumerate(kept)}


def _load(folder: str) -> tuple[nn.Module, Any]:
    import transformers

    kind = transformers.AutoConfig.from_pretrained(folder).model_type
    loader = getattr(transformers, _LOADERS.get(kind, ""), None)
    if loader is None:
        raise WeightsError(
            f"'{folder}' holds a model of kind '{kind}'; segmenters of transformers are, where the version "
            f"has it: {', '.join(_LOADERS)}"
        )
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    return load_whole(loader, folder), processor
