from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from msnvis.errors import OptionError, TensorsError, WeightsError
from msnvis.segmenters import create_classifier, create_segmenter
from msnvis.segmenters.transformers_segmenter import TransformersSegmenter, known_classes, without_padding

transformers = pytest.importorskip("transformers", reason="needs msnvis[transformers]")
import tiny_transformers  # noqa: E402

SIZE = (12, 20)


class Queries(torch.nn.Module):
    """Answers with given logits of classes and masks, as Mask2Former does."""

    def __init__(self, classes, masks):
        super().__init__()
        self.answer = torch.nn.ParameterList([torch.tensor(classes), torch.tensor(masks)])
        self.config = SimpleNamespace(model_type="mask2former")

    def forward(self, **inputs):
        classes, masks = (value.data[None].clone() for value in self.answer)
        return SimpleNamespace(class_queries_logits=classes, masks_queries_logits=masks)


def test_overlapping_masks_are_kept_and_stuff_is_left_out():
    masks = np.full((3, 24, 40), -9.0, np.float32)
    masks[0, :, :20], masks[1, :, 10:], masks[2, :12] = 9, 9, 9
    model = Queries(np.array([[4.0, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0]], np.float32), masks)
    processor = transformers.Mask2FormerImageProcessor(
        size={"shortest_edge": 24, "longest_edge": 40}, size_divisor=0
    )
    classes, columns = known_classes(["person", "tvmonitor", "wall-other-merged"], keep_unknown=False)
    segmenter = TransformersSegmenter(model, processor, classes, columns, min_score=0.5, max_detections=9)
    (found,) = segmenter.segment([np.zeros((*SIZE, 3), np.uint8)])
    assert [segmenter.classes[label] for label in found.labels] == ["tv", "person"]
    assert found.boxes.tolist() == [[5, 0, 20, 12], [0, 0, 10, 12]]
    person = np.exp(4) / (np.exp(4) + 3)  # softmax; the masks are less than certain at their edges
    assert found.scores == pytest.approx([1, person], abs=4e-3)


def test_padding_is_no_part_of_the_image():
    """A ramp over the padded image must become the ramp over the image alone."""
    ramp = (torch.arange(40) + 0.5) / 40 * 80  # pixels from the left, at 40 of 80
    outputs = SimpleNamespace(masks_queries_logits=ramp.expand(1, 2, 30, 40))
    pixel_mask = torch.zeros(60, 80)
    pixel_mask[:60, :50] = 1
    without_padding(outputs, pixel_mask)
    assert outputs.masks_queries_logits.shape == (1, 2, 30, 40)
    expected = (torch.arange(40) + 0.5) / 40 * 50
    torch.testing.assert_close(outputs.masks_queries_logits[0, 0, 7, 1:], expected[1:])


def test_results_are_those_of_the_library_where_nothing_is_padded(tmp_path):
    folder = tiny_transformers.save("mask2former", tmp_path)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    model = transformers.Mask2FormerForUniversalSegmentation.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(
        folder, size={"shortest_edge": 64, "longest_edge": 96}
    )
    with torch.inference_mode():
        outputs = model(**processor(images=image, return_tensors="pt"))
    [expected] = processor.post_process_instance_segmentation(
        outputs, threshold=0.0, target_sizes=[(64, 96)], return_binary_maps=True
    )
    segmenter = TransformersSegmenter(
        model, processor, ("a", "b", "c"), {0: 0, 1: 1, 2: 2}, min_score=0.0, max_detections=99
    )
    (found,) = segmenter.segment([image])
    order = sorted(expected["segments_info"], key=lambda s: -s["score"])
    assert found.scores.tolist() == pytest.approx([segment["score"] for segment in order])
    assert found.labels.tolist() == [segment["label_id"] for segment in order]
    masks = expected["segmentation"][[segment["id"] for segment in order]].numpy() > 0
    np.testing.assert_array_equal(found.masks, masks)


def test_a_weak_object_does_not_hide_a_strong_one_where_the_library_paints_one_map():
    """EoMT's post-processing lets the last query win, whatever its score."""
    masks = np.full((2, 16, 16), -9.0, np.float32)
    masks[0], masks[1, :, :8] = 9, 9
    model = Queries(np.array([[6.0, 0, 0], [0, 1, 0]], np.float32), masks)
    model.config.model_type = "eomt"
    processor = transformers.EomtImageProcessor(
        size={"shortest_edge": 16, "longest_edge": 16}, do_pad=True, do_split_image=False
    )
    segmenter = TransformersSegmenter(
        model, processor, ("cat", "dog"), {0: 0, 1: 1}, min_score=0.1, max_detections=9
    )
    (found,) = segmenter.segment([np.zeros((16, 16, 3), np.uint8)])
    assert found.labels.tolist() == [0, 1]
    assert found.boxes.tolist() == [[0, 0, 16, 16], [0, 0, 8, 16]]
    assert found.masks.sum() == 16 * 16 + 8 * 16


def test_labels_that_nobody_knows():
    assert known_classes(["cell", "nucleus"], keep_unknown=False) == ([], {})
    assert known_classes(["cell", "sofa"], keep_unknown=True) == (["cell", "couch"], {0: 0, 1: 1})


def test_a_model_without_known_labels_is_explained(tmp_path):
    model, processor = tiny_transformers.eomt()
    model.config.id2label = {0: "cell", 1: "nucleus", 2: "dust"}
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(OptionError, match=r"such as 'cell'; set keep_unknown"):
        create_segmenter(f"transformers:{tmp_path}", device="cpu")
    segmenter = create_segmenter(f"transformers:{tmp_path}", device="cpu", keep_unknown=True)
    assert segmenter.classes == ("cell", "nucleus", "dust")


def test_a_model_of_another_kind_is_explained(tmp_path):
    config = transformers.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"holds a model of kind 'vit'; segmenters .* are, .* mask2former"):
        create_segmenter(f"transformers:{tmp_path}", device="cpu")


@pytest.mark.parametrize("create", [create_segmenter, create_classifier])
def test_a_model_that_is_not_here_is_explained_without_a_network(create, tmp_path, monkeypatch):
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")
    with pytest.raises(WeightsError, match=r"nobody/has-this-model.* MSNVIS_OFFLINE forbids downloads"):
        create("transformers:nobody/has-this-model")


def test_weights_without_their_heads_are_refused_with_the_list(tmp_path, capfd):
    file = tiny_transformers.save("mask2former", tmp_path) / "model.safetensors"
    weights = load_file(file)
    gone = {name: weights.pop(name) for name in ("class_predictor.bias", "class_predictor.weight")}
    save_file(weights, file, {"format": "pt"})
    capfd.readouterr()
    with pytest.raises(TensorsError, match=r"Mask2Former.* 2 missing \(class_predictor.bias, ") as info:
        create_segmenter(f"transformers:{tmp_path}", device="cpu")
    assert info.value.missing == sorted(gone)
    assert capfd.readouterr().err == ""  # neither bars nor tables of the library
    save_file(weights | {name: torch.zeros(3, 5) for name in gone}, file, {"format": "pt"})
    with pytest.raises(TensorsError, match=r": tensors 2 of another shape \(class_predictor.bias, ") as info:
        create_segmenter(f"transformers:{tmp_path}", device="cpu")
    assert info.value.reshaped == sorted(gone)


def test_damaged_weights_are_refused(tmp_path):
    file = tiny_transformers.save("mask2former", tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"weights in .* are damaged or incomplete \(.*\); get them again"):
        create_segmenter(f"transformers:{tmp_path}", device="cpu")


def test_a_classifier_without_its_last_layer_is_refused(tmp_path):
    config = transformers.ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    transformers.ViTImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(TensorsError, match=r"ViT.* 2 missing \(classifier.bias, "):
        create_classifier(f"transformers:{tmp_path}", device="cpu")
