"""Cascade Mask R-CNN (Cai & Vasconcelos, CVPR 2018) with three box stages, as in the paper (4.1).

One code for every backbone: `CascadeConfig` says what differs between the small `compact` network and the
published Swin one. Built on torchvision's detection parts.

Images may be *partly labelled*: each target carries the classes that its annotation vouches for. A region
without a label is then known to be none of those classes, but may be any other, so its classification loss
is the negative log of the summed probability of background and every class not vouched for (marginal
likelihood); the class-agnostic proposal network gets no negatives at all from such an image.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import (
    FeaturePyramidNetwork,
    batched_nms,
    box_iou,
    clip_boxes_to_image,
    generalized_box_iou_loss,
    roi_align,
)
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from msnvis.segmenters.cascade_config import PUBLISHED, CascadeConfig
from msnvis.segmenters.proposals import SymmetricBoxCoder, inside_crowd, make_proposals

#: IoU that makes a region a positive and loss weight of each stage (Cascade R-CNN, section 4; the same in the
#: published Swin configuration).
STAGE_IOU = (0.5, 0.6, 0.7)
STAGE_LOSS_WEIGHT = (1.0, 0.5, 0.25)


class Target(TypedDict):
    """Annotation of one training image; G objects, C classes.

    boxes ``(G, 4)`` float32 xyxy pixels, labels ``(G,)`` int64, masks ``(G, H, W)`` uint8, has_mask ``(G,)``
    bool, crowd ``(K, 4)`` boxes to ignore, vouched ``(C,)`` bool: classes of which every instance is
    labelled.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor
    has_mask: Tensor
    crowd: Tensor
    vouched: Tensor


class Prediction(TypedDict):
    """Objects of one image, best first: boxes ``(N, 4)`` xyxy, scores ``(N,)``, class_scores ``(N, C)``,
    mask_probs ``(N, M, M)`` inside the boxes."""

    boxes: Tensor
    scores: Tensor
    class_scores: Tensor
    mask_probs: Tensor


class CascadeMaskRCNN(nn.Module):
    """Backbone, feature pyramid, proposals, three box stages and masks.

    Args:
        backbone: maps normalised images to feature maps at strides 4, 8, 16, 32 and tells their
        `out_channels`.
        num_classes: C, without background; background is the last logit.
        config: sizes of the parts.
    """

    def __init__(self, backbone: nn.Module, num_classes: int, config: CascadeConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        self.backbone = backbone
        self.fpn = FeaturePyramidNetwork(
            list(backbone.out_channels),
            config.channels,
            extra_blocks=LastLevelMaxPool(),
            norm_layer=nn.BatchNorm2d if config.pyramid_norm else None,
        )
        self.rpn = make_proposals(config)
        self.box_heads = nn.ModuleList(BoxHead(config, num_classes) for _ in STAGE_IOU)
        self.mask_heads = nn.ModuleDict({str(s): MaskHead(config, num_classes) for s in config.mask_stages})
        self.coders = [SymmetricBoxCoder(deviations) for deviations in config.box_deviations]

    def features(self, images: Tensor) -> list[Tensor]:
        """Pyramid levels at strides 4, 8, 16, 32 and 64 of ``(B, 3, H, W)`` normalised images."""
        levels = self.backbone(images)
        return list(self.fpn(OrderedDict((str(i), level) for i, level in enumerate(levels))).values())

    def propose(
        self, images: Tensor, sizes: list[tuple[int, int]], levels: list[Tensor], targets: list[Target] | None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Class-agnostic candidate boxes an image, and the losses of the proposal network in training."""
        named = OrderedDict((str(i), level) for i, level in enumerate(levels))
        return self.rpn(ImageList(images, sizes), named, targets)

    def forward(
        self, images: Tensor, sizes: list[tuple[int, int]], targets: list[Target]
    ) -> dict[str, Tensor]:
        """Every loss of a training batch, already weighted; their sum is what to minimise.

        Args:
            images: ``(B, 3, H, W)`` normalised, padded.
            sizes: height and width of each image without padding.
        """
        levels = self.features(images)
        boxes, losses = self.propose(images, sizes, levels, targets)
        regions = [_Regions(b) for b in boxes]
        for stage, head in enumerate(self.box_heads):
            regions = [
                sample_regions(r.boxes, t, STAGE_IOU[stage], self.config.regions_per_image)
                for r, t in zip(regions, targets, strict=True)
            ]
            logits, deltas = head(self._pool(levels, [r.boxes for r in regions], BOX_POOL))
            decoded = self._decode(stage, deltas, torch.cat([r.boxes for r in regions]))
            stage_losses = self._box_losses(logits, decoded, regions, targets)
            losses |= {f"{k}{stage}": v * STAGE_LOSS_WEIGHT[stage] for k, v in stage_losses.items()}
            if str(stage) in self.mask_heads:
                mask_loss = self._mask_loss(stage, levels, regions, targets)
                # A single mask head is trained at full weight wherever it sits.
                weight = STAGE_LOSS_WEIGHT[stage] if len(self.mask_heads) > 1 else 1.0
                losses[f"loss_mask{stage}"] = mask_loss * weight
            refined = self._choose_boxes(decoded.detach(), logits.detach(), regions)
            counts = [len(r.boxes) for r in regions]
            regions = [
                _Regions(clip_boxes_to_image(b[~r.is_truth], size))
                for b, r, size in zip(refined.split(counts), regions, sizes, strict=True)
            ]
        return losses

    def fuse_batch_norm(self) -> None:
        """Fold every batch norm of the heads into its convolution, for detection only."""
        for module in [m for m in self.modules() if isinstance(m, nn.Sequential)]:
            if len(module) > 1 and isinstance(module[0], nn.Conv2d) and isinstance(module[1], nn.BatchNorm2d):
                module[0] = fuse_conv_bn_eval(module[0].eval(), module[1].eval())
                module[1] = nn.Identity()

    @torch.no_grad()
    def detect(self, images: Tensor, sizes: list[tuple[int, int]]) -> list[Prediction]:
        """Detect in ``(B, 3, H, W)`` normalised, padded images; boxes are in their pixels."""
        levels = self.features(images)
        boxes, _ = self.propose(images, sizes, levels, None)
        counts = [len(b) for b in boxes]
        all_logits = []
        for stage, head in enumerate(self.box_heads):
            logits, deltas = head(self._pool(levels, boxes, BOX_POOL))
            all_logits.append(logits)
            decoded = self._decode(stage, deltas, torch.cat(boxes))
            if stage + 1 < len(self.box_heads):
                chosen = self._choose_boxes(decoded, logits, None)
                boxes = [
                    clip_boxes_to_image(b, size) for b, size in zip(chosen.split(counts), sizes, strict=True)
                ]
        probabilities = (sum(all_logits) / len(all_logits)).softmax(dim=1)
        found = [
            self._detections(p, b, size)
            for p, b, size in zip(probabilities.split(counts), decoded.split(counts), sizes, strict=True)
        ]
        return self._add_masks(levels, found)

    def _pool(self, levels: list[Tensor], boxes: list[Tensor], side: int) -> Tensor:
        return pool_regions(levels[:4], boxes, side, self.config.canonical_size, self.config.sampling_ratio)

    def _decode(self, stage: int, deltas: Tensor, boxes: Tensor) -> Tensor:
        """``(R, K, 4)`` boxes from ``(R, K * 4)`` deltas; K is 1 or the number of classes."""
        return self.coders[stage].decode_single(deltas.float(), boxes).reshape(len(boxes), -1, 4)

    def _choose_boxes(self, decoded: Tensor, logits: Tensor, regions: list[_Regions] | None) -> Tensor:
        """One refined box a region: of its label in training, else of its best class."""
        if decoded.shape[1] == 1:
            return decoded[:, 0]
        best = logits[:, : self.num_classes].argmax(dim=1)
        if regions is not None:
            labels = torch.cat([r.labels for r in regions])
            best = torch.where(labels < self.num_classes, labels, best)
        return decoded[torch.arange(len(decoded)), best]

    def _box_losses(
        self, logits: Tensor, decoded: Tensor, regions: list[_Regions], targets: list[Target]
    ) -> dict[str, Tensor]:
        labels = torch.cat([r.labels for r in regions])
        vouched = torch.cat(
            [t["vouched"].expand(len(r.boxes), -1) for r, t in zip(regions, targets, strict=True)]
        )
        truth = torch.cat([r.truth_boxes for r in regions])
        positive = labels < self.num_classes
        chosen = self._choose_boxes(decoded, logits, regions)[positive]
        box_loss = generalized_box_iou_loss(chosen, truth[positive], reduction="sum") / max(len(labels), 1)
        return {
            "loss_class": marginal_cross_entropy(logits, labels, vouched),
            "loss_box": box_loss * self.config.box_loss_weight,
        }

    def _mask_loss(
        self, stage: int, levels: list[Tensor], regions: list[_Regions], targets: list[Target]
    ) -> Tensor:
        chosen = [
            r.with_masks(t, self.num_classes, self.config.masks_per_image)
            for r, t in zip(regions, targets, strict=True)
        ]
        boxes = [r.boxes for r in chosen]
        if sum(len(b) for b in boxes) == 0:
            return levels[0].sum() * 0
        logits = self.mask_heads[str(stage)](self._pool(levels, boxes, MASK_POOL))
        logits = _of_class(logits, torch.cat([r.labels for r in chosen]))
        wanted = torch.cat(
            [
                crop_masks(t["masks"], r.truth_index, r.boxes, logits.shape[-1])
                for r, t in zip(chosen, targets, strict=True)
            ]
        )
        return F.binary_cross_entropy_with_logits(logits.float(), wanted)

    def _detections(self, probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> Prediction:
        """Thresholding and non-maximum suppression for one image."""
        config = self.config
        classes = probabilities[:, : self.num_classes]
        scores = 1 - probabilities[:, self.num_classes :] if config.class_agnostic else classes
        region, column = (scores > config.score_threshold).nonzero(as_tuple=True)
        boxes = clip_boxes_to_image(boxes[region, column], size)
        scores = scores[region, column]
        keep = batched_nms(boxes, scores, column, config.nms_threshold)[: config.max_detections]
        class_scores = classes[region[keep]]
        if not config.class_agnostic:
            class_scores = class_scores * F.one_hot(column[keep], self.num_classes)
        return Prediction(
            boxes=boxes[keep], scores=scores[keep], class_scores=class_scores, mask_probs=boxes.new_zeros(0)
        )

    def _add_masks(self, levels: list[Tensor], found: list[Prediction]) -> list[Prediction]:
        boxes = [p["boxes"] for p in found]
        pooled = self._pool(levels, boxes, MASK_POOL)
        labels = torch.cat([p["class_scores"] for p in found]).argmax(dim=1)
        heads = self.mask_heads.values()
        probs = sum(_of_class(head(pooled), labels).float().sigmoid() for head in heads) / len(heads)
        for prediction, mask_probs in zip(found, probs.split([len(b) for b in boxes]), strict=True):
            prediction["mask_probs"] = mask_probs
        return found


BOX_POOL, MASK_POOL = 7, 14


class BoxHead(nn.Module):
    """``(R, channels, 7, 7)`` to class logits ``(R, C + 1)`` and box deltas ``(R, 4)`` or ``(R, 4 C)``."""

    def __init__(self, config: CascadeConfig, num_classes: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(_conv_norm(config.channels, True) for _ in range(config.box_convs)))
        self.fc = nn.Linear(config.channels * BOX_POOL**2, config.box_fc)
        self.logits = nn.Linear(config.box_fc, num_classes + 1)
        self.deltas = nn.Linear(config.box_fc, 4 if config.class_agnostic else 4 * num_classes)
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.logits.bias)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.fc(self.convs(x).flatten(1)))
        return self.logits(x), self.deltas(x)


class MaskHead(nn.Module):
    """``(R, channels, 14, 14)`` to mask logits ``(R, 1 or C, 28, 28)``."""

    def __init__(self, config: CascadeConfig, num_classes: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            *(_conv_norm(config.channels, config.mask_norm) for _ in range(config.mask_convs))
        )
        self.upsample = nn.ConvTranspose2d(config.channels, config.channels, 2, stride=2)
        self.logits = nn.Conv2d(config.channels, 1 if config.class_agnostic else num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(F.relu(self.upsample(self.convs(x))))


@dataclass
class _Regions:
    """Regions of one image with what they were matched to (R regions)."""

    boxes: Tensor
    labels: Tensor = field(default_factory=lambda: torch.empty(0))
    truth_index: Tensor = field(default_factory=lambda: torch.empty(0))
    truth_boxes: Tensor = field(default_factory=lambda: torch.empty(0))
    is_truth: Tensor = field(default_factory=lambda: torch.empty(0))

    def __getitem__(self, index: Tensor) -> _Regions:
        return _Regions(
            self.boxes[index],
            self.labels[index],
            self.truth_index[index],
            self.truth_boxes[index],
            self.is_truth[index],
        )

    def with_masks(self, target: Target, num_classes: int, limit: int) -> _Regions:
        """At most `limit` random positives whose object has a mask."""
        positive = (self.labels < num_classes).nonzero(as_tuple=True)[0]
        if len(positive):
            positive = positive[target["has_mask"][self.truth_index[positive]]]
        return self[positive[torch.randperm(len(positive), device=positive.device)[:limit]]]


def sample_regions(
    boxes: Tensor, target: Target, iou: float, count: int, positive_share: float = 0.25
) -> _Regions:
    """Match boxes and the true boxes themselves to the truth, and draw `count` of them at random.

    Labels are the class of positives and C, the number of classes, for negatives; regions inside a crowd are
    left out.
    """
    num_classes = len(target["vouched"])
    truth = target["boxes"]
    boxes = torch.cat([truth, boxes])
    is_truth = torch.arange(len(boxes), device=boxes.device) < len(truth)
    if len(truth):
        matched = Matcher(iou, iou)(box_iou(truth, boxes))
    else:
        matched = torch.full((len(boxes),), Matcher.BELOW_LOW_THRESHOLD, device=boxes.device)
    positive = (matched >= 0).nonzero(as_tuple=True)[0]
    negative = ((matched < 0) & ~inside_crowd(boxes, target["crowd"])).nonzero(as_tuple=True)[0]
    positive = positive[torch.randperm(len(positive), device=boxes.device)[: int(count * positive_share)]]
    negative = negative[torch.randperm(len(negative), device=boxes.device)[: count - len(positive)]]
    chosen = torch.cat([positive, negative])
    labels = torch.full((len(chosen),), num_classes, device=boxes.device)
    index = matched[chosen].clamp(min=0)
    truth_boxes = torch.zeros_like(boxes[chosen])
    if len(truth):
        labels[: len(positive)] = target["labels"][index[: len(positive)]]
        truth_boxes = truth[index]
    return _Regions(boxes[chosen], labels, index, truth_boxes, is_truth[chosen])


def marginal_cross_entropy(logits: Tensor, labels: Tensor, vouched: Tensor) -> Tensor:
    """Cross entropy where a background region may be any class that its image does not vouch for.

    Args:
        logits: ``(R, C + 1)``, background last.
        labels: ``(R,)`` in 0..C.
        vouched: ``(R, C)`` bool.

    >>> logits = torch.zeros(1, 3)  # two classes and background, all equally likely
    >>> none, both = torch.tensor([[False, True]]), torch.tensor([[True, True]])
    >>> label = torch.tensor([2])
    >>> marginal_cross_entropy(logits, label, both).exp().item()  # only background may be right: p = 1/3
    3.0...
    >>> round(marginal_cross_entropy(logits, label, none).exp().item(), 3)  # background or class 0: p = 2/3
    1.5
    """
    if not len(labels):
        return logits.sum() * 0
    num_classes = vouched.shape[1]
    allowed = F.one_hot(labels, num_classes + 1).bool()
    allowed[:, :num_classes] |= (labels == num_classes)[:, None] & ~vouched
    log_p = logits.float().log_softmax(dim=1)
    return -log_p.masked_fill(~allowed, -torch.inf).logsumexp(dim=1).mean()


def pool_regions(
    levels: list[Tensor], boxes: list[Tensor], side: int, canonical_size: float, sampling_ratio: int
) -> Tensor:
    """RoIAlign (aligned) from the level that fits each box's size (FPN, Lin et al. 2017, equation 1).

    Returns:
        ``(R, channels, side, side)``, in the order of the concatenated `boxes`.
    """
    image = torch.cat([b.new_full((len(b), 1), i) for i, b in enumerate(boxes)])
    flat = torch.cat(boxes)
    size = (flat[:, 2:] - flat[:, :2]).clamp(min=0).prod(dim=1).sqrt()
    # The boundary of mmdetection, whose small number is added at the finest level.
    level = torch.log2(size / (canonical_size / 4) + 1e-6).floor().clamp(0, len(levels) - 1)
    regions = torch.cat([image, flat], dim=1)
    pooled = levels[0].new_zeros(len(flat), levels[0].shape[1], side, side)
    pooled = pooled.contiguous(memory_format=torch.channels_last)
    for index, features in enumerate(levels):
        here = (level == index).nonzero(as_tuple=True)[0]
        if len(here):
            scale = 0.25 / 2**index
            if sampling_ratio == 1 and features.device.type == "cpu":
                pooled[here] = sample_bin_centres(features, regions[here], side, scale)
            else:
                rois = regions[here].to(features.dtype)
                pooled[here] = roi_align(
                    features.contiguous(), rois, side, scale, sampling_ratio, aligned=True
                )
    return pooled


def sample_bin_centres(features: Tensor, rois: Tensor, side: int, scale: float) -> Tensor:
    """RoIAlign (aligned) with one sample a bin; on CPUs over four times as fast as `grid_sample`, which in
    turn is faster than torchvision's.

    A sample is a weighted sum of the four pixels around it, so all of them together are one `embedding_bag`.

    Args:
        features: ``(B, channels, H, W)``, best in the memory format channels_last.
        rois: ``(R, 5)`` float32: image index, and box xyxy in pixels, inside the image.
        scale: pixels of `features` for each pixel of the image.

    Returns:
        ``(R, channels, side, side)`` in channels_last.
    """
    height, width = features.shape[-2:]
    centres = (torch.arange(side, device=rois.device, dtype=rois.dtype) + 0.5) / side
    left_top, extent = rois[:, 1:3, None], (rois[:, 3:] - rois[:, 1:3])[..., None]
    x, y = ((left_top + extent * centres) * scale - 0.5).unbind(dim=1)
    columns, of_columns = _neighbours(x, width)
    rows, of_rows = _neighbours(y, height)
    rows = (rows + rois[:, :1, None].long() * height) * width
    pixels = rows[:, :, None, :, None] + columns[:, None, :, None, :]
    weights = of_rows[:, :, None, :, None] * of_columns[:, None, :, None, :]
    table = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    sampled = F.embedding_bag(
        pixels.reshape(-1, 4),
        table,
        per_sample_weights=weights.reshape(-1, 4).to(table.dtype),
        mode="sum",
    )
    return sampled.unflatten(0, (len(rois), side, side)).permute(0, 3, 1, 2)


def _neighbours(position: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The two of `count` pixels in a row around each ``(R, side)`` position and their weights, both
    ``(R, side, 2)``; positions beyond the last pixel take that one."""
    position = position.clamp(0, count - 1)
    first = position.floor()
    share = position - first
    pixels = torch.stack([first, (first + 1).clamp(max=count - 1)], dim=-1).long()
    return pixels, torch.stack([1 - share, share], dim=-1)


def crop_masks(masks: Tensor, index: Tensor, boxes: Tensor, side: int) -> Tensor:
    """What a mask head should answer: ``(R, side, side)`` in 0..1, the true mask `index` in each box."""
    rois = torch.cat([index[:, None].to(boxes), boxes], dim=1)
    return roi_align(masks[:, None].to(boxes), rois, side, 1.0, 1, aligned=True)[:, 0]


def _of_class(mask_logits: Tensor, labels: Tensor) -> Tensor:
    """``(R, M, M)`` of each region's class, or the only mask there is."""
    if mask_logits.shape[1] == 1:
        return mask_logits[:, 0]
    return mask_logits[torch.arange(len(labels)), labels]


def _conv_norm(channels: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels, channels, 3, padding=1, bias=not norm)]
    if norm:
        layers.append(nn.BatchNorm2d(channels))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))
