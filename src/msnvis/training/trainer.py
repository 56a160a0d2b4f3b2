"""The loop of every training: optimiser steps, running average, validation, checkpoints, resuming."""

from __future__ import annotations

import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from msnvis.datasets.sampler import BalancedSampler
from msnvis.errors import MissingExtraError, MsnvisError, OptionError, WeightsError
from msnvis.io.atomic import replacing
from msnvis.io.lock import locked
from msnvis.training.display import HISTORY, TrainingDisplay

CHECKPOINT = "checkpoint.pt"
BEST_WEIGHTS = "best.safetensors"
FINAL_WEIGHTS = "final.safetensors"
#: The first process validates alone; the others wait for it so long before they give up.
_VALIDATION_TIME = timedelta(hours=4)


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """Options of every training.

    Attributes:
        output: folder of checkpoint, history, TensorBoard events and weights.
        batch_size: samples a step and process.
        learning_rate: the highest.
        warmup: steps over which the learning rate rises from zero.
        ema: decay of the running average of the weights, which is what gets validated and exported.
        seed: of everything random.
        validate_every, checkpoint_every, log_every: in steps.
        precision: ``no``, ``bf16`` or ``fp16``.
        workers: processes that load samples.
    """

    output: Path
    batch_size: int
    learning_rate: float
    warmup: int = 0
    weight_decay: float = 0.0
    ema: float = 0.998
    seed: int = 0
    validate_every: int = 1000
    checkpoint_every: int = 250
    log_every: int = 20
    precision: str = "no"
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("batch_size", "validate_every", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)} but must be at least 1")


class Trainer(ABC):
    """Trains `network`, or goes on with what ``options.output`` holds.

    A subclass says what the loss is, how to validate, and what the weights file looks like.

    Args:
        options: see there.
        network: on the CPU.
        groups: of the optimiser (AdamW): parameters, and ``factor``, their share of the learning rate.
        dataset: answers to ``(index, sample number)``; everything random about an item must depend on these
            and the seed alone.
        factors: ``(N,)`` how often to draw each sample an epoch.
        steps: in all.
        identity: what must not change between a checkpoint and the training that goes on with it.
        collate: as of PyTorch's `DataLoader`.

    Raises:
        WeightsError: the checkpoint is damaged or of another training.
        MissingExtraError: ``pip install msnvis[train]`` is needed.
    """

    #: The figure of the validation by which the best weights are chosen; higher is better.
    best_metric: str

    def __init__(
        self,
        options: TrainerOptions,
        network: nn.Module,
        groups: list[dict[str, Any]],
        dataset: Dataset,
        factors: np.ndarray,
        steps: int,
        identity: Mapping[str, Any],
        collate: Callable[[list], Any] | None = None,
    ) -> None:
        self.options, self.steps, self.identity = options, steps, dict(identity)
        self.accelerator = make_accelerator(options.precision)
        if self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.average = AveragedModel(
            network, device=self.accelerator.device, avg_fn=self._decay, use_buffers=True
        )
        optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, weight_decay=options.weight_decay)
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        self.step, self.validated, self.best = 0, 0, -1.0
        self._is_whole = True  # not while a step changes the weights
        self._resume()
        self.loader = self._make_loader(dataset, factors, collate)

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Every loss of a batch, already weighted; their sum is minimised."""

    @abstractmethod
    def learning_rate(self) -> float:
        """At `self.step`."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures of the running average; empty where there is nothing to validate on."""

    @abstractmethod
    def save_weights(self, path: Path) -> None:
        """Export the running average."""

    def run(self) -> dict[str, float]:
        """Train to the end; what is done by an interruption is kept.

        Returns:
            The last validation's figures.
        """
        metrics: dict[str, float] = {}
        output, main = self.options.output, self.accelerator.is_main_process
        with (
            locked(output) if main else nullcontext(),
            TrainingDisplay(output, self.steps, enabled=main, begun=self.step) as display,
        ):
            try:
                if self.validated < self.step and self._is_due(self.options.validate_every):
                    metrics = self._validate(display)  # which was interrupted
                for batch in self._batches():
                    losses = self._train_step(batch)
                    if self._is_due(self.options.log_every):
                        display.losses(self.step, losses, self.learning_rate())
                    if self._is_due(self.options.validate_every):
                        metrics = self._validate(display)
                    if self._is_due(self.options.checkpoint_every):
                        self._save()
            except KeyboardInterrupt:
                if self._is_whole:
                    self._save()
                raise
            if main:
                self.save_weights(output / FINAL_WEIGHTS)
        self.accelerator.end_training()
        return metrics

    def warmed_up(self) -> float:
        """Share of the learning rate that the warm-up grants."""
        return min(1.0, (self.step + 1) / max(self.options.warmup, 1))

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.steps

    def _batches(self) -> Iterator[Any]:
        if self.step < self.steps:
            for batch in self.loader:
                yield batch
                if self.step >= self.steps:
                    return

    def _train_step(self, batch: Any) -> dict[str, float]:
        # Everything random in a step depends on its number alone, so a resumed training repeats it.
        torch.manual_seed(self.options.seed * 1_000_003 + self.step)
        self.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate() * group.get("factor", 1.0)
        with self.accelerator.autocast():
            losses = self.losses(batch)
            total = sum(losses.values())
        shown = self._mean_over_processes({"loss": total, **losses})
        if not math.isfinite(shown["loss"]):
            raise MsnvisError(
                f"the loss is not finite at step {self.step}; lower the learning rate and run again"
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        self.accelerator.clip_grad_norm_(self.network.parameters(), 10.0)
        self._is_whole = False
        self.optimizer.step()
        self.average.update_parameters(self.accelerator.unwrap_model(self.network))
        self.step += 1
        self._is_whole = True
        return shown

    def _mean_over_processes(self, losses: dict[str, Tensor]) -> dict[str, float]:
        values = torch.stack([value.detach().float() for value in losses.values()])
        return dict(zip(losses, self.accelerator.reduce(values, "mean").tolist(), strict=True))

    def _decay(self, average: Tensor, value: Tensor, count: Tensor) -> Tensor:
        """Exponential moving average that forgets the first steps quickly."""
        decay = min(self.options.ema, (1 + int(count)) / (10 + int(count)))
        return average * decay + value * (1 - decay)

    def _validate(self, display: TrainingDisplay) -> dict[str, float]:
        metrics = self.validate() if self.accelerator.is_main_process else {}
        if metrics:
            if metrics[self.best_metric] > self.best:
                self.save_weights(self.options.output / BEST_WEIGHTS)
                self.best = metrics[self.best_metric]
            display.metrics(self.step, metrics)
        self.validated = self.step
        return metrics

    def _make_loader(
        self, dataset: Dataset, factors: np.ndarray, collate: Callable[[list], Any] | None
    ) -> DataLoader:
        options = self.options
        start = self.step * options.batch_size * self.accelerator.num_processes
        loader = DataLoader(
            dataset,
            options.batch_size,
            sampler=BalancedSampler(factors, options.seed, start=start),
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
            "identity": self.identity,
            "step": self.step,
            "validated": self.validated,
            "best": self.best,
        }
        with replacing(self.options.output / CHECKPOINT) as temporary, temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # before it takes the place of the last one

    def _resume(self) -> None:
        path = self.options.output / CHECKPOINT
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.accelerator.device, weights_only=True)
            other = [name for name, value in self.identity.items() if state["identity"].get(name) != value]
            if not other:
                self._load(state)
        except Exception as error:
            raise WeightsError(f"{path} is damaged; remove it to start over") from error
        if other:
            raise WeightsError(
                f"{path} was trained with other {other[0]}; choose another --output or remove it"
            )

    def _load(self, state: Mapping[str, Any]) -> None:
        self.accelerator.unwrap_model(self.network).load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.best = state["step"], state["best"]
        self.validated = state.get("validated", self.step)  # earlier versions did not say


def num_processes() -> int:
    """Of this training, as the launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def make_accelerator(precision: str):
    """Accelerate's view of the devices and processes there are.

    Raises:
        MissingExtraError: ``pip install msnvis[train]`` is needed.
    """
    try:
        from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
    except ImportError as error:
        raise MissingExtraError("training needs `pip install msnvis[train]`") from error
    return Accelerator(
        mixed_precision=precision,
        step_scheduler_with_optimizer=False,
        # Unless it is told to stay on the CPU, Accelerate takes each of several processes without a GPU for
        # a training of its own.
        cpu=num_processes() > 1 and not torch.cuda.is_available(),
        kwargs_handlers=[
            # A batch may leave a head without gradient: one without a single mask, for example.
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=_VALIDATION_TIME),
        ],
    )


def read_history(output: Path) -> list[dict[str, float]]:
    """The entries of a training's ``history.jsonl``."""
    return [json.loads(line) for line in (output / HISTORY).read_text().splitlines()]
