import dataclasses
import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from killing import weights_after_kills
from pycocotools import mask as coco_mask
from safetensors.torch import load_file

from msnvis import create_segmenter
from msnvis.datasets.coco import Annotation, ImageRecord, read_coco
from msnvis.errors import InputError, OptionError, WeightsError
from msnvis.segmenters.cascade_files import read_classes, save_cascade
from msnvis.segmenters.compact import build_compact
from msnvis.segmenters.training import TrainOptions, train_segmenter
from msnvis.segmenters.training.augment import Augmentation, Sample, augment, jitter, load_sample, paste
from msnvis.segmenters.training.evaluate import summarise
from msnvis.segmenters.training.loop import parameter_groups, read_data
from msnvis.segmenters.training.networks import load_matching
from msnvis.structures import Detections
from msnvis.training.trainer import read_history


def options(shapes, output, **changes):
    base = TrainOptions(
        data=[shapes],
        output=output,
        steps=4,
        batch_size=2,
        canvases=(96,),
        hold_out=2,
        validate_every=100,
        checkpoint_every=2,
        log_every=1,
        workers=0,
    )
    return dataclasses.replace(base, **changes)


def test_an_interrupted_training_ends_with_the_same_weights(shapes, tmp_path):
    metrics = train_segmenter(options(shapes, tmp_path / "whole"))

    class Interrupted(KeyboardInterrupt):
        pass

    from msnvis.training import trainer

    original, seen = trainer.TrainingDisplay.losses, []

    def interrupt(self, step, *rest):
        seen.append(step)
        if step == 3:
            raise Interrupted
        original(self, step, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.TrainingDisplay, "losses", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_segmenter(options(shapes, tmp_path / "parts"))
    train_segmenter(options(shapes, tmp_path / "parts"))
    whole = load_file(tmp_path / "whole" / "final.safetensors")
    parts = load_file(tmp_path / "parts" / "final.safetensors")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert 0 <= metrics["any_ap50"] <= 1
    assert seen == [1, 2, 3]
    steps = [e["step"] for e in read_history(tmp_path / "whole") if e["kind"] == "train"]
    assert steps == [1, 2, 3, 4]


def test_trained_weights_make_a_segmenter_with_its_own_classes(shapes, tmp_path):
    train_segmenter(options(shapes, tmp_path / "run", steps=1))
    segmenter = create_segmenter("compact", weights=tmp_path / "run" / "final.safetensors", device="cpu")
    assert segmenter.classes == ("disc", "box")
    image = cv2.imread(str(shapes[1] / "0.png"))
    (found,) = segmenter.segment([image])
    assert found.size == (80, 80)
    assert found.class_scores.shape == (len(found), 2)


def test_fine_tuning_keeps_all_but_the_class_logits(tmp_path):
    torch.manual_seed(0)
    save_cascade(build_compact(3), "compact", ("a", "b", "c"), tmp_path / "three.safetensors")
    saved = load_file(tmp_path / "three.safetensors")
    network = build_compact(2)
    logits = network.box_heads[0].logits.weight.clone()
    load_matching(network, tmp_path / "three.safetensors")
    assert torch.equal(network.box_heads[0].fc.weight, saved["box_heads.0.fc.weight"].float())
    assert torch.equal(network.box_heads[0].logits.weight, logits)
    assert read_classes(tmp_path / "three.safetensors", "compact") == ("a", "b", "c")


def test_frozen_parts_get_no_optimiser_and_the_backbone_a_smaller_rate(shapes, tmp_path):
    network = build_compact(2)
    network.backbone.freeze(blocks=3)
    groups = parameter_groups(network, options(shapes, tmp_path, backbone_factor=0.25))
    sizes = {g["factor"]: 0 for g in groups}
    for group in groups:
        assert all(p.requires_grad for p in group["params"])
        sizes[group["factor"]] += sum(p.numel() for p in group["params"])
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    backbone = sum(p.numel() for p in network.backbone.parameters() if p.requires_grad)
    assert sizes == {1.0: trained - backbone, 0.25: backbone}
    assert not any(p.requires_grad for p in network.backbone.stem.parameters())
    assert not network.backbone.blocks[10].depthwise.conv.weight.requires_grad
    assert network.backbone.blocks[10].project.conv.weight.requires_grad


def test_what_cannot_be_trained_on_is_refused(shapes, tmp_path):
    with pytest.raises(OptionError, match="dataset"):
        TrainOptions(data=[], output=tmp_path)
    with pytest.raises(OptionError, match="multiples of 32"):
        options(shapes, tmp_path, canvases=(100,))
    with pytest.raises(InputError, match="cannot hold out 50"):
        train_segmenter(options(shapes, tmp_path / "a", hold_out=50))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "checkpoint.pt").write_bytes(b"broken")
    with pytest.raises(WeightsError, match=r"checkpoint\.pt is damaged"):
        train_segmenter(options(shapes, tmp_path / "b"))


def test_the_union_of_datasets_is_trained_on_in_one_label_space(shapes, tmp_path):
    """A dataset of cats and cups joins one with OpenImages' taxis and cats; the cups have no place."""
    path, images = shapes
    content = json.loads(path.read_text())
    del content["images"][6]["exhaustive"]
    content["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "cup"}]
    (tmp_path / "coco.json").write_text(json.dumps(content))
    content["categories"] = [{"id": 1, "name": "Taxi"}, {"id": 2, "name": "Cat"}]
    (tmp_path / "openimages.json").write_text(json.dumps(content))
    union = [(tmp_path / "coco.json", images), (tmp_path / "openimages.json", images)]
    data = read_data(options(shapes, tmp_path, data=union, labels="ytvis2019", hold_out=0))
    assert len(data.classes) == 40
    labels = [data.classes[a.label] for record in data.train for a in record.annotations]
    assert labels == ["cat"] * 5 + ["sedan", "cat"] * 5
    assert {data.classes[label] for label in data.train[0].vouched} == {"cat"}
    assert {data.classes[label] for label in data.train[10].vouched} == {"cat", "sedan"}
    (sentence,) = data.dropped
    assert sentence.endswith("left out 5 annotations of 1 classes that ytvis2019 does not have: cup 5")


def sample(rng, count=3, size=(60, 80)):
    masks = np.zeros((count, *size), np.uint8)
    for mask in masks:
        x, y = rng.integers(0, 40, 2)
        mask[y : y + 20, x : x + 25] = 1
    boxes = np.array([[*cv2.boundingRect(m)] for m in masks], np.float32)
    boxes[:, 2:] += boxes[:, :2]
    image = rng.integers(0, 255, (*size, 3), np.uint8)
    flags = np.ones(count, bool)
    return Sample(image, boxes, np.arange(count), masks, flags, ~flags)


@pytest.mark.parametrize("seed", range(8))
def test_augmented_boxes_are_tight_and_labels_stay_with_their_masks(seed):
    rng = np.random.default_rng(seed)
    other = sample(rng)
    other.labels += 10
    out = augment(sample(rng), other, (96, 64), Augmentation(), rng)
    assert out.image.shape == (96, 64, 3)
    assert out.image.dtype == np.uint8
    for box, mask in zip(out.boxes, out.masks, strict=True):
        ys, xs = np.nonzero(mask)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert len(out.labels) == len(out.masks) == len(out.has_mask) == len(out.crowd)
    assert set(out.labels.tolist()) <= {0, 1, 2, 10, 11, 12}


def test_jitter_moves_image_and_masks_together():
    """The masks of a picture whose foreground is white must be where the white is."""
    rng = np.random.default_rng(0)
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 30:60] = 1
    image = np.repeat((mask * 255)[..., None], 3, axis=2)
    flags = np.ones(1, bool)
    one = Sample(image, np.array([[30, 20, 60, 40]], np.float32), np.zeros(1, int), mask[None], flags, ~flags)
    for _ in range(10):
        out = jitter(one, (96, 96), Augmentation(), rng)
        white = out.image[..., 0] > 200
        union = (white | out.masks[0].astype(bool)).sum() if len(out.masks) else 0
        if union > 300:
            assert (white & out.masks[0].astype(bool)).sum() / union > 0.85


def test_pasted_objects_hide_what_is_behind_them():
    rng = np.random.default_rng(1)
    for _ in range(10):
        below, above = sample(rng), sample(rng)
        above.labels += 10
        out = paste(below, above, rng)
        pasted = out.masks[out.labels >= 10].any(axis=0)
        assert not (out.masks[out.labels < 10] & pasted).any()


def test_images_that_do_not_fit_their_annotation_are_named(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((5, 6, 3), np.uint8))
    with pytest.raises(InputError, match=r"a\.png is 6x5 but annotated as 6x6"):
        load_sample(ImageRecord(tmp_path / "a.png", 6, 6, (), frozenset()))
    with pytest.raises(InputError, match=r"b\.png cannot be read"):
        load_sample(ImageRecord(tmp_path / "b.png", 6, 6, (), frozenset()))


def records_of(masks_and_labels, size=(40, 40)):
    annotations = []
    for mask, label in masks_and_labels:
        rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        x, y, w, h = coco_mask.toBbox(rle)
        annotations.append(Annotation((x, y, x + w, y + h), label, rle))
    return [ImageRecord("none.png", size[1], size[0], tuple(annotations), frozenset({0, 1}))]


def test_average_precision_by_hand():
    """Two objects; found first with IoU 1, second with IoU 0.6, and one false alarm between them."""
    a, b, nothing = (np.zeros((40, 40), bool) for _ in range(3))
    a[:10, :10], b[20:30, 20:30], nothing[35:, 35:] = True, True, True
    loose = b.copy()
    loose[20:30, 20:24] = False  # 60 of 100 pixels
    found = Detections.from_masks(
        np.stack([a, nothing, loose]), scores=[0.9, 0.8, 0.7], class_scores=[[0.9, 0], [0, 0.8], [0, 0.7]]
    )
    metrics = summarise([found], records_of([(a, 0), (b, 1)]), ("x", "y"))
    # Precision 1 up to recall 0.5, then 2/3: (51 * 1 + 50 * 2/3) / 101.
    assert metrics["any_ap50"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    # At thresholds .5, .55 and .6 both are found, above only the first.
    assert metrics["any_ar10"] == pytest.approx((3 * 1 + 7 * 0.5) / 10)
    # Class x is perfect; class y has its false alarm first: precision 1/2.
    assert metrics["ap50"] == pytest.approx((1 + 0.5) / 2)
    assert not [name for name in metrics if name.startswith("ap50_")]  # too few objects of either


def test_no_detections_score_zero():
    a = np.zeros((40, 40), bool)
    a[:10, :10] = True
    metrics = summarise([Detections.empty((40, 40), 2)], records_of([(a, 0)]), ("x", "y"))
    assert metrics["any_ap50"] == metrics["any_ar10"] == metrics["ap50"] == 0


def test_evaluation_reads_what_the_reader_reads(shapes):
    records = read_coco(*shapes)
    found = [
        Detections(
            (80, 80), [a.rle for a in r.annotations if a.rle], np.ones(1, np.float32), np.eye(2)[[label]]
        )
        if (label := r.annotations[0].label) is not None and r.annotations[0].rle
        else Detections.empty((80, 80), 2)
        for r in records
    ]
    assert summarise(found, records, ("disc", "box"))["ap50"] == 1


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(shapes, tmp_path):
    data, images = shapes
    command = ["segmenter", "--annotations", data, "--images", images, "--steps", 7, "--batch-size", 2]
    command += ["--canvas", 96, "--hold-out", 2, "--validate-every", 3, "--checkpoint-every", 2]
    for whole, killed in weights_after_kills(command, tmp_path):
        assert whole.keys() == killed.keys() and all(torch.equal(whole[key], killed[key]) for key in whole)
    assert not list((tmp_path / "killed").glob(".*"))


@pytest.mark.slow
def test_two_processes_train_like_one_with_the_same_images_a_step(shapes, tmp_path):
    data, images = shapes
    command = ["-m", "msnvis", "train", "segmenter", "--annotations", data, "--images", images]
    command += ["--steps", 3, "--canvas", 96, "--hold-out", 2, "--workers", 0, "--validate-every", 2]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    for output, start, batch_size in (("one", [], 4), ("two", launcher, 2)):
        words = [sys.executable, *start, *command, "--batch-size", batch_size, "-o", tmp_path / output]
        subprocess.run([str(word) for word in words], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    one, two = (read_history(tmp_path / output) for output in ("one", "two"))
    # The first process alone writes: each entry is there once.
    assert [(e["kind"], e["step"]) for e in two] == [(e["kind"], e["step"]) for e in one]
    assert len(list((tmp_path / "two").glob("events*"))) == 1
    first, second = one[-2], two[-2]
    assert first["kind"] == second["kind"] == "train"
    # Proposals are sampled in each process for itself; box regression is of all of them, so it shows whether
    # the processes had the same images between them as the one, and whether their mean is what is shown.
    assert second["loss"] == pytest.approx(first["loss"], rel=0.02)
    assert second["loss_rpn_box_reg"] == pytest.approx(first["loss_rpn_box_reg"], rel=1e-3)
    assert torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)["step"] == 3
    weights = load_file(tmp_path / "two" / "final.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())
