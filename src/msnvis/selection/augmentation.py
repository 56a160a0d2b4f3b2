"""What a selector sees in training beside the pairs as they are: other mistakes, and other photographs."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from msnvis import masks as mask_ops
from msnvis.masks import RLE
from msnvis.selection.pair_store import Pair

#: How far the outline of a mask moves at most, as a share of the root of its area.
MOST_GROWTH, MOST_SHRINKAGE = 0.4, 0.2
#: Objects further apart than this share of the larger side of the box are not taken for one.
MOST_DISTANCE = 0.25
#: Channels of a crop as `SelectorTrainOptions` trains on it: the image twice, and three masks.
_IMAGES, _MASKS = [[0, 1, 2], [4, 5, 6]], [3, 7, 8]

_MOVE = v2.RandomAffine(
    degrees=20,
    translate=(0.05, 0.05),
    scale=(0.8, 1.2),
    shear=10,
    interpolation=v2.InterpolationMode.BILINEAR,
)
_RECOLOUR = v2.Compose(
    [
        v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.6),
        v2.RandomGrayscale(0.15),
        v2.RandomApply([v2.GaussianBlur(5, (0.1, 2.0))], 0.2),
        v2.RandomErasing(0.5, scale=(0.02, 0.15)),
    ]
)


def with_resized_mask(pair: Pair, rng: np.random.Generator, min_margin: float = 0.0) -> Pair:
    """The pair with one of its masks grown or shrunk and with the IoUs that it has then.

    Small changes are drawn more often. Where nothing of the mask would be left, or the IoUs would not differ
    by more than `min_margin`, the pair stays as it is.
    """
    side, share = int(rng.integers(2)), float(rng.random() ** 2)
    share *= MOST_GROWTH if rng.random() < 0.5 else -MOST_SHRINKAGE
    return _with_mask(pair, side, resize_mask((pair.first, pair.second)[side], share), min_margin)


def with_neighbour(pair: Pair, other: Pair, rng: np.random.Generator, min_margin: float = 0.0) -> Pair:
    """The pair with one of its masks grown by another object of the frame and with its IoUs then.

    As `with_resized_mask`, it stays where the IoUs would hardly differ, and where the other object is far.

    Args:
        pair: what is changed.
        other: a pair of another object in the same frame; an empty mask of it changes nothing.
    """
    side = int(rng.integers(2))
    mask, neighbour = (pair.first, pair.second)[side], (other.first, other.second)[int(rng.integers(2))]
    if not are_close(mask, neighbour):
        return pair
    size = tuple(mask["size"])
    merged = mask_ops.decode([mask, neighbour], size).any(axis=0)
    return _with_mask(pair, side, mask_ops.encode(merged[None])[0], min_margin)


def with_strong_changes(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn, shear, stretch and recolour a crop, and hide a part of its image.

    Few photographs in many videos are soon learned by heart; this keeps them new.

    Args:
        crop: ``(9, S, S)`` uint8: image and mask of the first, of the second, and the true mask.
        rng: says what is done.

    Returns:
        The same shape; masks are 0 or 255. The two images are changed alike.

    >>> with_strong_changes(np.zeros((9, 32, 32), np.uint8), np.random.default_rng(0)).shape
    (9, 32, 32)
    """
    # The two images are mostly one, which need be changed once.
    count = 1 if np.array_equal(*crop[_IMAGES]) else 2
    images = tv_tensors.Image(torch.from_numpy(crop[_IMAGES[:count]]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        images, masks = _MOVE(images, tv_tensors.Mask(torch.from_numpy(crop[_MASKS])))
        images = _RECOLOUR(images)
    changed = np.empty_like(crop)
    changed[_IMAGES], changed[_MASKS] = images.numpy(), masks.numpy()
    return changed


def are_close(first: RLE, second: RLE) -> bool:
    """Whether the gap between the boxes of two masks is small beside the first.

    >>> left, near, far = (np.zeros((1, 20, 90), bool) for _ in range(3))
    >>> left[:, :, :20], near[:, :, 22:40], far[:, :, 50:] = True, True, True
    >>> left, near, far = (mask_ops.encode(m)[0] for m in (left, near, far))
    >>> are_close(left, near), are_close(left, far)
    (True, False)
    """
    one, two = mask_ops.boxes([first, second])
    gap = np.maximum(one[:2], two[:2]) - np.minimum(one[2:], two[2:])
    return bool(gap.max() <= MOST_DISTANCE * (one[2:] - one[:2]).max())


def resize_mask(rle: RLE, share: float) -> RLE:
    """Move the outline of a mask outwards, or inwards where `share` is negative.

    Args:
        rle: the mask; it must not be empty.
        share: how far, as a share of the root of its area.

    >>> square = np.zeros((1, 60, 60), bool)
    >>> square[:, 20:40, 20:40] = True
    >>> grown = mask_ops.decode([resize_mask(mask_ops.encode(square)[0], 0.25)], (60, 60))[0]
    >>> grown.any(axis=0).sum(), grown.any(axis=1).sum()
    (np.int64(30), np.int64(30))
    """
    radius = round(abs(share) * float(mask_ops.areas([rle])[0]) ** 0.5)
    mask = mask_ops.decode([rle], tuple(rle["size"]))[0].astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    changed = cv2.dilate(mask, disc) if share > 0 else cv2.erode(mask, disc)
    return mask_ops.encode(changed[None].astype(bool))[0]


def _with_mask(pair: Pair, side: int, mask: RLE, min_margin: float) -> Pair:
    """The pair with another mask, or as it is where that leaves nothing or no clear winner."""
    masks = [pair.first, pair.second]
    masks[side] = mask
    ious = mask_ops.iou_matrix(masks, [pair.truth])[:, 0].astype(np.float32)
    if not mask_ops.areas([mask])[0] or abs(float(ious[0] - ious[1])) <= min_margin:
        return pair
    return replace(pair, first=masks[0], second=masks[1], ious=ious)
