"""The masks of one track as files hold them, for ground truth and results alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from msnvis import masks as mask_ops
from msnvis.datasets.formats.fields import field
from msnvis.masks import RLE


def read_masks(entry: Any, size: tuple[int, int], num_frames: int) -> tuple[list[RLE | None], np.ndarray]:
    """The ``segmentations`` of an entry: a mask or None for each frame, and ``(T,)`` int64 their pixels.

    Raises ValueError, with the frame and the reason, unless there is for each frame null (or something
    empty), a run-length encoding of `size` or a list of polygons.

    >>> read_masks({"segmentations": [None, {"size": [2, 2], "counts": "04"}]}, (2, 2), 2)[1]
    array([0, 4])
    """
    try:  # nearly all files hold what encoders write
        return quick_masks([entry], size, num_frames)[0]
    except (TypeError, KeyError, AttributeError, ValueError):
        segmentations = _segmentations(entry, num_frames)
    masks = [_mend(item, frame, size) if item else None for frame, item in enumerate(segmentations)]
    areas = np.zeros(num_frames, np.int64)
    areas[[rle is not None for rle in masks]] = mask_ops.areas([rle for rle in masks if rle])
    return masks, areas


def quick_masks(
    entries: Sequence[Any], size: tuple[int, int], num_frames: int
) -> list[tuple[list[RLE | None], np.ndarray]]:
    """As `read_masks`, of several entries at once, which is quicker, if all are as encoders write them.

    Raises ValueError, TypeError, KeyError or AttributeError if one is not; `read_masks` may still take it.
    """
    tracks = [encoded_masks(entry, size, num_frames) for entry in entries]
    areas = np.zeros((len(tracks), num_frames), np.int64)
    seen = np.array([[rle is not None for rle in masks] for masks in tracks], bool)
    areas[seen] = mask_ops.strict_areas([rle for masks in tracks for rle in masks if rle], size)
    return list(zip(tracks, areas, strict=True))


def encoded_masks(entry: Any, size: tuple[int, int], num_frames: int) -> list[RLE | None]:
    """As `read_masks`, of run-length encodings alone, compressed or not, and without a look into them.

    Raises ValueError, TypeError, KeyError or AttributeError for anything else.
    """
    expected = list(size)
    masks: list[RLE | None] = []
    for item in _segmentations(entry, num_frames):
        if not item:
            masks.append(None)
            continue
        if item["size"] != expected:
            raise ValueError("a mask of another size")
        counts = item["counts"]
        if isinstance(counts, list):  # as YouTube-VIS publishes its ground truth
            masks.append(mask_ops.compress_runs(counts, size))
        else:
            masks.append({"size": expected, "counts": counts.encode("ascii")})
    return masks


def _segmentations(entry: Any, num_frames: int) -> list[Any]:
    segmentations = field(entry, "segmentations", list)
    if len(segmentations) != num_frames:
        raise ValueError(
            f"it has {len(segmentations)} segmentations for the {num_frames} frames of its video"
        )
    return segmentations


def _mend(segmentation: Any, frame: int, size: tuple[int, int]) -> RLE:
    try:
        return mask_ops.from_json(segmentation, size)
    except (ValueError, TypeError) as error:
        raise ValueError(f"frame {frame}: {error}") from None
