"""`msnvis train selector`: trains selection networks on pairs that `msnvis pairs` made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from msnvis.errors import InputError, OptionError
from msnvis.selection.augmentation import with_neighbour, with_resized_mask, with_strong_changes
from msnvis.selection.cells import CellSupervision, Teacher, cell_loss
from msnvis.selection.crops import CropOptions, crop_pairs, crop_truth, normalise_pairs
from msnvis.selection.learned import CROPS, NETWORKS, check_crops, save_selector
from msnvis.selection.lite import LiteMaskSelectionNetwork
from msnvis.selection.measures import accuracy, accuracy_by_margin, balanced_accuracy, calibration_error
from msnvis.selection.network_selector import Use, probabilities
from msnvis.selection.networks import PAIR_CHANNELS
from msnvis.selection.pair_store import Pair, PairStore
from msnvis.selection.plots import plot_calibration
from msnvis.training.trainer import Trainer, TrainerOptions, num_processes
from msnvis.weights.state import load_into

LOSSES = ("patch", "pair")
CALIBRATION_PLOT = "calibration.png"
#: Pairs that differ by less are a matter of taste; the accuracy that counts is that of the others.
CLEAR_MARGIN = 0.02
VALIDATION_BATCH = 64
#: Share of the learning rate for a backbone that knows much already.
BACKBONE_FACTOR = 0.2
#: Channels of a training pair, with the true mask at the end, when the two masks are exchanged.
EXCHANGED = [4, 5, 6, 7, 0, 1, 2, 3, 8]


@dataclass(frozen=True, kw_only=True)
class SelectorTrainOptions(TrainerOptions):
    """Options of a training; the defaults are the paper's (4.1) where it gives them.

    Attributes, beside those of `TrainerOptions`:
        pairs: folders made by `msnvis pairs`; videos of the same name count as the same.
        validation: folder of other pairs to validate on; without it, `hold_out` of the videos of `pairs`.
        network: ``msn``, ``msn-lite`` or ``selector-net``.
        start_from: weights of the same network to go on from; without them ``msn-lite`` starts from the
            backbone of `compact`, the others from random numbers.
        crops: how pairs are cut out; None is what the network is known by.
        epochs, batch_size, learning_rate, decay_every: 40, 512, 0.01, 10 for 80k pairs; the learning rate
            falls to a tenth each `decay_every` epochs.
        loss: ``patch`` asks every patch for the right answer, ``pair`` only their mean.
        both_orders: train half the difference of what the network says of a pair and of the exchanged pair,
            which is also how the weights will be used; else the order is random, as in the paper.
        cell_weight: of the loss that asks where the object is, see `selection.cells`; the paper has none.
        teacher_weight: likewise, of the loss that asks what the backbone of `compact` sees.
        min_margin: pairs whose IoUs with the truth differ by less teach little and are left out.
        full_margin: pairs whose IoUs differ by less than this are drawn less often, in proportion to the
            difference, because a wrong decision costs that much; 0 draws all alike.
        min_overlap: pairs whose masks overlap less are never associated by the tracker, and are left out.
        flip, colour: probability of mirroring, strength of brightness and contrast changes.
        resize_masks: probability that one of the two masks is grown or shrunk, after which the other may be
            the better one. The parts' own mistakes have a habit, the larger mask being right more often, and
            a network may learn that instead of where objects end.
        merge_masks: probability that one of the two masks also covers a neighbour, where there is one: a
            segmenter takes two animals for one seldom, but a tracker that follows it loses one for good.
        strong_augmentation: probability that a crop is turned, stretched and recoloured and that a part of
            its image is hidden, for few photographs are soon learned by heart.
        vary_context: how far the context of the crops strays, as a share of it.
        balance: draw pairs of which the segmenter's mask is better as often as the others. Its masks look
            different from propagated ones, and a network may learn who is right more often instead of who
            is right; how often differs from the pairs' videos to the user's.
        hold_out: share of the videos kept for validation.
    """

    pairs: Sequence[Path]
    validation: Path | None = None
    network: str = "msn"
    start_from: Path | None = None
    crops: CropOptions | None = None
    epochs: float = 40
    batch_size: int = 512
    learning_rate: float = 0.01
    decay_every: float = 10
    loss: str = "patch"
    both_orders: bool = False
    cell_weight: float = 0.0
    teacher_weight: float = 0.0
    min_margin: float = 0.0
    full_margin: float = 0.0
    min_overlap: float = 0.1
    flip: float = 0.5
    colour: float = 0.2
    resize_masks: float = 0.0
    merge_masks: float = 0.0
    vary_context: float = 0.0
    strong_augmentation: float = 0.0
    balance: bool = False
    hold_out: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network not in NETWORKS:
            raise OptionError(f"network is '{self.network}' but must be one of {', '.join(NETWORKS)}")
        if self.loss not in LOSSES:
            raise OptionError(f"loss is '{self.loss}' but must be one of {', '.join(LOSSES)}")
        if not 0 < self.hold_out < 1:
            raise OptionError(f"hold_out is {self.hold_out} but is a share between 0 and 1")
        if self.epochs <= 0 or self.decay_every <= 0:
            raise OptionError("epochs and decay_every must be positive")
        if min(self.cell_weight, self.teacher_weight, self.full_margin) < 0:
            raise OptionError("cell_weight, teacher_weight and full_margin must not be negative")
        for name in ("resize_masks", "merge_masks", "vary_context", "strong_augmentation"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)} but must be from 0 to 1")
        check_crops(self.network, self.crop_options)
        if self.teacher_weight and self.crop_options.side % 32:
            raise OptionError(f"side is {self.crop_options.side} but the teacher needs a multiple of 32")

    @property
    def crop_options(self) -> CropOptions:
        return self.crops or CROPS[self.network]


def train_selector(options: SelectorTrainOptions) -> dict[str, float]:
    """Train, or go on with what `options.output` holds.

    Returns:
        The last validation's figures: ``accuracy``, ``clear_accuracy`` (of pairs whose IoUs differ by more
        than 0.02), ``balanced_accuracy`` (of these, the mean over those whose first and those whose second
        mask is better), ``accuracy_<margin>`` for each bin of the difference, ``calibration_error``.

    Raises:
        InputError: there are no pairs, or too few videos to hold some out.
        MissingExtraError: ``pip install msnvis[train]`` is needed.
        WeightsError: the checkpoint is of another network.
    """
    return SelectorTrainer(options).run()


class PairImages(Dataset):
    """Augmented pairs, asked for by ``(index, sample number)`` as `BalancedSampler` gives them.

    Everything random about an item comes from the seed and the sample number, so a resumed training repeats
    it.

    Returns of an item: ``(9, S, S)`` uint8, the pair and the true mask, and 1.0 where the first mask is the
    better one.
    """

    def __init__(
        self, store: PairStore, chosen: np.ndarray, options: SelectorTrainOptions, training: bool
    ) -> None:
        self.store, self.chosen, self.options, self.training = store, chosen, options, training

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Tensor]:
        index, number = item
        pair, crops = self.store[int(self.chosen[index])], self.options.crop_options
        rng = np.random.default_rng([self.options.seed, number])
        if self.training:
            pair, crops = self._change_masks(pair, index, rng), self._vary(crops, rng)
        truth = crop_truth(pair.truth, pair.first, pair.second, crops)
        crop = np.concatenate([crop_pairs(pair.image, [pair.first], [pair.second], crops)[0], truth[None]])
        first_better = bool(pair.ious[0] > pair.ious[1])
        if self.training:
            crop, exchanged = self._augment(crop, rng)
            first_better ^= exchanged
        return torch.from_numpy(np.ascontiguousarray(crop)), torch.tensor(float(first_better))

    def _change_masks(self, pair: Pair, index: int, rng: np.random.Generator) -> Pair:
        options = self.options
        if options.merge_masks and rng.random() < options.merge_masks:
            others = self.store.neighbours(int(self.chosen[index]))
            if len(others):
                pair = with_neighbour(pair, self.store[int(rng.choice(others))], rng, options.min_margin)
        if options.resize_masks and rng.random() < options.resize_masks:
            pair = with_resized_mask(pair, rng, options.min_margin)
        return pair

    def _vary(self, crops: CropOptions, rng: np.random.Generator) -> CropOptions:
        if not self.options.vary_context:
            return crops
        return replace(crops, context=crops.context * (1 + rng.uniform(-1, 1) * self.options.vary_context))

    def _augment(self, crop: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
        """Mirror, change colours, and exchange the masks half of the time (paper 4.1)."""
        exchanged = bool(rng.random() < 0.5)
        if exchanged:
            crop = crop[EXCHANGED]
        if rng.random() < self.options.flip:
            crop = crop[:, :, ::-1]
        crop = crop.copy()
        if self.options.strong_augmentation and rng.random() < self.options.strong_augmentation:
            return with_strong_changes(crop, rng), exchanged
        gain = rng.uniform(1 - self.options.colour, 1 + self.options.colour)
        shift = rng.uniform(-1, 1) * self.options.colour * 80
        for rgb in (slice(0, 3), slice(4, 7)):
            crop[rgb] = cv2.convertScaleAbs(crop[rgb].reshape(3, -1), alpha=gain, beta=shift).reshape(
                crop[rgb].shape
            )
        return crop, exchanged


class SelectorTrainer(Trainer):
    """Trains a selection network."""

    def __init__(self, options: SelectorTrainOptions) -> None:
        self.best_metric = "balanced_accuracy" if options.balance else "clear_accuracy"
        train, self.validation = split_pairs(options)
        self._parts = train.store.parts
        self.steps_per_epoch = max(1, round(len(train) / (options.batch_size * num_processes())))
        torch.manual_seed(options.seed)
        network = NETWORKS[options.network]().to(memory_format=torch.channels_last)
        if options.start_from:
            load_into(network, options.start_from)
        elif isinstance(network, LiteMaskSelectionNetwork):
            network.start_from_compact()
        network = CellSupervision(network, Teacher.channels if options.teacher_weight else 0)
        super().__init__(
            options,
            network,
            parameter_groups(network),
            train,
            sampling_factors(train, options.balance, options.full_margin),
            max(1, round(options.epochs * self.steps_per_epoch)),
            # None, not False: so checkpoints of earlier versions, which do not say, go on.
            {"network": options.network, "teacher": bool(options.teacher_weight) or None},
        )
        self._teacher = Teacher(self.accelerator.device) if options.teacher_weight else None

    def losses(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        pairs, labels = batch
        if self.options.both_orders:
            pairs = torch.cat([pairs, pairs[:, EXCHANGED]])
        x = normalise_pairs(pairs[:, :PAIR_CHANNELS]).contiguous(memory_format=torch.channels_last)
        logits, cells, seen = self.network(x)
        losses = self._selection_losses(logits.float(), cells.float(), pairs, labels)
        if self._teacher is not None:
            wanted = self._teacher(x[:, :3].contiguous(memory_format=torch.channels_last))
            losses["loss_teacher"] = self.options.teacher_weight * F.mse_loss(seen.float(), wanted)
        return losses

    def _selection_losses(
        self, logits: Tensor, cells: Tensor, pairs: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        if self.options.both_orders:
            one, other = logits.chunk(2)
            logits = (one - other) / 2
        if self.options.loss == "pair":
            logits = logits.flatten(1).mean(dim=1)
        wanted = labels.reshape(-1, *[1] * (logits.ndim - 1)).expand_as(logits)
        first, second, truth = (pairs[:, k : k + 1] > 127 for k in (3, 7, 8))
        return {
            "loss_selection": F.binary_cross_entropy_with_logits(logits, wanted),
            "loss_cells": self.options.cell_weight * cell_loss(cells, first, second, truth),
        }

    def learning_rate(self) -> float:
        """A tenth each `decay_every` epochs, after the warm-up."""
        drops = int(self.step / self.steps_per_epoch / self.options.decay_every)
        return self.options.learning_rate * self.warmed_up() * 0.1**drops

    def validate(self) -> dict[str, float]:
        chances = self._chances()
        ious = self.validation.store.ious[self.validation.chosen]
        bins = accuracy_by_margin(chances, ious)
        plot_calibration(chances, ious, self.options.output / CALIBRATION_PLOT)
        return {
            "accuracy": accuracy(chances, ious),
            "clear_accuracy": accuracy(chances, ious, CLEAR_MARGIN),
            "balanced_accuracy": balanced_accuracy(chances, ious, CLEAR_MARGIN),
            "calibration_error": calibration_error(chances, ious),
        } | {f"accuracy_{name}": share for name, (share, count) in bins.items() if count}

    def save_weights(self, path: Path) -> None:
        use = Use(self.options.crop_options, self.options.both_orders, self._parts)
        save_selector(self.average.module.selector, self.options.network, use, path)

    @torch.inference_mode()
    def _chances(self) -> np.ndarray:
        """What the running average says of the validation pairs: ``(N,)`` float32."""
        network = self.average.module.selector.eval()
        loader = DataLoader(
            self.validation, VALIDATION_BATCH, sampler=[(i, 0) for i in range(len(self.validation))]
        )
        chances = [
            probabilities(
                network,
                normalise_pairs(pairs[:, :PAIR_CHANNELS].to(self.accelerator.device)),
                self.options.both_orders,
            )
            for pairs, _ in loader
        ]
        network.train()
        return np.concatenate(chances)


def parameter_groups(network: CellSupervision) -> list[dict[str, Any]]:
    """What is trained, for the optimiser: a pretrained backbone apart, with a smaller learning rate."""
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    backbone = [p for name, p in trained if name.startswith("selector.backbone.")]
    others = [p for name, p in trained if not name.startswith("selector.backbone.")]
    groups: list[dict[str, Any]] = [{"params": others}]
    return [*groups, {"params": backbone, "factor": BACKBONE_FACTOR}] if backbone else groups


def split_pairs(options: SelectorTrainOptions) -> tuple[PairImages, PairImages]:
    """Pairs to train and to validate on, never of the same video."""
    store = PairStore(*options.pairs)
    if options.validation:
        others = PairStore(options.validation)
        held_out = _usable(others, options)
        chosen = _usable(store, options)
    else:
        # Several folders may have pairs of the same videos, made in different ways.
        names, video = np.unique(store.videos, return_inverse=True)
        kept = np.random.default_rng(options.seed).permutation(len(names))[
            : max(1, round(len(names) * options.hold_out))
        ]
        others, usable = store, _usable(store, options)
        is_held_out = np.isin(video[store.video], kept)
        chosen, held_out = usable[~is_held_out[usable]], usable[is_held_out[usable]]
    if not len(chosen) or not len(held_out):
        raise InputError(
            f"{', '.join(map(str, options.pairs))}: {len(chosen)} pairs are left to train and "
            f"{len(held_out)} to validate on; make pairs of more videos by `msnvis pairs`"
        )
    return PairImages(store, chosen, options, True), PairImages(others, held_out, options, False)


def sampling_factors(pairs: PairImages, balance: bool, full_margin: float = 0.0) -> np.ndarray:
    """How often an epoch has each pair, on average: ``(N,)`` float64 with a mean of 1.

    With `balance`, pairs whose first and pairs whose second mask is better are drawn equally often; for
    `full_margin` see `SelectorTrainOptions`.
    """
    ious = pairs.store.ious[pairs.chosen].astype(float)
    first_better = (ious[:, 0] > ious[:, 1]).astype(int)
    worth = np.ones(len(pairs))
    if full_margin:
        worth = np.minimum(np.abs(ious[:, 0] - ious[:, 1]) / full_margin, 1)
    if balance:
        worth /= np.bincount(first_better, worth, minlength=2)[first_better]
    return worth / worth.mean()


def _usable(store: PairStore, options: SelectorTrainOptions) -> np.ndarray:
    """Indices of pairs that have a better mask and that the tracker could have to decide on."""
    margin = np.abs(store.ious[:, 0] - store.ious[:, 1])
    return np.flatnonzero((margin > options.min_margin) & (store.overlaps > options.min_overlap))
