"""The proposal network of the Cascade Mask R-CNN: anchors, decoding of boxes, training on partial labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from msnvis.segmenters.cascade_config import CascadeConfig, Deviations

if TYPE_CHECKING:
    from msnvis.segmenters.cascade import Target

#: A region lying this much inside a crowd annotation is neither positive nor negative.
CROWD_OVERLAP = 0.5
_RATIOS = (0.5, 1.0, 2.0)
_STRIDES = (4, 8, 16, 32, 64)


class SymmetricBoxCoder(BoxCoder):
    """torchvision's, which limits how much a box may grow (1000/16), and by as much how it may shrink.

    That is mmdetection's ``DeltaXYWHBBoxCoder``.

    >>> coder = SymmetricBoxCoder((0.1, 0.1, 0.2, 0.2))
    >>> coder.decode_single(torch.tensor([[1.0, 0, 0, -99.0]]), torch.tensor([[0.0, 0, 10, 1000]])).tolist()
    [[1.0, 492.0, 11.0, 508.0]]
    """

    def __init__(self, deviations: Deviations) -> None:
        super().__init__(tuple(1 / d for d in deviations))
        limit = torch.tensor([1 / deviations[2], 1 / deviations[3]]) * self.bbox_xform_clip
        self._lowest = torch.cat([torch.full((2,), -torch.inf), -limit])

    def decode_single(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        codes = rel_codes.unflatten(1, (-1, 4)).maximum(self._lowest.to(rel_codes))
        return super().decode_single(codes.flatten(1), boxes)


class ExactAnchors(AnchorGenerator):
    """Anchors at multiples of the levels' strides with corners that are not rounded, as in mmdetection."""

    def generate_anchors(self, scales, aspect_ratios, dtype=torch.float32, device="cpu") -> Tensor:
        """``(len(aspect_ratios) * len(scales), 4)`` boxes around 0."""
        root = torch.as_tensor(aspect_ratios, dtype=dtype, device=device).sqrt()[:, None]
        scale = torch.as_tensor(scales, dtype=dtype, device=device)
        half = torch.stack([scale / root, scale * root], dim=-1).flatten(0, 1) / 2
        return torch.cat([-half, half], dim=1)

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        first = feature_maps[0]
        self.set_cell_anchors(first.dtype, first.device)
        sizes = [list(level.shape[-2:]) for level in feature_maps]
        anchors = torch.cat(self.grid_anchors(sizes, [[stride, stride] for stride in _STRIDES]))
        return [anchors] * len(image_list.image_sizes)


class ProposalNetwork(RegionProposalNetwork):
    """torchvision's, without negatives from images that do not vouch for every class, or from crowds.

    `box_weight` is that of the box loss.
    """

    box_weight = 1.0

    def assign_targets_to_anchors(
        self, anchors: list[Tensor], targets: list[Target]
    ) -> tuple[list[Tensor], list[Tensor]]:
        labels, matched = super().assign_targets_to_anchors(anchors, targets)
        for label, anchor, target in zip(labels, anchors, targets, strict=True):
            unknown = inside_crowd(anchor, target["crowd"])
            if not bool(target["vouched"].all()):
                unknown |= True
            label[(label == 0) & unknown] = -1
        return labels, matched

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        if not any(bool((label >= 0).any()) for label in labels):
            return objectness.sum() * 0, pred_bbox_deltas.sum() * 0
        loss, box_loss = super().compute_loss(objectness, pred_bbox_deltas, labels, regression_targets)
        return loss, box_loss * self.box_weight


def make_proposals(config: CascadeConfig) -> ProposalNetwork:
    """The proposal network of a configuration, untrained."""
    kind = AnchorGenerator if config.rounded_anchors else ExactAnchors
    anchors = kind(config.anchor_sizes, (_RATIOS,) * len(config.anchor_sizes))
    network = ProposalNetwork(
        anchors,
        RPNHead(config.channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=config.anchor_iou,
        bg_iou_thresh=0.3,
        batch_size_per_image=config.anchors_per_image,
        positive_fraction=config.positive_anchors,
        pre_nms_top_n={"training": config.train_candidates, "testing": config.test_candidates},
        post_nms_top_n={"training": config.train_proposals, "testing": config.test_proposals},
        nms_thresh=0.7,
    )
    network.box_coder = SymmetricBoxCoder((1.0, 1.0, 1.0, 1.0))
    network.min_size = config.min_proposal
    network.box_weight = config.proposal_box_weight
    return network


def inside_crowd(boxes: Tensor, crowd: Tensor) -> Tensor:
    """Which of ``(N, 4)`` boxes lie mostly inside one of ``(K, 4)`` crowd boxes: ``(N,)`` bool."""
    if not len(crowd):
        return torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    corner = torch.maximum(boxes[:, None, :2], crowd[None, :, :2])
    opposite = torch.minimum(boxes[:, None, 2:], crowd[None, :, 2:])
    overlap = (opposite - corner).clamp(min=0).prod(dim=2)
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1).clamp(min=1e-6)
    return (overlap / area[:, None] > CROWD_OVERLAP).any(dim=1)
