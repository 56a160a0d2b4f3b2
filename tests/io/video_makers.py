"""Small videos for tests: every frame shows its number as eight black or white blocks, even after coding."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (48, 64)


def numbered(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """RGB uint8 image of `size` ``(height, width)`` that shows `number` (0..255): 2 rows of 4 bits."""
    bits = np.array([number >> bit & 1 for bit in range(8)], np.uint8).reshape(2, 4)
    rows = np.arange(size[0]) * 2 // size[0]
    columns = np.arange(size[1]) * 4 // size[1]
    return np.repeat(bits[rows][:, columns, None] * 255, 3, axis=2)


def number_of(image: np.ndarray) -> int:
    """The number that `numbered` drew."""
    height, width = image.shape[0] / 2, image.shape[1] / 4
    bits = [
        image[int((row + 0.3) * height) : int((row + 0.7) * height) + 1,
              int((column + 0.3) * width) : int((column + 0.7) * width) + 1].mean() > 127
        for row in range(2) for column in range(4)
    ]  # fmt: skip
    return sum(int(bit) << place for place, bit in enumerate(bits))


def write_video(
    path: Path,
    count: int = 40,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = SIZE,
    pts: list[int] | None = None,
    images: list[np.ndarray] | None = None,
    rate: int = 25,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """`count` numbered frames (or `images`), `pts` in 1/1000 s where given."""
    images = images or [numbered(number, size) for number in range(count)]
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options={"preset": "veryfast"} | (options or {}))
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Patch the track header of an mp4: the stored point (x, y) is shown at (a*x + c*y, b*x + d*y)."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # version 0: flags, times, id, duration, layer, volume come before
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def read(frames) -> list[tuple[int, float, bytes]]:
    """Index, time and pixels of every frame."""
    return [(frame.index, frame.timestamp, frame.image.tobytes()) for frame in frames]
