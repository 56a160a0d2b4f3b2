import dataclasses

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from msnvis.segmenters.cascade import (
    CascadeMaskRCNN,
    Target,
    crop_masks,
    marginal_cross_entropy,
    pool_regions,
    sample_bin_centres,
    sample_regions,
)
from msnvis.segmenters.cascade_config import COMPACT
from msnvis.segmenters.cascade_segmenter import CascadeSegmenter, Preprocessing, paste_mask
from msnvis.segmenters.efficientnet import EfficientNetLite0, EfficientNetLite0Features, fuse_batch_norm
from msnvis.segmenters.proposals import inside_crowd

TINY = dataclasses.replace(
    COMPACT, channels=16, box_fc=16, mask_convs=1, train_proposals=40, test_proposals=20, regions_per_image=16
)
#: As the published Swin network: boxes and masks for every class, a mask head in every stage.
TINY_BY_CLASS = dataclasses.replace(TINY, class_agnostic=False, mask_stages=(0, 1, 2), pyramid_norm=True)
CLASSES = ("person", "car", "dog")


def build(config=TINY):
    torch.manual_seed(0)
    return CascadeMaskRCNN(EfficientNetLite0Features(), len(CLASSES), config)


def target(boxes=((8.0, 8.0, 40.0, 48.0),), labels=(1,), vouched=(True, True, True), crowd=(), side=64):
    masks = torch.zeros(len(boxes), side, side, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    return Target(
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        masks=masks,
        has_mask=torch.ones(len(boxes), dtype=torch.bool),
        crowd=torch.tensor(crowd).reshape(-1, 4).float(),
        vouched=torch.tensor(vouched),
    )


def test_folding_batch_norm_does_not_change_the_numbers():
    torch.manual_seed(0)
    network = EfficientNetLite0(num_classes=5)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
    network.eval()
    x = torch.randn(2, 3, 64, 96)
    before = network(x)
    fuse_batch_norm(network)
    assert torch.allclose(network(x), before, atol=1e-4)


def test_depthwise_kernels_are_in_float32_on_a_cpu_whatever_autocast_says():
    network = EfficientNetLite0Features()
    depthwise, pointwise = network.blocks[3].depthwise.conv, network.blocks[3].project.conv
    x = torch.randn(1, depthwise.in_channels, 8, 8)
    exact = depthwise(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(depthwise(x), exact)
        assert depthwise(x.bfloat16()).dtype == torch.float32
        assert pointwise(x).dtype == torch.bfloat16


def test_folding_the_heads_batch_norm_does_not_change_the_detections():
    network = build(dataclasses.replace(TINY, score_threshold=0.0)).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
    images, sizes = torch.randn(1, 3, 64, 64), [(64, 64)]
    [before] = network.detect(images, sizes)
    network.fuse_batch_norm()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    [after] = network.detect(images, sizes)
    assert len(before["boxes"])
    for name, values in before.items():
        torch.testing.assert_close(after[name], values, atol=1e-3, rtol=1e-3)


def test_features_have_the_strides_that_the_pyramid_expects():
    levels = EfficientNetLite0Features()(torch.zeros(1, 3, 64, 96))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (24, 16, 24),
        (40, 8, 12),
        (112, 4, 6),
        (320, 2, 3),
    ]


def test_marginal_cross_entropy_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 4, generator=generator)
    labels = torch.randint(0, 4, (40,), generator=generator)
    vouched = torch.rand(40, 3, generator=generator) < 0.5
    expected = []
    for row, label, known in zip(logits.double().numpy(), labels.tolist(), vouched.numpy(), strict=True):
        p = np.exp(row) / np.exp(row).sum()
        expected.append(-np.log(p[label] if label < 3 else p[3] + p[:3][~known].sum()))
    assert marginal_cross_entropy(logits, labels, vouched).item() == pytest.approx(
        np.mean(expected), rel=1e-5
    )


def test_no_class_that_an_image_does_not_vouch_for_is_pushed_down():
    logits = torch.zeros(1, 4, requires_grad=True)
    marginal_cross_entropy(logits, torch.tensor([3]), torch.tensor([[True, False, False]])).backward()
    gradient = logits.grad[0]
    assert gradient[0] > 0  # vouched for and absent: down
    assert (gradient[1:] < 0).all()  # anything else may be there


def test_pooling_a_ramp_gives_the_centres_of_the_cells():
    """RoIAlign is exact on linear functions, so a map of x coordinates must return the cells' centres."""
    levels = []
    for stride in (4, 8, 16, 32):
        x = (torch.arange(256 // stride) + 0.5) * stride
        levels.append(x.expand(1, 1, 256 // stride, -1).contiguous())
    boxes = torch.tensor([[30.0, 40.0, 58.0, 68.0], [40.0, 40.0, 180.0, 180.0]])  # two levels
    pooled = pool_regions(levels, [boxes], 7, canonical_size=112, sampling_ratio=2)
    for box, got in zip(boxes.tolist(), pooled[:, 0], strict=True):
        centres = box[0] + (np.arange(7) + 0.5) * (box[2] - box[0]) / 7
        assert got.mean(0).numpy() == pytest.approx(centres, abs=1e-2)


def test_crop_masks_of_a_filled_half():
    masks = torch.zeros(2, 32, 32)
    masks[1, :, 16:] = 1
    crop = crop_masks(masks, torch.tensor([1, 0]), torch.tensor([[8.0, 8, 24, 24], [8.0, 8, 24, 24]]), 4)
    assert crop[0].tolist() == [[0, 0, 1, 1]] * 4
    assert not crop[1].any()


def test_sampled_regions_by_hand():
    one = target(boxes=((0.0, 0.0, 20.0, 20.0),), labels=(2,), crowd=((40.0, 40.0, 60.0, 60.0),))
    boxes = torch.tensor([[0.0, 0, 20, 18], [42.0, 42, 50, 50], [22.0, 22, 30, 30]])
    regions = sample_regions(boxes, one, iou=0.5, count=8, positive_share=0.5)
    found = {tuple(b): (label, truth) for b, label, truth in zip(
        regions.boxes.tolist(), regions.labels.tolist(), regions.is_truth.tolist(), strict=True)}  # fmt: skip
    assert found == {
        (0, 0, 20, 20): (2, True),
        (0, 0, 20, 18): (2, False),
        (22, 22, 30, 30): (3, False),  # background; the region inside the crowd is not drawn at all
    }


def test_inside_crowd_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [5.0, 0, 15, 10], [20.0, 20, 30, 30]])
    crowd = torch.tensor([[0.0, 0, 8, 10]])
    assert inside_crowd(boxes, crowd).tolist() == [True, False, False]
    assert not inside_crowd(boxes, torch.zeros(0, 4)).any()


def test_partly_labelled_images_give_the_proposals_no_negatives():
    network = build()
    anchors = [torch.tensor([[8.0, 8, 40, 48], [50.0, 50, 60, 60]])] * 2
    full, partial = target(), target(vouched=(True, False, True))
    labels, _ = network.rpn.assign_targets_to_anchors(anchors, [full, partial])
    assert labels[0].tolist() == [1, 0]
    assert labels[1].tolist() == [1, -1]


@pytest.mark.parametrize("config", [TINY, TINY_BY_CLASS], ids=["class-agnostic", "by class"])
def test_losses_are_finite_for_every_kind_of_annotation(config):
    network = build(config).train()
    empty = target(boxes=(), labels=(), vouched=(True, False, False))
    boxes_only = target()
    boxes_only["has_mask"][:] = False
    for targets in ([target(), target()], [empty, empty], [boxes_only, empty]):
        losses = network(torch.randn(2, 3, 64, 64), [(64, 64)] * 2, targets)
        total = sum(losses.values())
        total.backward()
        assert torch.isfinite(total)
        assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("config", [TINY, TINY_BY_CLASS], ids=["class-agnostic", "by class"])
def test_a_few_steps_on_one_image_lower_the_loss(config):
    network = build(config).train()
    image = torch.full((1, 3, 64, 64), -1.0)
    image[:, :, 8:48, 8:40] = 1
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    history = []
    for step in range(25):
        torch.manual_seed(step)
        loss = sum(network(image, [(64, 64)], [target()]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert np.mean(history[-5:]) < 0.6 * np.mean(history[:5])


@pytest.mark.parametrize("config", [TINY, TINY_BY_CLASS], ids=["class-agnostic", "by class"])
def test_detections_of_a_batch_are_those_of_single_images(config):
    network = build(dataclasses.replace(config, score_threshold=0.0, max_detections=8))
    segmenter = CascadeSegmenter(network, CLASSES, Preprocessing((0.5,) * 3, (0.5,) * 3, 64, 128))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, size, np.uint8) for size in ((60, 90, 3), (60, 90, 3), (41, 33, 3))]
    together = segmenter.segment(images)
    for image, found in zip(images, together, strict=True):
        (alone,) = segmenter.segment([image])
        assert found.size == image.shape[:2]
        assert found.class_scores.shape[1] == len(CLASSES)
        assert np.all(np.diff(found.scores) <= 0)
        assert np.allclose(alone.scores, found.scores, atol=1e-5)
    assert segmenter.segment([]) == []


def test_pasting_a_mask_by_hand():
    probs = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    crop, left, top = paste_mask(probs, np.array([2.0, 1.0, 6.0, 5.0]), (10, 10), 0.5)
    assert (left, top) == (2, 1)
    assert crop.tolist() == [[True, True, False, False]] * 4
    crop, left, top = paste_mask(probs, np.array([-2.0, -2.0, 2.0, 2.0]), (10, 10), 0.5)
    assert (left, top, crop.shape) == (0, 0, (2, 2))
    assert not crop.any()  # the left half lies outside
    assert paste_mask(probs, np.array([4.0, 4.0, 4.0, 4.0]), (10, 10), 0.5)[0].size == 0


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_bin_centres_equal_torchvisions_roi_align_with_one_sample(memory_format):
    torch.manual_seed(0)
    features = torch.randn(3, 5, 11, 17).contiguous(memory_format=memory_format).requires_grad_()
    rois = torch.tensor(
        [[0, 0, 0, 68, 44.0], [0, 3, 5, 3, 9], [2, 60, 1, 68, 44], [2, 10, 10, 11, 12.5]]
    )  # the whole image, no width, at the right edge, smaller than a bin
    expected = roi_align(features, rois, 7, 0.25, 1, aligned=True)
    sampled = sample_bin_centres(features, rois, 7, 0.25)
    torch.testing.assert_close(sampled, expected, atol=1e-4, rtol=1e-4)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((x * weights).sum(), features)[0] for x in (sampled, expected)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)
