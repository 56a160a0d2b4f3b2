"""A clip of four shots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import squares

SHOTS = (13, 10, 9, 15)
CUTS = [13, 23, 32]
FRAMES = sum(SHOTS)


def images() -> list[np.ndarray]:
    """RGB frames; the shots differ in their ground, and every other one is mirrored."""
    every = []
    for shot, (count, grey) in enumerate(zip(SHOTS, (128, 30, 210, 90), strict=True)):
        for image in squares.frames(count, size=(48, 96)):
            image[(image == 128).all(axis=2)] = grey
            every.append(image[:, ::-1] if shot % 2 else image)
    return every


def write(path: Path) -> Path:
    return squares.write_clip(path, images())
