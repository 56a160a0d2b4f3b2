"""Augmentation: flip, large-scale jitter, copy-paste (Ghiasi et al., CVPR 2021) and colour."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator

from msnvis import masks as mask_ops
from msnvis.datasets.coco import ImageRecord
from msnvis.errors import InputError
from msnvis.io.image_file import read_bgr

#: An object of which less than this share stays visible after cropping or pasting is dropped.
MIN_VISIBLE = 0.15
MIN_AREA = 16
#: Objects smaller than this many pixels are not worth pasting.
MIN_PASTE_AREA = 400
PAD_VALUE = 128


@dataclass
class Sample:
    """One training image with G objects.

    image ``(H, W, 3)`` uint8 RGB, boxes ``(G, 4)`` float32 xyxy, labels ``(G,)`` int64, masks ``(G, H, W)``
    uint8, has_mask, crowd ``(G,)`` bool. Where `has_mask` is False the mask is the filled box.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    has_mask: np.ndarray
    crowd: np.ndarray

    def pick(self, index: np.ndarray) -> Sample:
        """The objects at `index` only."""
        return Sample(
            self.image,
            self.boxes[index],
            self.labels[index],
            self.masks[index],
            self.has_mask[index],
            self.crowd[index],
        )


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied.

    Attributes:
        scale: range of the large-scale jitter, relative to the size at which image and canvas have equal
        areas.
        flip: probability of mirroring.
        paste: probability of pasting objects of another image.
        colour: strength of brightness, contrast and saturation changes.
        blur: probability of blurring, as motion and compression do in video.
    """

    scale: tuple[float, float] = (0.75, 1.8)
    flip: float = 0.5
    paste: float = 0.4
    colour: float = 0.3
    blur: float = 0.1


def load_sample(record: ImageRecord) -> Sample:
    """Read an image and its annotation.

    Raises:
        InputError: the image is missing, unreadable or of another size than annotated.
    """
    bgr = read_bgr(record.path)
    if bgr is None:
        raise InputError(
            f"{record.path} cannot be read as an image; remove it from the annotations or restore it"
        )
    if bgr.shape[:2] != (record.height, record.width):
        raise InputError(
            f"{record.path} is {bgr.shape[1]}x{bgr.shape[0]} but annotated as {record.width}x{record.height}"
        )
    annotations = record.annotations
    return Sample(
        image=cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB),
        boxes=np.array([a.box for a in annotations], np.float32).reshape(-1, 4),
        labels=np.array([a.label for a in annotations], np.int64),
        masks=np.array([_mask(a, record) for a in annotations], np.uint8).reshape(
            -1, record.height, record.width
        ),
        has_mask=np.array([a.rle is not None for a in annotations], bool),
        crowd=np.array([a.crowd for a in annotations], bool),
    )


def augment(
    sample: Sample, other: Sample | None, canvas: tuple[int, int], options: Augmentation, rng: Generator
) -> Sample:
    """Vary `sample` at random on a canvas of ``(height, width)``; objects of `other` are pasted onto it."""
    sample = jitter(sample, canvas, options, rng)
    if other is not None:
        sample = paste(sample, jitter(other, canvas, options, rng), rng)
    return replace(sample, image=_photometric(sample.image, options, rng))


def jitter(sample: Sample, canvas: tuple[int, int], options: Augmentation, rng: Generator) -> Sample:
    """Scale, mirror and shift onto the canvas; what sticks out is cropped, what is missing is grey."""
    height, width = sample.image.shape[:2]
    base = np.sqrt(canvas[0] * canvas[1] / (height * width))
    scale = base * np.exp(rng.uniform(*np.log(options.scale)))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    top, left = (_offset(rng, s, c) for s, c in zip(size, canvas, strict=True))
    flip = rng.random() < options.flip

    def place(array: np.ndarray, fill: int, interpolation: int) -> np.ndarray:
        resized = cv2.resize(array, size[::-1], interpolation=interpolation)
        resized = resized[:, ::-1] if flip else resized
        out = np.full((*canvas, *array.shape[2:]), fill, np.uint8)
        source = resized[max(top, 0) : top + canvas[0], max(left, 0) : left + canvas[1]]
        y, x = max(-top, 0), max(-left, 0)
        out[y : y + source.shape[0], x : x + source.shape[1]] = source
        return out

    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    before = sample.masks.sum(axis=(1, 2), dtype=np.int64) * scale**2
    masks = np.array([place(m, 0, cv2.INTER_NEAREST) for m in sample.masks], np.uint8).reshape(-1, *canvas)
    moved = replace(sample, image=place(sample.image, PAD_VALUE, interpolation), masks=masks)
    return _visible(moved, before)


def paste(sample: Sample, other: Sample, rng: Generator) -> Sample:
    """Paste a random part of the objects of `other` over `sample`; both have the same size."""
    large = other.masks.sum(axis=(1, 2), dtype=np.int64) >= MIN_PASTE_AREA
    candidates = np.flatnonzero(other.has_mask & ~other.crowd & large)
    chosen = candidates[rng.random(len(candidates)) < 0.5]
    if not len(chosen):
        return sample
    pasted = other.pick(chosen)
    cover = pasted.masks.any(axis=0)
    before = sample.masks.sum(axis=(1, 2), dtype=np.int64)
    left = _visible(replace(sample, masks=sample.masks * ~cover), before)
    # A softened edge keeps the network from recognising pasted objects by their outline.
    alpha = cv2.GaussianBlur(cover.astype(np.float32), (5, 5), 0)[..., None]
    image = (other.image * alpha + sample.image * (1 - alpha)).astype(np.uint8)
    return Sample(
        image,
        np.concatenate([left.boxes, pasted.boxes]),
        np.concatenate([left.labels, pasted.labels]),
        np.concatenate([left.masks, pasted.masks]),
        np.concatenate([left.has_mask, pasted.has_mask]),
        np.concatenate([left.crowd, pasted.crowd]),
    )


def _mask(annotation, record: ImageRecord) -> np.ndarray:
    if annotation.rle is not None:
        return mask_ops.decode([annotation.rle], (record.height, record.width))[0].astype(np.uint8)
    filled = np.zeros((record.height, record.width), np.uint8)
    x1, y1, x2, y2 = (round(v) for v in annotation.box)
    filled[max(y1, 0) : y2, max(x1, 0) : x2] = 1
    return filled


def _offset(rng: Generator, size: int, canvas: int) -> int:
    """Where the canvas begins in the image: inside it when the image is larger, before it when smaller."""
    low, high = sorted((0, size - canvas))
    return int(rng.integers(low, high + 1))


def _visible(sample: Sample, areas_before: np.ndarray) -> Sample:
    """Drop what is hardly visible any more and fit boxes to masks."""
    areas = sample.masks.sum(axis=(1, 2), dtype=np.int64)
    keep = np.flatnonzero((areas >= MIN_AREA) & (areas >= MIN_VISIBLE * areas_before))
    kept = sample.pick(keep)
    rects = np.array([cv2.boundingRect(m) for m in kept.masks], np.float32).reshape(-1, 4)
    rects[:, 2:] += rects[:, :2]
    return replace(kept, boxes=rects)


def _photometric(image: np.ndarray, options: Augmentation, rng: Generator) -> np.ndarray:
    gain, saturation = rng.uniform(1 - options.colour, 1 + options.colour, size=2)
    offset = rng.uniform(-1, 1) * options.colour * 80
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    image = cv2.addWeighted(image, gain * saturation, grey, gain * (1 - saturation), offset)
    if rng.random() < options.blur:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.5, 1.5)))
    return image
