import dataclasses

import numpy as np
import published_cascade as published
import pytest
import torch
from safetensors.torch import save_file

from msnvis.errors import TensorsError, WeightsError
from msnvis.segmenters import create_segmenter
from msnvis.segmenters.cascade import CascadeMaskRCNN
from msnvis.segmenters.cascade_config import PUBLISHED
from msnvis.segmenters.cascade_segmenter import CascadeSegmenter
from msnvis.segmenters.swin import SwinConfig, SwinFeatures
from msnvis.segmenters.swin_cascade import PREPROCESSING, build_swin_cascade, published_name
from msnvis.weights.state import load_into

#: Embedding, depths and heads, from the published configurations.
SIZES = {
    "swin-t-cascade": (96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "swin-s-cascade": (96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "swin-b-cascade": (128, (2, 2, 18, 2), (4, 8, 16, 32)),
}
TINY = (12, (2, 1, 2, 2), (1, 2, 3, 4))
TINY_HEADS = {"channels": 16, "hidden": 24}
TINY_CONFIG = dataclasses.replace(
    PUBLISHED, channels=16, box_fc=24, test_proposals=30, test_candidates=50, score_threshold=0.03
)


def tiny_network():
    backbone = SwinFeatures(SwinConfig(*TINY, drop_path=0.1))
    return CascadeMaskRCNN(backbone, published.CLASSES, TINY_CONFIG)


def save(path, state):
    torch.save({"meta": {"epoch": 36, "CLASSES": ("person", "bicycle")}, "state_dict": state}, path)
    return path


@pytest.fixture
def loaded(tmp_path):
    """A tiny network with the numbers of a checkpoint, and the reference for the same."""
    state = published.checkpoint(*TINY, **TINY_HEADS)
    for stage in range(3):  # louder class scores, so that some pass the threshold
        state[f"roi_head.bbox_head.{stage}.fc_cls.weight"] *= 7
    network = tiny_network().eval()
    load_into(network, save(tmp_path / "tiny.pth", state), published_name)
    reference = published.Reference(state, *TINY[1:])
    reference.proposals, reference.candidates = TINY_CONFIG.test_proposals, TINY_CONFIG.test_candidates
    return network, reference


@pytest.mark.parametrize("name", SIZES)
def test_names_and_shapes_are_those_of_the_published_checkpoints(name):
    with torch.device("meta"):
        network = build_swin_cascade(name, published.CLASSES)
    ours = {published_name(key): tuple(value.shape) for key, value in network.state_dict().items()}
    assert len(ours) == len(network.state_dict())
    assert ours == published.shapes(*SIZES[name])


@pytest.mark.parametrize(
    ("name", "millions"), [("swin-t-cascade", 86), ("swin-s-cascade", 107), ("swin-b-cascade", 145)]
)
def test_parameters_are_as_many_as_published(name, millions):
    with torch.device("meta"):
        network = build_swin_cascade(name, published.CLASSES)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == millions


def test_every_tensor_of_a_checkpoint_is_taken_over(tmp_path):
    state = published.checkpoint(*TINY, **TINY_HEADS)
    network = tiny_network()
    load_into(network, save(tmp_path / "tiny.pth", state), published_name)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state.pop(published_name(name))), name
    assert state == {}


def test_a_partial_or_wrong_checkpoint_is_refused_with_its_tensors(tmp_path):
    state = published.checkpoint(*TINY, **TINY_HEADS)
    missing = ["backbone.norm2.bias", "roi_head.mask_head.1.upsample.weight"]
    for name in missing:
        del state[name]
    state["backbone.absolute_pos_embed"] = torch.zeros(1)
    state["rpn_head.rpn_cls.weight"] = torch.zeros(3, 16)
    network = tiny_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(
        TensorsError, match=r"partial\.pth does not hold .* 2 missing \(backbone.norm2.bias"
    ) as error:
        load_into(network, save(tmp_path / "partial.pth", state), published_name)
    assert error.value.missing == missing
    assert error.value.unknown == ["backbone.absolute_pos_embed"]
    assert error.value.reshaped == ["rpn_head.rpn_cls.weight"]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {}, "hook": pytest.raises}, path)
    with pytest.raises(WeightsError, match="would run code"):
        load_into(tiny_network(), path, published_name)


@pytest.mark.parametrize("size", [(64, 96), (224, 36), (32, 260)], ids=str)
def test_stages_against_the_reference(loaded, size):
    """Maps of odd sizes, smaller than a window, one window wide, and several windows."""
    network, reference = loaded
    image = torch.randn(3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = network.backbone(image[None])
    for level, expected in zip(ours, reference.backbone(image), strict=True):
        torch.testing.assert_close(level[0], expected, atol=2e-5, rtol=1e-4)


def test_detections_against_the_reference(loaded):
    network, reference = loaded
    size = (90, 120)
    image = torch.zeros(3, 96, 128)
    image[:, :90, :120] = torch.randn(3, *size, generator=torch.Generator().manual_seed(2))
    [ours] = network.detect(image[None], [size])
    boxes, scores, labels, masks = reference.detect(image, size, TINY_CONFIG.score_threshold)
    assert 5 < len(boxes) < TINY_CONFIG.max_detections
    torch.testing.assert_close(ours["scores"], scores, atol=1e-5, rtol=1e-4)
    # Where scores are equal but for rounding, the order is a matter of chance; so it is for all the regions
    # that were clipped to nothing at an edge, of which mmdetection keeps every one.
    found = ours["class_scores"].argmax(dim=1)
    apart = torch.cdist(ours["boxes"], boxes, p=torch.inf) + 1e4 * (found[:, None] != labels)
    apart += (ours["scores"][:, None] - scores).abs() * 100
    nearest, match = apart.min(dim=1)
    assert nearest.max() < 2e-3
    real = (ours["boxes"][:, 2:] > ours["boxes"][:, :2]).all(dim=1)
    assert 5 < real.sum() == (boxes[:, 2:] > boxes[:, :2]).all(dim=1).sum()
    assert len(match[real].unique()) == real.sum()
    torch.testing.assert_close(ours["mask_probs"], masks[match], atol=1e-4, rtol=1e-3)
    assert (ours["class_scores"] > 0).sum(dim=1).tolist() == [1] * len(labels)


def test_images_are_scaled_normalised_and_padded_as_by_mmdetection():
    image = np.random.default_rng(0).integers(0, 256, (300, 511, 3), dtype=np.uint8)
    scaled = PREPROCESSING.resize(image)
    assert scaled.shape == (783, 1333, 3)  # 511 pixels become 1333; 300 * 1333 / 511 = 782.58
    padded = np.full((1, 800, 1344, 3), 9, np.uint8)
    padded[0, :783, :1333] = scaled
    batch = PREPROCESSING.normalise(torch.from_numpy(padded).permute(0, 3, 1, 2), [(783, 1333)])
    expected = (scaled - np.array(published.MEAN)) / np.array(published.STD)
    np.testing.assert_allclose(batch[0, :, :783, :1333].permute(1, 2, 0), expected, atol=1e-5)
    assert not batch[0, :, 783:].any()
    assert not batch[0, :, :, 1333:].any()


def test_a_segmenter_finds_what_the_network_finds(loaded):
    network, _ = loaded
    preprocessing = dataclasses.replace(PREPROCESSING, short_side=64, long_side=128)
    segmenter = CascadeSegmenter(network, [f"class {i}" for i in range(published.CLASSES)], preprocessing)
    image = np.random.default_rng(1).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    (found,) = segmenter.segment([image])
    assert len(found)
    assert found.size == (50, 70)
    assert (found.class_scores.max(axis=1) == found.scores).all()


@pytest.mark.slow
def test_a_checkpoint_of_full_size_makes_a_segmenter(tmp_path):
    state = published.checkpoint(*SIZES["swin-t-cascade"])
    path = save(tmp_path / "swin-t.pth", state)
    options = {"device": "cpu", "short_side": 64, "long_side": 96, "min_score": 0.005}
    segmenter = create_segmenter("swin-t-cascade", weights=path, **options)
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    (found,) = segmenter.segment([image])
    assert segmenter.classes[:2] == ("person", "bicycle")
    assert found.class_scores.shape == (len(found), 80)
    save_file(state, tmp_path / "swin-t.safetensors")
    again = create_segmenter("swin-t-cascade", weights=tmp_path / "swin-t.safetensors", **options)
    np.testing.assert_array_equal(again.segment([image])[0].scores, found.scores)
