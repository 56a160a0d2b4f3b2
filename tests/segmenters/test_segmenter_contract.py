"""What every segmenter must do. One that needs no download gets these tests by an entry in `MAKERS`."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from msnvis.datasets.labels import label_space
from msnvis.errors import OptionError, UnknownPartError, WeightsError
from msnvis.segmenters import create_segmenter
from msnvis.segmenters.cascade import CascadeMaskRCNN
from msnvis.segmenters.cascade_config import PUBLISHED
from msnvis.segmenters.cascade_segmenter import CascadeSegmenter
from msnvis.segmenters.swin import SwinConfig, SwinFeatures
from msnvis.segmenters.swin_cascade import PREPROCESSING
from msnvis.segmenters.torchvision_segmenter import TorchvisionSegmenter

SIZES = ((48, 64), (40, 30), (48, 64))


def precomputed(tmp_path):
    def counts(height, width, first):
        return {"size": [height, width], "counts": [first, 10, height * width - first - 10]}

    entries = [
        {"image_id": frame, "category_id": 18, "score": score, "segmentation": counts(*size, 50 * n)}
        for frame, size in enumerate(SIZES[:2])
        for n, score in enumerate((0.25, 0.75, 0.5))
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(entries))
    return create_segmenter("precomputed", path=path)


def torchvision(version):
    def make(tmp_path):
        torch.manual_seed(1)
        name = f"torchvision:maskrcnn_resnet50_fpn{version}"
        segmenter = create_segmenter(
            name, device="cpu", pretrained=False, min_side=64, score_threshold=0.0, max_detections=5
        )
        # Untrained, it would find nothing but empty masks, and that slowly, among 1000 proposals.
        torch.nn.init.constant_(segmenter._model.roi_heads.mask_predictor.mask_fcn_logits.bias, 5.0)
        segmenter._model.rpn._post_nms_top_n["testing"] = 20
        return segmenter

    return make


def swin_cascade(tmp_path):
    network = CascadeMaskRCNN(
        SwinFeatures(SwinConfig(8, (1, 2, 1, 1), (1, 1, 2, 2), drop_path=0.2)),
        80,
        replace(PUBLISHED, channels=8, box_fc=8, test_proposals=20, score_threshold=0.0, max_detections=5),
    )
    preprocessing = replace(PREPROCESSING, short_side=48, long_side=80)
    return CascadeSegmenter(network, label_space("coco").classes, preprocessing)


def transformers(kind):
    def make(tmp_path):
        pytest.importorskip("transformers", reason="needs msnvis[transformers]")
        import tiny_transformers

        folder = tiny_transformers.save(kind, tmp_path)
        return create_segmenter(f"transformers:{folder}", device="cpu", min_score=0.0)

    return make


MAKERS = {
    "precomputed": precomputed,
    "swin cascade": swin_cascade,
    "mask2former": transformers("mask2former"),
    "maskformer": transformers("maskformer"),
    "eomt": transformers("eomt"),
    "rf-detr": transformers("rf_detr"),
    "torchvision v1": torchvision(""),
    "torchvision v2": torchvision("_v2"),
}


@pytest.fixture(scope="module", params=MAKERS)
def segmenter(request, tmp_path_factory):
    return MAKERS[request.param](tmp_path_factory.mktemp("segmenter"))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


@pytest.fixture(scope="module")
def batch(segmenter, images):
    segmenter.reset()
    return segmenter.segment(images)


def test_one_result_an_image_of_its_size(batch, images, segmenter):
    assert len(batch) == len(images)
    assert any(len(found) for found in batch)
    for found, image in zip(batch, images, strict=True):
        assert found.size == image.shape[:2]
        assert found.masks.shape == (len(found), *image.shape[:2])
        assert found.masks.any(axis=(1, 2)).all()
        assert found.class_scores.shape == (len(found), len(segmenter.classes))
        assert found.scores.dtype == found.class_scores.dtype == np.float32
        assert found.ids is None


def test_scores_are_sorted_and_between_0_and_1(batch):
    for found in batch:
        assert (np.diff(found.scores) <= 0).all()
        for values in (found.scores, found.class_scores):
            assert ((values >= 0) & (values <= 1)).all()


def test_a_batch_gives_what_single_images_give(segmenter, batch, images):
    segmenter.reset()
    for image, together in zip(images, batch, strict=True):
        (alone,) = segmenter.segment([image])
        assert alone.rles == together.rles
        np.testing.assert_array_equal(alone.scores, together.scores)
        np.testing.assert_array_equal(alone.class_scores, together.class_scores)


def test_reset_starts_again_and_images_are_left_alone(segmenter, batch, images):
    before = [image.copy() for image in images]
    segmenter.reset()
    again = segmenter.segment(images)
    assert [found.rles for found in again] == [found.rles for found in batch]
    assert all(np.array_equal(a, b) for a, b in zip(before, images, strict=True))


def test_no_images_no_results(segmenter):
    assert segmenter.segment([]) == []


class Detector(torch.nn.Module):
    """Finds a dog, something at a gap in COCO's numbering, and an empty mask."""

    def forward(self, images):
        masks = torch.zeros(3, 1, *images[0].shape[1:])
        masks[:2, 0, 1:3, 2:5] = 0.75
        masks[2] = 0.25
        return [
            {"labels": torch.tensor([18, 12, 1]), "scores": torch.tensor([0.75, 0.5, 0.25]), "masks": masks}
        ]


def test_torchvision_labels_become_coco_names():
    segmenter = TorchvisionSegmenter(Detector(), torch.device("cpu"))
    (found,) = segmenter.segment([np.zeros((6, 8, 3), np.uint8)])
    assert [segmenter.classes[label] for label in found.labels] == ["dog"]
    assert found.boxes.tolist() == [[2, 1, 5, 3]]
    assert found.class_scores.sum() == found.scores[0] == 0.75


def test_torchvision_weights_from_a_file(tmp_path):
    name = "torchvision:maskrcnn_resnet50_fpn"
    first = create_segmenter(name, device="cpu", pretrained=False)
    torch.save(first._model.state_dict(), tmp_path / "net.pth")
    second = create_segmenter(name, device="cpu", weights=tmp_path / "net.pth")
    ours, theirs = first._model.state_dict(), second._model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    with pytest.raises(WeightsError, match="does not hold the weights of this MaskRCNN"):
        create_segmenter(f"{name}_v2", device="cpu", weights=tmp_path / "net.pth")


def test_torchvision_offline_says_what_to_download(tmp_path, monkeypatch):
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")
    monkeypatch.setenv("MSNVIS_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"https://\S+maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"):
        create_segmenter("torchvision:maskrcnn_resnet50_fpn")


def test_unknown_names():
    with pytest.raises(UnknownPartError, match="did you mean 'torchvision:maskrcnn_resnet50_fpn"):
        create_segmenter("torchvision:maskrcnn_resnet50")
    with pytest.raises(OptionError, match="gives no masks"):
        create_segmenter("torchvision:fasterrcnn_resnet50_fpn")
    with pytest.raises(UnknownPartError, match="did you mean 'precomputed"):
        create_segmenter("precomputted")
    with pytest.raises(OptionError, match="device 'gpu' cannot be used"):
        create_segmenter("torchvision:maskrcnn_resnet50_fpn", pretrained=False, device="gpu")
