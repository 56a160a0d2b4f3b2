import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from msnvis import masks as mask_ops
from msnvis.errors import OptionError
from msnvis.segmenters import create_segmenter
from msnvis.selection.crops import CropOptions, crop_pairs, normalise_pairs
from msnvis.selection.lite import LiteMaskSelectionNetwork
from msnvis.selection.network_selector import NetworkSelector, Use
from msnvis.selection.networks import MaskSelectionNetwork, SelectorNetwork, aggregate
from msnvis.structures import Detections

SIZE = (48, 64)


def box_mask(x1, y1, x2, y2, size=SIZE):
    mask = np.zeros(size, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def detections(*masks):
    return Detections.from_masks(np.array(masks), [0.5] * len(masks), [[]] * len(masks))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)


@pytest.mark.parametrize(
    ("network", "parameters", "macs"),
    [(MaskSelectionNetwork, 11.16e6, 2.22e9), (SelectorNetwork, 11.7e6, 19.4e9)],
)
def test_sizes_are_those_of_table_1(network, parameters, macs):
    with torch.device("meta"):
        model = network().eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 8, network.side, network.side))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(parameters, rel=0.002)
    assert counter.get_total_flops() / 2 == pytest.approx(macs, rel=0.003)


def test_msn_judges_36_patches():
    with torch.device("meta"):
        assert MaskSelectionNetwork()(torch.zeros(3, 8, 256, 256), patches=True).shape == (3, 6, 6)


def test_msn_lite_judges_a_patch_of_16_pixels_each():
    network = LiteMaskSelectionNetwork().eval()
    logits, features = network.judge(torch.randn(2, 8, 96, 128))
    assert logits.shape == (2, 6, 8) and features.shape == (2, 512, 6, 8)


def test_msn_lite_begins_with_what_compact_sees_whatever_the_masks():
    network = LiteMaskSelectionNetwork().eval()
    network.start_from_compact()
    image, masks = torch.randn(1, 3, 64, 96), torch.randn(1, 2, 64, 96).sign()
    backbone = create_segmenter("compact", device="cpu").network.backbone
    with torch.inference_mode():
        levels = network._levels(network._see(image), masks)
        for ours, theirs in zip(levels, backbone(image), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_msn_lite_asked_in_both_orders_at_once_says_the_same_as_asked_twice():
    torch.manual_seed(0)
    network = LiteMaskSelectionNetwork().eval()
    nn.init.normal_(network.masks[-1].weight)
    image, masks = torch.randn(3, 3, 64, 96), torch.randn(3, 2, 64, 96).sign()
    first, second = (torch.cat([image, masks[:, k : k + 1]], dim=1) for k in (0, 1))
    with torch.inference_mode():
        one, other = network(torch.cat([first, second], 1)), network(torch.cat([second, first], 1))
        at_once = network.in_both_orders(torch.cat([first, second], 1))
    torch.testing.assert_close(at_once, (one - other) / 2)
    assert at_once.abs().min() > 1e-5


def test_msn_lite_sees_every_pixel_of_both_masks():
    torch.manual_seed(0)
    network = LiteMaskSelectionNetwork().eval()
    nn.init.normal_(network.masks[-1].weight)
    pair = torch.randn(1, 8, 64, 64, requires_grad=True)
    network(pair).sum().backward()
    assert (pair.grad[0, [3, 7]] != 0).all()


def test_aggregation_by_hand():
    patches = torch.tensor([[4.0, -1.0, -1.0, -1.0]])
    assert aggregate(patches, "logit").item() == pytest.approx(0.25)
    mean = (1 / (1 + np.exp(-4)) + 3 / (1 + np.exp(1))) / 4
    assert aggregate(patches, "probability").sigmoid().item() == pytest.approx(mean, abs=1e-5)
    assert aggregate(patches, "vote").sigmoid().item() == pytest.approx(0.25, abs=1e-5)


def test_a_crop_of_the_union_by_hand(image):
    first, second = box_mask(8, 8, 24, 24), box_mask(16, 8, 40, 40)
    pair = crop_pairs(
        image, mask_ops.encode(first[None]), mask_ops.encode(second[None]), CropOptions(side=32)
    )[0]
    crop = image[8:40, 8:40]
    np.testing.assert_array_equal(pair[:3].transpose(1, 2, 0), crop)
    np.testing.assert_array_equal(pair[4:7], pair[:3])
    np.testing.assert_array_equal(pair[3], first[8:40, 8:40] * 255)
    np.testing.assert_array_equal(pair[7], second[8:40, 8:40] * 255)


def test_a_crop_for_each_mask_and_of_the_whole_frame(image):
    first, second = (mask_ops.encode(m[None]) for m in (box_mask(0, 0, 32, 32), box_mask(32, 16, 64, 48)))
    pair = crop_pairs(image, first, second, CropOptions(side=32, box="each", masked=True))[0]
    np.testing.assert_array_equal(pair[4:7].transpose(1, 2, 0), image[16:48, 32:64])
    assert (pair[[3, 7]] == 255).all()
    whole = crop_pairs(image, first, second, CropOptions(side=64, box="frame"))[0]
    np.testing.assert_array_equal(
        whole[:3].transpose(1, 2, 0), cv2.resize(image, (64, 64), interpolation=cv2.INTER_LINEAR)
    )


def test_masking_hides_what_is_outside(image):
    first, second = (mask_ops.encode(m[None]) for m in (box_mask(0, 0, 32, 32), box_mask(0, 0, 16, 32)))
    pair = crop_pairs(image, first, second, CropOptions(side=32, masked=True))[0]
    np.testing.assert_array_equal(pair[:3].transpose(1, 2, 0), image[:32, :32])
    assert not pair[4:7, :, 16:].any()


def test_context_stops_at_the_edge_of_the_image(image):
    rles = mask_ops.encode(box_mask(0, 0, 16, 32)[None])
    pair = crop_pairs(image, rles, rles, CropOptions(side=32, context=1.0))[0]
    # Eight pixels to the right, none to the left; sixteen below, none above.
    expected = cv2.resize(image[0:48, 0:24], (32, 32), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(pair[:3].transpose(1, 2, 0), expected)


def test_normalised_range():
    assert normalise_pairs(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


def test_senseless_options_are_refused():
    with pytest.raises(OptionError, match="union"):
        CropOptions(box="round")


class Larger(nn.Module):
    """Prefers the larger mask, with a bias to the first."""

    def forward(self, pairs):
        return (pairs[:, 3] - pairs[:, 7]).mean(dim=(1, 2)) + 0.3


@pytest.fixture
def pair():
    return detections(box_mask(8, 8, 40, 40)), detections(box_mask(8, 8, 40, 36))


def selector(average_orders=False, **options):
    return NetworkSelector(Larger(), Use(CropOptions(side=32), average_orders), device="cpu", **options)


def test_averaging_both_orders_removes_every_bias(image, pair):
    first, second = pair
    biased = selector().prefer(image, first, second) + selector().prefer(image, second, first)
    assert biased[0] > 1.05
    fair = selector(average_orders=True)
    there, back = fair.prefer(image, first, second), fair.prefer(image, second, first)
    assert there[0] > 0.5
    np.testing.assert_allclose(there + back, 1, atol=1e-6)


def test_pairs_that_are_alike_are_left_to_the_score(image, pair):
    first, second = pair
    first.scores[:], second.scores[:] = 0.1, 0.9
    assert selector().prefer(image, first, second)[0] > 0.5
    assert selector(skip_iou=0.8).prefer(image, first, second)[0] == pytest.approx(0.1)


def test_the_scores_are_added_to_what_the_network_says(image, pair):
    first, second = pair
    first.scores[:], second.scores[:] = 0.25, 0.75
    alone = selector().prefer(image, first, second)[0]
    both = selector(score_weight=3.0).prefer(image, first, second)[0]
    # Odds are multiplied by e to the weighted difference of the scores.
    assert both / (1 - both) == pytest.approx(alone / (1 - alone) * np.exp(3 * (0.25 - 0.75)), rel=1e-4)
    fair = selector(average_orders=True, score_weight=3.0)
    there, back = fair.prefer(image, first, second), fair.prefer(image, second, first)
    np.testing.assert_allclose(there + back, 1, atol=1e-6)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_senseless_weight_of_the_scores_is_refused(weight):
    with pytest.raises(OptionError, match="score_weight"):
        selector(score_weight=weight)


def test_empty_masks_lose_without_being_shown(image, pair):
    empty = detections(np.zeros(SIZE, bool))
    assert selector().prefer(image, empty, pair[1]).tolist() == [0]
    assert selector().prefer(image, pair[0], empty).tolist() == [1]


def test_one_pair_and_many_give_the_same(image):
    torch.manual_seed(0)
    network = MaskSelectionNetwork()
    rng = np.random.default_rng(1)
    masks = [box_mask(x, y, x + w, y + 20) for x, y, w in rng.integers(1, 28, (2 * 66, 3))]
    chooser = NetworkSelector(network, Use(CropOptions(side=128)), device="cpu", skip_iou=1.0)
    first, second = detections(*masks[:66]), detections(*masks[66:])
    together = chooser.prefer(image, first, second)
    alone = [chooser.prefer(image, first[[i]], second[[i]])[0] for i in (0, 1, 63, 64, 65)]
    np.testing.assert_allclose(together[[0, 1, 63, 64, 65]], alone, atol=1e-5)
    assert together.std() > 0
