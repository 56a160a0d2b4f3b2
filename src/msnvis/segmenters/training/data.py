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

#: Feature maps at stride 32 need sizes that are multiples of it.
_STRIDE = 32


class TrainingImages(Dataset):
    """Augmented images; an item is asked for by ``(image index, sample number)`` of `BalancedSampler`.

    Everything random about an item comes from the seed and the sample number, so a resumed training repeats
    it.

    Args:
        records: the images.
        num_classes: of all.
        canvases: sides of square canvases; all samples of one batch share one.
        batch_size: samples that share a canvas.
        augmentation: how images are varied.
        seed: of everything random.
        short_sides: if any, each image is scaled so that its short side has a random one of these, unless
            its long side would exceed `long_side`; there are no canvases then.
        long_side: in pixels.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        num_classes: int,
        canvases: Sequence[int],
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        short_sides: Sequence[int] = (),
        long_side: int = 1333,
    ) -> None:
        self.records = records
        self.num_classes = num_classes
        self.canvases = canvases
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.short_sides, self.long_side = short_sides, long_side
        self.pasteable = [
            i for i, r in enumerate(records) if any(a.rle and not a.crowd for a in r.annotations)
        ]

    def __getitem__(self, item: tuple[int, int]) -> tuple[Tensor, Target]:
        index, number = item
        rng = np.random.default_rng([self.seed, number])
        canvas = self._canvas(self.records[index], number)
        other = None
        if self.pasteable and rng.random() < self.augmentation.paste:
            other = load_sample(self.records[self.pasteable[rng.integers(len(self.pasteable))]])
        sample = augment(load_sample(self.records[index]), other, canvas, self.augmentation, rng)
        image = torch.from_numpy(np.ascontiguousarray(sample.image)).permute(2, 0, 1)
        return image, to_target(sample, self.records[index].vouched, self.num_classes)

    def _canvas(self, record: ImageRecord, number: int) -> tuple[int, int]:
        """Height and width of a sample."""
        if self.short_sides:
            choice = np.random.default_rng([self.seed, number, 1]).integers(len(self.short_sides))
            sides = record.height, record.width
            scale = min(self.short_sides[choice] / min(sides), self.long_side / max(sides))
            return int(record.height * scale + 0.5), int(record.width * scale + 0.5)
        choice = np.random.default_rng([self.seed, number // self.batch_size]).integers(len(self.canvases))
        return self.canvases[choice], self.canvases[choice]


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


def collate(
    batch: list[tuple[Tensor, Target]],
) -> tuple[Tensor, list[tuple[int, int]], list[Target]]:
    """Images in one tensor ``(B, 3, H, W)`` uint8, H and W multiples of 32; their sizes; their targets."""
    sizes = [(image.shape[1], image.shape[2]) for image, _ in batch]
    height, width = (-(-max(side) // _STRIDE) * _STRIDE for side in zip(*sizes, strict=True))
    images = torch.zeros(len(batch), 3, height, width, dtype=torch.uint8)
    for padded, (image, _) in zip(images, batch, strict=True):
        padded[:, : image.shape[1], : image.shape[2]] = image
    return images, sizes, [target for _, target in batch]
