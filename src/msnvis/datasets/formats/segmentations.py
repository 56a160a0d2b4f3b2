"""The masks of one track as files hold them, for ground truth and results alike."""

from __future__ import annotations

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
    segmentations = field(entry, "segmentations", list)
    if len(segmentations) != num_frames:
        raise ValueError(
            f"it has {len(segmentations)} segmentations for the {num_frames} frames of its video"
        )
    seen = [frame for frame, segmentation in enumerate(segmentations) if segmentation]
    rles, pixels = _read([segmentations[frame] for frame in seen], seen, size)
    masks: list[RLE | None] = [None] * num_frames
    for frame, rle in zip(seen, rles, strict=True):
        masks[frame] = rle
    areas = np.zeros(num_frames, np.int64)
    areas[seen] = pixels
    return masks, areas


def _read(segmentations: list[Any], frames: list[int], size: tuple[int, int]) -> tuple[list[RLE], np.ndarray]:
    try:  # nearly all files hold what encoders write
        rles = [RLE(size=item["size"], counts=item["counts"].encode("ascii")) for item in segmentations]
        pixels = mask_ops.strict_areas(rles, size)
        return [RLE(size=list(size), counts=rle["counts"]) for rle in rles], pixels  # 4.0 is equal to 4
    except (ValueError, TypeError, KeyError, AttributeError):
        rles = [_mend(item, frame, size) for item, frame in zip(segmentations, frames, strict=True)]
        return rles, mask_ops.areas(rles)


def _mend(segmentation: Any, frame: int, size: tuple[int, int]) -> RLE:
    try:
        return mask_ops.from_json(segmentation, size)
    except (ValueError, TypeError) as error:
        raise ValueError(f"frame {frame}: {error}") from None
