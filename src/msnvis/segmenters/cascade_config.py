"""What differs between the Cascade Mask R-CNNs: the published one on Swin and the small `compact`."""

from __future__ import annotations

from dataclasses import dataclass

#: Deviations of x, y, width and height by which a box head's four numbers are scaled.
Deviations = tuple[float, float, float, float]


@dataclass(frozen=True)
class CascadeConfig:
    """Sizes and constants; the defaults are those of the published networks on Swin.

    Source: ``cascade_mask_rcnn_swin_base_patch4_window7_mstrain_480-800_giou_4conv1f_adamw_3x_coco.py``, and
    what it inherits from, in github.com/SwinTransformer/Swin-Transformer-Object-Detection.

    Attributes:
        channels: of the feature pyramid and of the heads' convolutions.
        box_convs, box_fc: convolutions and hidden units of each box head.
        box_deviations: of the numbers that each stage's box head predicts.
        mask_convs: convolutions of each mask head.
        mask_stages: box stages that have a mask head; their probabilities are averaged.
        class_agnostic: one box and one mask for each region, whatever its class, and one detection a region
            scored by the probability of *any* class; otherwise one of each for every class.
        pyramid_norm, mask_norm: batch norm in the pyramid and in the mask heads (box heads always have it).
        anchor_sizes: for each level of the proposal network, in pixels.
        rounded_anchors: torchvision's anchors, whose corners are whole numbers and which are spread evenly
            over the padded image; otherwise mmdetection's, exact and at multiples of 4 to 64 pixels.
        anchor_iou: from which an anchor is a positive.
        anchors_per_image, positive_anchors: sampled for the proposal loss; largest share of positives.
        min_proposal: proposals with a shorter side, in pixels, are dropped.
        canonical_size: side of a region, in pixels, that is pooled at stride 16 (224 for images of 800
            pixels).
        sampling_ratio: of RoIAlign; 0 adapts it to the region.
        train_candidates, test_candidates: anchors of each level that non-maximum suppression gets.
        train_proposals, test_proposals: regions an image.
        regions_per_image: sampled for the loss of each stage; masks_per_image: positives for the mask loss.
        box_loss_weight, proposal_box_weight: of the heads' and of the proposals' box loss.
    """

    channels: int = 256
    box_convs: int = 4
    box_fc: int = 1024
    box_deviations: tuple[Deviations, ...] = (
        (0.1, 0.1, 0.2, 0.2),
        (0.05, 0.05, 0.1, 0.1),
        (0.033, 0.033, 0.067, 0.067),
    )
    mask_convs: int = 4
    mask_stages: tuple[int, ...] = (0, 1, 2)
    class_agnostic: bool = False
    pyramid_norm: bool = False
    mask_norm: bool = False
    anchor_sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    rounded_anchors: bool = False
    anchor_iou: float = 0.7
    anchors_per_image: int = 256
    positive_anchors: float = 0.5
    min_proposal: float = 0.0
    canonical_size: float = 224
    sampling_ratio: int = 0
    train_candidates: int = 2000
    test_candidates: int = 1000
    train_proposals: int = 2000
    test_proposals: int = 1000
    regions_per_image: int = 512
    masks_per_image: int = 128
    box_loss_weight: float = 10.0
    proposal_box_weight: float = 1.0
    score_threshold: float = 0.05
    nms_threshold: float = 0.5
    max_detections: int = 100


#: As published.
PUBLISHED = CascadeConfig()

#: The network shipped with the package: small enough for a CPU, its training and its weights file.
COMPACT = CascadeConfig(
    channels=96,
    box_convs=1,
    box_fc=256,
    box_deviations=((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (1 / 30, 1 / 30, 1 / 15, 1 / 15)),
    mask_convs=3,
    mask_stages=(2,),
    class_agnostic=True,
    mask_norm=True,
    anchor_sizes=((14, 22), (32, 50), (72, 112), (160, 240), (320, 420)),
    rounded_anchors=True,
    # Only fully labelled images give negatives, so those must give many: few iterations see few hard ones.
    anchor_iou=0.6,
    anchors_per_image=1024,
    positive_anchors=0.25,
    min_proposal=1e-3,
    canonical_size=112,
    sampling_ratio=1,
    train_candidates=1000,
    test_candidates=500,
    train_proposals=300,
    test_proposals=200,
    regions_per_image=128,
    masks_per_image=32,
    box_loss_weight=4.0,
    # torchvision divides it by all sampled anchors, most of them negatives.
    proposal_box_weight=4.0,
)
