"""Training images as a PyTorch dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from msnvis.datasets.coco import ImageRecord
from msnvis.segmenters.cascade import Target
from msnvis.segmenters.training.augment import Augmentation, Sample, augment, load_sample


class TrainingImages(Dataset):
    """Augmented images; an item is asked for by ``(image index, sample number)`` of `BalancedSampler`.

    Everything random about an item comes from the seed and the sample number, so a resumed training repeats
    it. All samples of one batch share a canvas size.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        num_classes: int,
        canvases: Sequence[int],
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self.records = records
        self.num_classes = num_classes
        self.canvases = canvases
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.pasteable = [
            i for i, r in enumerate(records) if any(a.rle and not a.crowd for a in r.annotations)
        ]

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Target]:
        index, number = item
        rng = np.random.default_rng([self.seed, number])
        side = self.canvases[
            np.random.default_rng([self.seed, number // self.batch_size]).integers(len(self.canvases))
        ]
        other = None
        if self.pasteable and rng.random() < self.augmentation.paste:
            other = load_sample(self.records[self.pasteable[rng.integers(len(self.pasteable))]])
        sample = augment(load_sample(self.records[index]), other, (side, side), self.augmentation, rng)
        image = torch.from_numpy(np.ascontiguousarray(sample.image)).permute(2, 0, 1)
        return image, to_target(sample, self.records[index].vouched, self.num_classes)


def to_target(sample: Sample, vouched: frozenset[int], num_classes: int) -> Target:
    """Arrays to the tensors that the network's losses take; crowds become boxes to ignore."""
    single = sample.pick(np.flatnonzero(~sample.crowd))
    known = torch.zeros(num_classes, dtype=torch.bool)
    known[list(vouched)] = True
    return Target(
        boxes=torch.from_numpy(single.boxes),
        labels=torch.from_numpy(single.labels),
        masks=torch.from_numpy(single.masks),
        has_mask=torch.from_numpy(single.has_mask),
        crowd=torch.from_numpy(sample.boxes[sample.crowd]),
        vouched=known,
    )


def collate(batch: list[tuple[Tensor, Target]]) -> tuple[Tensor, list[Target]]:
    """Stack images ``(B, 3, H, W)`` uint8; targets stay a list."""
    return torch.stack([image for image, _ in batch]), [target for _, target in batch]
