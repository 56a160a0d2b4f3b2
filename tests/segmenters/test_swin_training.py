"""Training of the paper's segmenter, at sizes that a test can afford."""

import dataclasses

import numpy as np
import pytest
import torch

from msnvis.datasets.coco import read_coco
from msnvis.segmenters import create_segmenter, swin_cascade
from msnvis.segmenters.cascade import CascadeMaskRCNN
from msnvis.segmenters.cascade_config import PUBLISHED
from msnvis.segmenters.swin import SwinConfig, SwinFeatures, swin_classifier
from msnvis.segmenters.training import TrainOptions, read_recipe, train_segmenter
from msnvis.segmenters.training.augment import Augmentation
from msnvis.segmenters.training.data import TrainingImages, collate
from msnvis.segmenters.training.loop import parameter_groups
from msnvis.segmenters.training.networks import load_imagenet, load_matching
from msnvis.training.trainer import read_history

TINY = SwinConfig(8, (1, 2, 1, 1), (1, 1, 2, 2), drop_path=0.1)


def tiny(name, num_classes, config=PUBLISHED):
    config = dataclasses.replace(
        config, channels=16, box_fc=32, train_proposals=60, test_proposals=20, regions_per_image=32
    )
    return CascadeMaskRCNN(SwinFeatures(TINY), num_classes, config)


@pytest.fixture
def tiny_networks(monkeypatch):
    """All Swin networks are tiny."""
    monkeypatch.setattr(swin_cascade, "build_swin_cascade", tiny)


def options(shapes, output, **changes):
    chosen = read_recipe("msn-paper") | {
        "network": "swin-t-cascade",
        "imagenet": False,
        "labels": None,
        "short_sides": (64, 80, 96),
        "long_side": 120,
        "steps": 20,
        "warmup": 3,
        "learning_rate": 2e-3,
        "hold_out": 2,
        "validate_every": 20,
        "checkpoint_every": 100,
        "log_every": 1,
        "workers": 0,
    }
    return TrainOptions(data=[shapes], output=output, **(chosen | changes))


def test_the_papers_recipe_lowers_the_loss_and_makes_a_segmenter(shapes, tmp_path, tiny_networks):
    metrics = train_segmenter(options(shapes, tmp_path))
    losses = [entry["loss"] for entry in read_history(tmp_path) if entry["kind"] == "train"]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert 0 <= metrics["any_ap50"] <= 1
    segmenter = create_segmenter(
        "swin-t-cascade", weights=tmp_path / "final.safetensors", device="cpu", short_side=64, min_score=0.0
    )
    assert segmenter.classes == ("disc", "box")
    (found,) = segmenter.segment([np.zeros((80, 80, 3), np.uint8)])
    assert found.class_scores.shape[1] == 2


def test_images_keep_their_proportions_and_are_padded_to_the_largest(shapes):
    records = read_coco(*shapes)
    images = TrainingImages(
        records, 2, (), 2, Augmentation(scale=(1.0, 1.0), paste=0.0), 0, short_sides=(64, 100), long_side=90
    )
    samples = [images[0, number] for number in range(12)]
    assert {tuple(image.shape) for image, _ in samples} == {(3, 64, 64), (3, 90, 90)}
    for image, target in samples:
        assert target["masks"].shape[1:] == image.shape[1:]
    batch, sizes, targets = collate(samples)
    assert batch.shape == (12, 3, 96, 96)
    assert len(targets) == 12
    for padded, (height, width), (image, _) in zip(batch, sizes, samples, strict=True):
        assert torch.equal(padded[:, :height, :width], image)
        assert not padded[:, height:].any()
        assert not padded[:, :, width:].any()


def test_the_sizes_of_the_recipe_by_hand():
    class Record:
        height, width = 480, 854

    images = TrainingImages([], 2, (), 2, Augmentation(), 0, short_sides=(800,), long_side=1333)
    assert images._canvas(Record, 0) == (749, 1333)  # 800 would make the long side 1423


def test_biases_of_positions_do_not_decay(shapes, tmp_path):
    network = tiny("swin-t-cascade", 2)
    groups = parameter_groups(network, options(shapes, tmp_path))
    tables = {id(p) for n, p in network.named_parameters() if n.endswith("relative_position_bias_table")}
    assert tables
    for group in groups:
        decays = group["weight_decay"] > 0
        assert not (decays and tables & {id(p) for p in group["params"]})
        assert all((p.ndim > 1) == decays or id(p) in tables for p in group["params"])
        assert group["factor"] == 1.0


def test_imagenet_weights_reach_every_layer_of_the_backbone(tmp_path, monkeypatch):
    torch.manual_seed(1)
    monkeypatch.setitem(swin_cascade.BACKBONES, "swin-t-cascade", TINY)
    source = swin_classifier(TINY)
    network = torch.nn.Module()
    network.backbone = SwinFeatures(TINY)
    path = tmp_path / "swin_t.pth"
    torch.save(source.state_dict(), path)
    monkeypatch.setattr("msnvis.segmenters.training.networks.weights_path", {"torchvision:swin_t": path}.get)
    load_imagenet(network, "swin-t-cascade")
    theirs = dict(source.features.named_parameters())
    ours = dict(network.backbone.layers.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_fine_tuning_starts_from_a_published_checkpoint(tmp_path):
    import published_cascade as published

    state = published.checkpoint(8, (1, 2, 1, 1), (1, 1, 2, 2), channels=16, hidden=32)
    torch.save({"state_dict": state}, tmp_path / "coco.pth")
    network = tiny("swin-t-cascade", 40)
    before = network.box_heads[0].logits.weight.clone()
    load_matching(network, tmp_path / "coco.pth", "swin-t-cascade")
    assert torch.equal(network.box_heads[2].fc.weight, state["roi_head.bbox_head.2.shared_fcs.0.weight"])
    assert torch.equal(network.backbone.norms[1].bias, state["backbone.norm1.bias"])
    assert torch.equal(network.box_heads[0].logits.weight, before)  # 40 classes, not 80
