"""`msnvis train segmenter`: trains `compact` on COCO-format data, partial annotations included."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from msnvis.datasets.coco import ImageRecord, read_class_names, read_coco, split_held_out
from msnvis.datasets.sampler import BalancedSampler, repeat_factors
from msnvis.errors import InputError, MissingExtraError, MsnvisError, OptionError, WeightsError
from msnvis.io.atomic import replacing
from msnvis.segmenters.cascade import CascadeMaskRCNN
from msnvis.segmenters.cascade_segmenter import CascadeSegmenter
from msnvis.segmenters.compact import PREPROCESSING, save_compact, trainable_compact
from msnvis.segmenters.training.augment import Augmentation
from msnvis.segmenters.training.data import TrainingImages, collate
from msnvis.segmenters.training.display import TrainingDisplay
from msnvis.segmenters.training.evaluate import evaluate_segmenter
from msnvis.weights.state import load_weights

CHECKPOINT = "checkpoint.pt"
BEST_WEIGHTS = "best.safetensors"
FINAL_WEIGHTS = "final.safetensors"
HISTORY = "history.jsonl"
#: The figure by which the best weights are chosen.
BEST_METRIC = "any_ap50"


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training; the defaults are those of the shipped weights.

    Attributes:
        data: pairs of a COCO json and the folder of its images; at least one.
        output: folder of checkpoint, history, TensorBoard events and weights.
        steps: optimiser steps in all; the learning rate falls to zero over them.
        batch_size: images a step and process.
        learning_rate: of the heads; the backbone gets `backbone_factor` of it.
        warmup: steps over which the learning rate rises from zero.
        canvases: sides in pixels of the square training images; each batch draws one (multi-scale).
        balance: classes in a smaller share of images than this are drawn more often; 0 switches balancing
        off.
        ema: decay of the running average of the weights, which is what gets exported.
        hold_out: fully labelled images of the first dataset set aside for validation, chosen by `split_seed`.
        validate_every, checkpoint_every: in steps.
        precision: ``no``, ``bf16`` or ``fp16``.
        start_from: weights to fine-tune; tensors of other shapes (another number of classes) start anew.
    """

    data: Sequence[tuple[Path, Path]]
    output: Path
    steps: int = 12000
    batch_size: int = 4
    learning_rate: float = 5e-4
    backbone_factor: float = 0.3
    weight_decay: float = 0.05
    warmup: int = 300
    canvases: tuple[int, ...] = (288, 320, 352)
    augmentation: Augmentation = field(default_factory=Augmentation)
    balance: float = 0.05
    full_images: float = 2.0
    ema: float = 0.998
    hold_out: int = 80
    split_seed: int = 2021
    seed: int = 0
    validate_every: int = 1000
    checkpoint_every: int = 250
    log_every: int = 20
    precision: str = "no"
    workers: int = 1
    start_from: Path | None = None

    def __post_init__(self) -> None:
        if not self.data:
            raise OptionError("give at least one dataset: --annotations JSON --images DIR")
        for name in ("steps", "batch_size", "validate_every", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)} but must be at least 1")
        if any(side < 64 or side % 32 for side in self.canvases) or not self.canvases:
            raise OptionError("canvases are sides in pixels: multiples of 32, at least 64")


def train_segmenter(options: TrainOptions) -> dict[str, float]:
    """Train, or go on with what `options.output` holds.

    Returns:
        The last validation's figures (see `evaluate_segmenter`); empty without held-out images.

    Raises:
        InputError: unreadable data. MissingExtraError: ``pip install msnvis[train]`` is needed.
        WeightsError: the checkpoint is of another training.
    """
    return _Trainer(options).run()


def read_data(options: TrainOptions) -> tuple[tuple[str, ...], list[ImageRecord], list[ImageRecord]]:
    """Class names, training and held-out images."""
    classes = read_class_names(options.data[0][0])
    first, *others = (read_coco(annotations, images, classes) for annotations, images in options.data)
    train, held_out = split_held_out(first, len(classes), options.hold_out, options.split_seed)
    return classes, train + [record for dataset in others for record in dataset], held_out


class _Trainer:
    def __init__(self, options: TrainOptions) -> None:
        self.options = options
        self.accelerator = _accelerator(options.precision)
        self.classes, train, self.held_out = read_data(options)
        if not train:
            raise InputError("no training images are left after holding some out")
        torch.manual_seed(options.seed)
        network = trainable_compact(len(self.classes))
        if options.start_from:
            load_matching(network, options.start_from)
        if self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.average = AveragedModel(
            network, device=self.accelerator.device, avg_fn=self._decay, use_buffers=True
        )
        optimizer = torch.optim.AdamW(parameter_groups(network, options), lr=options.learning_rate)
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        self.step, self.best = 0, -1.0
        self._resume()
        self.loader = self._loader(train)

    def run(self) -> dict[str, float]:
        options, metrics = self.options, {}
        options.output.mkdir(parents=True, exist_ok=True)
        main = self.accelerator.is_main_process
        with TrainingDisplay(options.output, options.steps, enabled=main) as display:
            try:
                for images, targets in self._batches():
                    losses = self._train_step(images, targets)
                    self.step += 1
                    if self.step % options.log_every == 0 or self.step == options.steps:
                        display.losses(self.step, losses, self._learning_rate())
                    if self.step % options.validate_every == 0 or self.step == options.steps:
                        metrics = self._validate(display)
                    if self.step % options.checkpoint_every == 0 or self.step == options.steps:
                        self._save()
            except KeyboardInterrupt:
                self._save()
                raise
        if main:
            save_compact(self.average.module, self.classes, options.output / FINAL_WEIGHTS)
        return metrics

    def _batches(self) -> Iterator[tuple[Tensor, list[dict[str, Tensor]]]]:
        if self.step < self.options.steps:
            for batch in self.loader:
                yield batch
                if self.step >= self.options.steps:
                    return

    def _train_step(self, images: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, float]:
        # Everything random in a step depends on its number alone, so a resumed training repeats it.
        torch.manual_seed(self.options.seed * 1_000_003 + self.step)
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate() * group["factor"]
        batch = PREPROCESSING.normalise(images)
        sizes = [tuple(images.shape[-2:])] * len(images)
        with self.accelerator.autocast():
            losses = self.network(batch, sizes, targets)
            total = sum(losses.values())
        if not torch.isfinite(total):
            raise MsnvisError(
                f"the loss is not finite at step {self.step}; lower the learning rate and run again"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        self.accelerator.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.average.update_parameters(self.accelerator.unwrap_model(self.network))
        return {"loss": total.item()} | {name: value.item() for name, value in losses.items()}

    def _learning_rate(self) -> float:
        """Linear warm-up, then a cosine to zero."""
        options = self.options
        warmup = min(1.0, (self.step + 1) / max(options.warmup, 1))
        return (
            options.learning_rate * warmup * 0.5 * (1 + math.cos(math.pi * min(self.step / options.steps, 1)))
        )

    def _decay(self, average: Tensor, value: Tensor, count: Tensor) -> Tensor:
        """Exponential moving average that forgets the first steps quickly."""
        decay = min(self.options.ema, (1 + int(count)) / (10 + int(count)))
        return average * decay + value * (1 - decay)

    def _validate(self, display: TrainingDisplay) -> dict[str, float]:
        if not self.held_out or not self.accelerator.is_main_process:
            return {}
        network = self.average.module
        metrics = evaluate_segmenter(CascadeSegmenter(network, self.classes, PREPROCESSING), self.held_out)
        network.train()
        display.metrics(self.step, metrics)
        if metrics[BEST_METRIC] > self.best:
            self.best = metrics[BEST_METRIC]
            save_compact(network, self.classes, self.options.output / BEST_WEIGHTS)
        return metrics

    def _loader(self, train: list[ImageRecord]) -> DataLoader:
        options = self.options
        factors = repeat_factors([[a.label for a in r.annotations] for r in train], options.balance)
        factors[[len(r.vouched) == len(self.classes) for r in train]] *= options.full_images
        batch = options.batch_size * self.accelerator.num_processes
        sampler = BalancedSampler(factors, options.seed, start=self.step * batch)
        dataset = TrainingImages(
            train, len(self.classes), options.canvases, batch, options.augmentation, options.seed
        )
        loader = DataLoader(
            dataset,
            options.batch_size,
            sampler=sampler,
            num_workers=options.workers,
            collate_fn=collate,
            persistent_workers=options.workers > 0,
        )
        return self.accelerator.prepare(loader)

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        state: dict[str, Any] = {
            "network": self.accelerator.unwrap_model(self.network).state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "classes": list(self.classes),
            "step": self.step,
            "best": self.best,
        }
        with replacing(self.options.output / CHECKPOINT) as temporary:
            torch.save(state, temporary)

    def _resume(self) -> None:
        path = self.options.output / CHECKPOINT
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
        except Exception as error:
            raise WeightsError(f"{path} is damaged; remove it to start over") from error
        if state["classes"] != list(self.classes):
            raise WeightsError(f"{path} was trained on other classes; choose another --output or remove it")
        self.accelerator.unwrap_model(self.network).load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best = state["step"], state["best"]


def parameter_groups(network: CascadeMaskRCNN, options: TrainOptions) -> list[dict[str, Any]]:
    """Backbone and heads with their shares of the learning rate; norms and biases do not decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            factor = options.backbone_factor if name.startswith("backbone.") else 1.0
            decay = options.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
    return [{"params": p, "factor": f, "weight_decay": d} for (f, d), p in groups.items()]


def load_matching(network: CascadeMaskRCNN, path: Path) -> None:
    """Take over the tensors of `path` that have the name and shape of ours: all but the class logits."""
    own = network.state_dict()
    state = {k: v for k, v in load_weights(path).items() if k in own and own[k].shape == v.shape}
    if not state:
        raise WeightsError(f"{path} has no tensor in common with this network")
    network.load_state_dict(state, strict=False)


def _accelerator(precision: str):
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs
    except ImportError as error:
        raise MissingExtraError("training needs `pip install msnvis[train]`") from error
    # A batch without a single mask leaves the mask head without gradient.
    return Accelerator(
        mixed_precision=precision,
        step_scheduler_with_optimizer=False,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def read_history(output: Path) -> list[dict[str, float]]:
    """The entries of a training's ``history.jsonl``."""
    return [json.loads(line) for line in (output / HISTORY).read_text().splitlines()]
