import dataclasses
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from killing import weights_after_kills
from safetensors.torch import load_file

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedVideo
from msnvis.errors import InputError, OptionError, WeightsError
from msnvis.segmenters import create_segmenter
from msnvis.selection.cells import CellSupervision, Teacher, cell_loss
from msnvis.selection.crops import CropOptions
from msnvis.selection.learned import NETWORKS, load_selector
from msnvis.selection.pair_store import PairStore, write_shard
from msnvis.selection.pairs import FramePairs
from msnvis.selection.training import (
    PairImages,
    SelectorTrainOptions,
    parameter_groups,
    sampling_factors,
    split_pairs,
    train_selector,
)
from msnvis.structures import Detections
from msnvis.training import trainer
from msnvis.training.trainer import read_history

SIZE = (64, 80)


@pytest.fixture
def pairs(tmp_path):
    """Bright boxes on noise: one mask of a pair fits, the other is shifted; which is the first is random."""
    rng = np.random.default_rng(0)
    videos = []
    for number in range(8):
        files, frames = [], []
        for frame in range(4):
            image = rng.integers(0, 90, (*SIZE, 3), np.uint8)
            x, y = rng.integers(4, 30, 2)
            image[y : y + 24, x : x + 30] = 220
            files.append(tmp_path / f"{number}-{frame}.png")
            cv2.imwrite(str(files[-1]), image)
            good, bad = np.zeros((2, *SIZE), bool)
            good[y : y + 24, x : x + 30] = True
            bad[y : y + 24, x + 12 : x + 42] = True
            first_better = bool(rng.random() < 0.5)
            first, second = mask_ops.encode(np.array([good, bad] if first_better else [bad, good]))
            ious = np.array([[1, 0.43] if first_better else [0.43, 1]], np.float32)
            frames.append(
                FramePairs(
                    frame,
                    "truth",
                    np.array([1]),
                    [first],
                    [second],
                    [first if first_better else second],
                    ious,
                    np.array([0.43], np.float32),
                    ious * 0,
                )
            )
        videos.append((AnnotatedVideo(number, f"v{number}", SIZE, tuple(files)), frames))
    write_shard(tmp_path / "pairs" / "pairs-0.safetensors", videos)
    return tmp_path / "pairs"


def options(pairs, output, **changes):
    base = SelectorTrainOptions(
        pairs=pairs if isinstance(pairs, list) else [pairs],
        output=output,
        crops=CropOptions(side=128, context=0.4),
        epochs=1,
        batch_size=6,
        learning_rate=1e-3,
        hold_out=0.25,
        workers=0,
        log_every=1,
        validate_every=100,
        checkpoint_every=100,
    )
    return dataclasses.replace(base, **changes)


def test_videos_are_either_trained_or_validated_on(pairs, tmp_path):
    train, validation = split_pairs(options(pairs, tmp_path))
    store = train.store
    videos = [set(store.video[part.chosen].tolist()) for part in (train, validation)]
    assert not videos[0] & videos[1] and len(videos[1]) == 2
    assert len(train) + len(validation) == len(store) == 32


def test_a_video_in_two_folders_is_trained_or_validated_on_in_both(pairs, tmp_path):
    again = tmp_path / "again"
    shutil.copytree(pairs, again)
    train, validation = split_pairs(options([pairs, again], tmp_path, seed=1))
    names = [{part.store.videos[i] for i in part.store.video[part.chosen]} for part in (train, validation)]
    assert not names[0] & names[1] and len(names[1]) == 2
    assert len(train) + len(validation) == 64


def test_exchanging_the_masks_exchanges_the_label(pairs, tmp_path):
    store = PairStore(pairs)
    images = PairImages(store, np.arange(len(store)), options(pairs, tmp_path, flip=0, colour=0), True)
    plain = PairImages(store, np.arange(len(store)), options(pairs, tmp_path), False)
    seen = set()
    for number in range(8):
        (crop, label), (before, label_before) = images[0, number], plain[0, 0]
        exchanged = bool(label != label_before)
        seen.add(exchanged)
        assert torch.equal(crop, before[[4, 5, 6, 7, 0, 1, 2, 3, 8]] if exchanged else before)
    assert seen == {True, False}
    assert torch.equal(images[3, 5][0], images[3, 5][0])


@pytest.fixture
def pairs_of_two(tmp_path):
    """One frame with two objects side by side, one in a frame of its own; all masks are off by 4 pixels."""
    file = tmp_path / "frame.png"
    cv2.imwrite(str(file), np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8))
    masks = np.zeros((2, 3, *SIZE), bool)
    for number, left in enumerate((10, 34)):
        for k, shift in enumerate((0, 4, 0)):
            masks[number, k, 20:40, left + shift : left + shift + 22] = True
    first, second, truth = (mask_ops.encode(masks[:, k]) for k in range(3))
    ious = np.array([[1, 0.69], [1, 0.69]], np.float32)
    frames = [
        FramePairs(
            frame,
            "truth",
            np.arange(count) + 1,
            first[:count],
            second[:count],
            truth[:count],
            ious[:count],
            ious[:count, 1],
            0 * ious[:count],
        )
        for frame, count in ((0, 2), (1, 1))
    ]
    write_shard(
        tmp_path / "two" / "pairs-0.safetensors", [(AnnotatedVideo(0, "v", SIZE, (file, file)), frames)]
    )
    return tmp_path / "two"


def test_neighbours_are_other_objects_of_the_same_frame(pairs_of_two, pairs):
    store = PairStore(pairs_of_two, pairs)
    assert [store.neighbours(i).tolist() for i in range(4)] == [[1], [0], [], []]
    assert (store.video[0], store.frame[1], store.object[2]) == (0, 0, 1)


@pytest.mark.parametrize("change", [{"resize_masks": 1.0}, {"merge_masks": 1.0}])
def test_masks_are_changed_in_training_only(pairs_of_two, tmp_path, change):
    store = PairStore(pairs_of_two)
    still = options(pairs_of_two, tmp_path, flip=0, colour=0, **change)
    before = PairImages(store, np.arange(len(store)), options(pairs_of_two, tmp_path), False)
    for training in (False, True):
        images = PairImages(store, np.arange(len(store)), still, training)
        same = [torch.equal(images[0, i][0][[3, 7]].sum(0), before[0, 0][0][[3, 7]].sum(0)) for i in range(8)]
        assert all(same) != training
    assert torch.equal(images[1, 5][0], images[1, 5][0])


def test_strong_augmentation_is_for_training_only(pairs, tmp_path):
    store = PairStore(pairs)
    strong = options(pairs, tmp_path, strong_augmentation=1.0)
    plain = PairImages(store, np.arange(len(store)), options(pairs, tmp_path), False)[0, 0][0]
    assert torch.equal(PairImages(store, np.arange(len(store)), strong, False)[0, 3][0], plain)
    images = PairImages(store, np.arange(len(store)), strong, True)
    assert not torch.equal(images[0, 3][0][8], plain[8])
    assert torch.equal(images[0, 3][0], images[0, 3][0]) and images[0, 3][0].shape == plain.shape


def test_crops_are_wider_and_narrower_in_training_only(pairs, tmp_path):
    store = PairStore(pairs)
    varied = options(pairs, tmp_path, flip=0, colour=0, vary_context=1.0)
    before = PairImages(store, np.arange(len(store)), options(pairs, tmp_path), False)
    share = [before[0, 0][0][[3, 7]].sum().item()]
    assert PairImages(store, np.arange(len(store)), varied, False)[0, 3][0][[3, 7]].sum().item() == share[0]
    images = PairImages(store, np.arange(len(store)), varied, True)
    seen = [images[0, number][0][[3, 7]].sum().item() for number in range(12)]
    assert min(seen) < share[0] < max(seen)


def test_a_training_learns_and_its_weights_select(pairs, tmp_path):
    metrics = train_selector(options(pairs, tmp_path / "out", epochs=6, ema=0.5))
    assert metrics["clear_accuracy"] == metrics["accuracy_0.2-1"] >= 0.9
    assert cv2.imread(str(tmp_path / "out" / "calibration.png")) is not None
    selector = load_selector("msn", tmp_path / "out" / "final.safetensors", device="cpu")
    store = PairStore(pairs)
    right = 0
    for index in range(8):
        pair = store[index]
        first, second = (
            Detections(SIZE, [rle], np.zeros(1, np.float32), np.zeros((1, 0)))
            for rle in (pair.first, pair.second)
        )
        right += (selector.prefer(pair.image, first, second)[0] > 0.5) == (pair.ious[0] > pair.ious[1])
    assert right >= 7


def test_msn_lite_keeps_what_its_backbone_knows_of_images(pairs, tmp_path):
    metrics = train_selector(
        options(pairs, tmp_path / "out", network="msn-lite", epochs=6, ema=0.5, both_orders=True)
    )
    assert metrics["clear_accuracy"] >= 0.9
    trained = load_selector("msn-lite", tmp_path / "out" / "final.safetensors", device="cpu").network
    compact = create_segmenter("compact", device="cpu").network.backbone
    image = torch.randn(1, 3, 64, 64)
    blocks = slice(0, 3)
    with torch.inference_mode():
        ours, theirs = trained.backbone.stem(image), compact.stem(image)
        for our_block, their_block in zip(
            trained.backbone.blocks[blocks], compact.blocks[blocks], strict=True
        ):
            ours, theirs = our_block(ours), their_block(theirs)
    # As near as int8 comes.
    assert (ours - theirs).abs().mean() < 0.05 * theirs.abs().mean()
    before, after = (net.blocks[8].project.conv.weight for net in (compact, trained.backbone))
    assert (before - after).abs().max() > 2e-3


def test_a_pretrained_backbone_learns_at_a_fifth_of_the_rate():
    network = CellSupervision(NETWORKS["msn-lite"]())
    others, backbone = parameter_groups(network)
    assert backbone["factor"] == 0.2 and "factor" not in others
    grouped = {id(p) for group in (others, backbone) for p in group["params"]}
    assert grouped == {id(p) for p in network.parameters() if p.requires_grad}
    frozen = [p for p in network.selector.backbone.blocks[2].parameters()]
    assert not grouped & {id(p) for p in frozen}
    assert len(parameter_groups(CellSupervision(NETWORKS["msn"]()))) == 1


def test_an_interrupted_training_ends_with_the_same_weights(pairs, tmp_path, monkeypatch):
    train_selector(options(pairs, tmp_path / "whole"))
    original = trainer.TrainingDisplay.losses

    def interrupt(self, step, *rest):
        if step == 2:
            raise KeyboardInterrupt
        original(self, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.TrainingDisplay, "losses", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_selector(options(pairs, tmp_path / "parts"))
    train_selector(options(pairs, tmp_path / "parts"))
    whole, parts = (load_file(tmp_path / name / "final.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    with pytest.raises(WeightsError, match="other network"):
        train_selector(options(pairs, tmp_path / "parts", network="selector-net"))


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_weights(pairs, tmp_path):
    command = ["selector", "--pairs", pairs, "--epochs", 2, "--batch-size", 6, "--side", 128]
    command += ["--hold-out", 0.25, "--validate-every", 3, "--checkpoint-every", 2]
    for whole, killed in weights_after_kills(command, tmp_path):
        assert whole.keys() == killed.keys() and all(torch.equal(whole[key], killed[key]) for key in whole)


@pytest.mark.slow
def test_two_processes_share_the_pairs_of_an_epoch(pairs, tmp_path):
    """Batch norm, which cannot be told to look at both on a CPU, lets their losses differ a little."""
    command = ["selector", "--pairs", pairs, "--epochs", 1, "--side", 128, "--hold-out", 0.25, "--workers", 0]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    for output, start, batch_size in (("one", [], 6), ("two", launcher, 3)):
        words = [sys.executable, *start, "-m", "msnvis", "train", *command, "--batch-size", batch_size]
        words = [str(word) for word in (*words, "-o", tmp_path / output)]
        subprocess.run(words, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    one, two = (read_history(tmp_path / output) for output in ("one", "two"))
    assert [(e["kind"], e["step"]) for e in two] == [(e["kind"], e["step"]) for e in one]
    assert two[0]["step"] == 4
    assert two[0]["loss"] == pytest.approx(one[0]["loss"], rel=0.2)


def test_the_learning_rate_falls_to_a_tenth(pairs, tmp_path):
    from msnvis.selection.training import SelectorTrainer

    training = SelectorTrainer(options(pairs, tmp_path, epochs=30, decay_every=10, learning_rate=0.01))
    assert training.steps_per_epoch == 4
    rates = []
    for epoch in (0, 9.75, 10, 29.75):
        training.step = int(epoch * 4)
        rates.append(training.learning_rate())
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.001, 0.0001])


def test_pairs_of_several_folders_are_used_together(pairs, tmp_path):
    both = PairStore(pairs, pairs)
    assert len(both) == 2 * len(PairStore(pairs))
    # The same videos again are other videos: nothing of the second folder may pass for the first's.
    assert set(both.video[len(both) // 2 :]).isdisjoint(both.video[: len(both) // 2])
    np.testing.assert_array_equal(both[len(both) // 2].image, both[0].image)
    train, validation = split_pairs(options([pairs, pairs], tmp_path))
    assert len(train) + len(validation) == len(both)


def test_balanced_pairs_favour_neither_side(pairs, tmp_path):
    train, _ = split_pairs(options(pairs, tmp_path / "run"))
    first_better = np.flatnonzero(np.diff(train.store.ious, axis=1)[:, 0] < 0)
    train.chosen = np.setdiff1d(train.chosen, first_better[2:])  # the second mask is nearly always better
    side = np.isin(train.chosen, first_better)
    assert 0 < side.sum() < len(side) / 3
    factors = sampling_factors(train, balance=True)
    assert factors[side].sum() == pytest.approx(factors[~side].sum()) == pytest.approx(len(train) / 2)
    assert sampling_factors(train, balance=False).tolist() == [1.0] * len(train)


def test_pairs_are_drawn_by_what_a_wrong_decision_costs(pairs, tmp_path):
    train, _ = split_pairs(options(pairs, tmp_path))
    train.store.ious[train.chosen] = (0.5, 0.45)
    train.store.ious[train.chosen[:4]] = (0.9, 0.5), (0.5, 0.9), (0.6, 0.5), (0.5, 0.6)
    factors = sampling_factors(train, balance=False, full_margin=0.1)
    assert factors[:4] == pytest.approx([factors[0]] * 4)
    assert factors[4:] == pytest.approx([factors[0] / 2] * (len(train) - 4))
    assert factors.mean() == pytest.approx(1)
    balanced = sampling_factors(train, balance=True, full_margin=0.1)
    assert balanced[[1, 3]].sum() == pytest.approx(len(train) / 2)
    assert balanced[4] == pytest.approx(balanced[0] / 2)


def test_a_balanced_training_keeps_the_best_of_both_sides(pairs, tmp_path):
    metrics = train_selector(options(pairs, tmp_path / "run", balance=True))
    assert 0 <= metrics["balanced_accuracy"] <= 1
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_senseless_options_are_refused(pairs, tmp_path):
    for change in (
        {"network": "mns"},
        {"loss": "hinge"},
        {"hold_out": 1.0},
        {"epochs": 0},
        {"batch_size": 0},
        {"full_margin": -0.1},
        {"resize_masks": 1.5},
        {"merge_masks": -0.5},
        {"vary_context": 2.0},
        {"teacher_weight": -1.0},
        {"teacher_weight": 1.0, "crops": CropOptions(side=120)},
        {"network": "msn-lite", "crops": CropOptions(side=120)},
        {"network": "msn-lite", "crops": CropOptions(side=128, box="each")},
    ):
        with pytest.raises(OptionError):
            options(pairs, tmp_path, **change)
    with pytest.raises(InputError, match="0 pairs are left"):
        train_selector(options(pairs, tmp_path, min_margin=0.9))


def test_a_network_learns_to_see_what_its_teacher_sees(pairs, tmp_path):
    train_selector(options(pairs, tmp_path / "out", epochs=10, teacher_weight=1.0))
    history = [entry for entry in read_history(tmp_path / "out") if entry["kind"] == "train"]
    loss = [entry["loss_teacher"] for entry in history]
    assert np.mean(loss[-4:]) < 0.9 * np.mean(loss[:4])
    with pytest.raises(WeightsError, match="other teacher"):
        train_selector(options(pairs, tmp_path / "out", epochs=10))
    keys = load_file(tmp_path / "out" / "final.safetensors").keys()
    assert all(key.startswith("layers.") for key in keys)


def test_the_teacher_sees_the_image_at_a_16th_of_its_resolution():
    dark, bright = torch.full((2, 3, 64, 96), -1.0), torch.full((2, 3, 64, 96), 1.0)
    seen = Teacher()(torch.cat([dark, bright]))
    assert seen.shape == (4, Teacher.channels, 4, 6)
    torch.testing.assert_close(seen[0], seen[1])
    assert (seen[0] - seen[2]).abs().mean() > 0.5
    torch.testing.assert_close(seen.mean(dim=(0, 2, 3)), torch.zeros(Teacher.channels), atol=1e-4, rtol=0)


def test_training_in_both_orders_is_remembered_by_the_weights(pairs, tmp_path):
    train_selector(options(pairs, tmp_path / "out", both_orders=True, cell_weight=1.0))
    selector = load_selector("msn", tmp_path / "out" / "final.safetensors", device="cpu")
    assert selector.use.average_orders
    pair = PairStore(pairs)[0]
    one = selector.judge(pair.image, [pair.first], [pair.second])
    other = selector.judge(pair.image, [pair.second], [pair.first])
    np.testing.assert_allclose(one + other, 1, atol=1e-6)
    asked_once = load_selector("msn", tmp_path / "out" / "final.safetensors", "cpu", average_orders=False)
    assert not asked_once.use.average_orders


def test_the_weights_know_who_made_the_pairs(pairs, tmp_path):
    (pairs / "recipe.json").write_text('{"segmenter": "compact", "propagator": "flow"}')
    train_selector(options(pairs, tmp_path / "out"))
    selector = load_selector("msn", tmp_path / "out" / "final.safetensors", device="cpu")
    assert selector.trained_on == (("compact", "flow"),)
    unknown = tmp_path / "unknown"
    unknown.mkdir()
    (pairs / "pairs-0.safetensors").rename(unknown / "pairs-0.safetensors")
    assert PairStore(unknown).parts == ()


def test_the_true_mask_is_cut_out_like_the_pair(pairs, tmp_path):
    store = PairStore(pairs)
    images = PairImages(store, np.arange(len(store)), options(pairs, tmp_path), False)
    for index in range(4):
        crop, first_better = images[index, 0]
        assert torch.equal(crop[8], crop[3] if first_better else crop[7])


def test_cells_count_what_the_masks_disagree_on():
    first, second = torch.zeros(2, 1, 1, 8, 16, dtype=torch.bool)
    first[..., :8] = True  # of the left cell; in the right one both are empty
    logits = torch.tensor([[[[0.0, 0.0]]]])
    everywhere = torch.ones_like(first)
    assert cell_loss(logits, first, second, everywhere).item() == pytest.approx(np.log(2))
    sure = torch.tensor([[[[-1.0, 0.0]]]])
    # By hand: the left cell weighs 1.1 a pixel, the right one 0.1.
    differ, agree = 1.1 * np.log1p(np.e), 0.1 * np.log(2)
    assert cell_loss(sure, first, second, everywhere).item() == pytest.approx((differ + agree) / 1.2)
