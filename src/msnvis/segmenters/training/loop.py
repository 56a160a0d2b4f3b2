"""`msnvis train segmenter`: trains a Cascade Mask R-CNN on COCO-format data, partial annotations included."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from msnvis.datasets.coco import ImageRecord, read_category_ids, read_class_names, read_coco, split_held_out
from msnvis.datasets.labels import LabelSpace, label_space
from msnvis.datasets.mapping import dropped_sentence
from msnvis.datasets.sampler import repeat_factors
from msnvis.errors import InputError, OptionError
from msnvis.segmenters import compact
from msnvis.segmenters.cascade import CascadeMaskRCNN, Target
from msnvis.segmenters.cascade_files import save_cascade
from msnvis.segmenters.cascade_segmenter import CascadeSegmenter
from msnvis.segmenters.training.augment import Augmentation
from msnvis.segmenters.training.data import TrainingImages, collate
from msnvis.segmenters.training.evaluate import evaluate_segmenter
from msnvis.segmenters.training.networks import check_network, load_matching, trainable
from msnvis.terminal import neutral
from msnvis.training.trainer import Trainer, TrainerOptions


@dataclass(frozen=True, kw_only=True)
class TrainOptions(TrainerOptions):
    """Options of a training; the defaults are those of the shipped weights.

    Attributes, beside those of `TrainerOptions`:
        data: pairs of a COCO json and the folder of its images; at least one.
        network: one of `NETWORKS`.
        imagenet: start from a backbone trained on ImageNet, unless `start_from` is given; `compact` always
            does.
        steps: optimiser steps in all.
        decay_at: shares of the steps after which the learning rate falls to a tenth; it falls to zero by a
            cosine when none is given.
        backbone_factor: share of the learning rate, which is that of the heads, for the backbone.
        canvases: sides in pixels of the square training images; each batch draws one (multi-scale).
        short_sides, long_side: if there are short sides, each image keeps its proportions and is scaled so
            that its short side has one of these, unless its long side would exceed `long_side` pixels.
        balance: classes in a smaller share of images than this are drawn more often; 0 switches balancing
            off.
        full_images: how much oftener fully labelled images are drawn; they alone give the proposals
            negatives.
        hold_out: fully labelled images of the first dataset set aside for validation, chosen by `split_seed`.
        labels: name of the label space that the classes of all datasets are carried over to; those of the
            first dataset when not given.
        start_from: weights to fine-tune; tensors of other shapes (another number of classes) start anew.
    """

    data: Sequence[tuple[Path, Path]]
    network: str = compact.ARCHITECTURE
    imagenet: bool = True
    steps: int = 12000
    decay_at: tuple[float, ...] = ()
    batch_size: int = 4
    learning_rate: float = 5e-4
    backbone_factor: float = 0.3
    weight_decay: float = 0.05
    warmup: int = 300
    canvases: tuple[int, ...] = (416, 448, 480)
    short_sides: tuple[int, ...] = ()
    long_side: int = 1333
    augmentation: Augmentation = field(default_factory=Augmentation)
    balance: float = 0.05
    full_images: float = 2.0
    hold_out: int = 80
    split_seed: int = 2021
    labels: str | None = None
    start_from: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data:
            raise OptionError("give at least one dataset: --annotations JSON --images DIR")
        if self.steps < 1:
            raise OptionError(f"steps is {self.steps} but must be at least 1")
        if any(side < 64 or side % 32 for side in self.canvases) or not self.canvases:
            raise OptionError("canvases are sides in pixels: multiples of 32, at least 64")
        if any(side < 64 for side in (*self.short_sides, self.long_side)):
            raise OptionError("short and long sides are pixels, at least 64")
        if not all(0 < share < 1 for share in self.decay_at):
            raise OptionError("decay_at are shares of the training, between 0 and 1")
        check_network(self.network)


def train_segmenter(options: TrainOptions) -> dict[str, float]:
    """Train, or go on with what `options.output` holds.

    Returns:
        The last validation's figures (see `evaluate_segmenter`); empty without held-out images.

    Raises:
        InputError: unreadable data. MissingExtraError: ``pip install msnvis[train]`` is needed.
        WeightsError: the checkpoint is of another training.
    """
    return SegmenterTrainer(options).run()


@dataclass(frozen=True)
class TrainingData:
    """What is trained on.

    Attributes:
        classes: K names.
        train: images to train on.
        held_out: images to validate on.
        dropped: annotations of classes without a place among `classes`, in a sentence for each dataset.
    """

    classes: tuple[str, ...]
    train: list[ImageRecord]
    held_out: list[ImageRecord]
    dropped: list[str]


def read_data(options: TrainOptions) -> TrainingData:
    """Read the union of the datasets."""
    space = label_space(options.labels) if options.labels else _own_classes(options.data[0][0])
    datasets, sentences = [], []
    for path, images in options.data:
        dropped: Counter[str] = Counter()
        datasets.append(read_coco(path, images, space if options.labels else space.classes, dropped))
        if dropped:
            sentences.append(f"{path}: {dropped_sentence(dropped, space, 'annotations')}")
    train, held_out = split_held_out(datasets[0], len(space.classes), options.hold_out, options.split_seed)
    return TrainingData(
        space.classes, train + [record for dataset in datasets[1:] for record in dataset], held_out, sentences
    )


def _own_classes(annotations: Path) -> LabelSpace:
    return LabelSpace("the first dataset", read_class_names(annotations), read_category_ids(annotations))


class SegmenterTrainer(Trainer):
    """Trains one of `NETWORKS`."""

    best_metric = "any_ap50"

    def __init__(self, options: TrainOptions) -> None:
        data = read_data(options)
        self.classes, self.held_out, train = data.classes, data.held_out, data.train
        if not train:
            raise InputError("no training images are left after holding some out")
        torch.manual_seed(options.seed)
        made = trainable(options.network, len(self.classes), options.imagenet and not options.start_from)
        network, self.preprocessing = made.network, made.preprocessing
        if options.short_sides:
            sides = {"short_side": max(options.short_sides), "long_side": options.long_side}
            self.preprocessing = replace(made.preprocessing, **sides)
        if options.start_from:
            load_matching(network, options.start_from, options.network)
        images = TrainingImages(
            train,
            len(self.classes),
            options.canvases,
            options.batch_size,
            options.augmentation,
            options.seed,
            options.short_sides,
            options.long_side,
        )
        super().__init__(
            options,
            network,
            parameter_groups(network, options),
            images,
            self._factors(train, options),
            options.steps,
            {"classes": list(self.classes)} | self._network_identity(options),
            collate,
        )
        if self.accelerator.is_main_process:
            for sentence in data.dropped:
                print(f"msnvis: warning: {neutral(sentence)}", file=sys.stderr)

    @staticmethod
    def _network_identity(options: TrainOptions) -> dict[str, str]:
        # Checkpoints of compact do not name it.
        return {} if options.network == compact.ARCHITECTURE else {"network": options.network}

    def losses(self, batch: tuple[Tensor, list[tuple[int, int]], list[Target]]) -> dict[str, Tensor]:
        images, sizes, targets = batch
        return self.network(self.preprocessing.normalise(images, sizes), sizes, targets)

    def learning_rate(self) -> float:
        """Linear warm-up, then tenths at given shares of the training, or a cosine to zero."""
        done = min(self.step / self.steps, 1)
        if self.options.decay_at:
            factor = 0.1 ** sum(done >= share for share in self.options.decay_at)
        else:
            factor = 0.5 * (1 + math.cos(math.pi * done))
        return self.options.learning_rate * self.warmed_up() * factor

    def validate(self) -> dict[str, float]:
        if not self.held_out:
            return {}
        network = self.average.module
        segmenter = CascadeSegmenter(network, self.classes, self.preprocessing)
        metrics = evaluate_segmenter(segmenter, self.held_out)
        network.train()
        return metrics

    def save_weights(self, path: Path) -> None:
        save_cascade(self.average.module, self.options.network, self.classes, path)

    def _factors(self, train: list[ImageRecord], options: TrainOptions) -> np.ndarray:
        """How often each image is drawn: by its rarest class, and by how much of it is labelled."""
        factors = repeat_factors([[a.label for a in r.annotations] for r in train], options.balance)
        factors[[len(r.vouched) == len(self.classes) for r in train]] *= options.full_images
        return factors


def parameter_groups(network: CascadeMaskRCNN, options: TrainOptions) -> list[dict[str, Any]]:
    """Backbone and heads with their shares of the learning rate; norms, biases and position
    biases do not decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            factor = options.backbone_factor if name.startswith("backbone.") else 1.0
            decays = parameter.ndim > 1 and not name.endswith("relative_position_bias_table")
            decay = options.weight_decay if decays else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
    return [{"params": p, "factor": f, "weight_decay": d} for (f, d), p in groups.items()]
