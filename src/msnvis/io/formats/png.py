"""PNG label maps, one a frame, as DAVIS has them: pixel = track id, in the palette of PASCAL VOC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from msnvis import masks as mask_ops
from msnvis.errors import InputError, OutputError
from msnvis.io.formats import reading
from msnvis.io.image_file import open_image
from msnvis.structures import Detections, VideoInstances


def davis_palette() -> np.ndarray:
    """``(256, 3)`` uint8 RGB: the bits of the index, lowest first, are the highest bits of R, G, B in turn.

    >>> davis_palette()[:4].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    index = np.arange(256)[:, None]
    palette = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        palette |= ((index >> (3 * bit + np.arange(3)) & 1) << (7 - bit)).astype(np.uint8)
    return palette


def label_maps(video: VideoInstances, size: tuple[int, int] | None = None) -> Iterator[np.ndarray]:
    """``(H, W)`` uint8 of each frame, the higher score on top; raises `OutputError` for ids above 255."""
    size = size or video.size
    largest = max((track.id for track in video.tracks), default=0)
    if largest > 255:
        raise OutputError(
            f"track id {largest} of '{video.name}' does not fit into an 8-bit PNG label map (at most 255); "
            "raise the score threshold or choose another format, for example coco"
        )
    for index, tracks in enumerate(video.by_frame()):
        bottom_up = sorted(tracks, key=lambda track: track.frame_scores[index])
        rles = mask_ops.resize([track.rles[index] for track in bottom_up], size)
        yield mask_ops.label_map(rles, [track.id for track in bottom_up], size)


def write(video: VideoInstances, folder: Path, size: tuple[int, int] | None) -> None:
    palette = davis_palette().tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    for index, labels in enumerate(label_maps(video, size)):
        image = Image.fromarray(labels)
        image.putpalette(palette)
        image.save(folder / f"{index:05d}.png", compress_level=1)


def read(folder: Path, timestamps: Any) -> VideoInstances:
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise InputError(
            f"{folder} holds no PNG label maps; give the folder that holds 00000.png, 00001.png..."
        )
    with reading.explained(str(folder)):
        seconds = reading.clock(timestamps, len(paths))
    return VideoInstances.from_frames(folder.name, _frames(paths), seconds, classes=())


def _frames(paths: list[Path]) -> Iterator[Detections]:
    size = None
    for path in paths:
        with reading.explained(str(path)):
            labels = read_labels(path)
            size = size or labels.shape
            if labels.shape != size:
                raise ValueError(f"it is not of the size {size[1]}x{size[0]} of the frames before")
        found = mask_ops.from_label_map(labels)
        yield Detections(
            size,
            list(found.values()),
            np.ones(len(found), np.float32),
            np.zeros((len(found), 0), np.float32),
            np.array(list(found), np.int64),
        )


def read_labels(path: Path) -> np.ndarray:
    """A label map, ``(H, W)`` unsigned; raises ValueError where it is none, OSError where it is broken."""
    with open_image(path) as image:
        if image.mode not in ("P", "L", "1", "I;16"):
            raise ValueError(f"it is a picture ({image.mode}), not a label map with one number a pixel")
        return np.array(image)
