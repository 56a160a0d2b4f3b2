"""What a camera and a codec do to a picture: changing light, defocus, noise, compression."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av
import cv2
import numpy as np

from msnvis.datasets.synthetic.motion import Curve, key_times

#: As for the overlays: x264 where the build of FFmpeg has it, else its own MPEG-4 encoder.
_CODECS = ("libx264", "mpeg4")
#: How far the windows into a picture of noise may lie apart, in pixels.
_GRAIN_ROOM = 64


@dataclass(frozen=True)
class Degradation:
    """How the frames of one video are degraded; zeros everywhere leave them as they are.

    Attributes:
        shutter: part of the time between two frames during which light is gathered: motion blur.
        light: ``(2, 2, 3)`` log gain of each colour over time, spread over the frame.
        defocus: standard deviation of the blur, in pixels.
        noise: standard deviation, in grey levels.
        crf: constant rate factor of H.264, or None: no compression.
        seed: of the noise.
    """

    shutter: float
    light: Curve | None
    defocus: float
    noise: float
    crf: int | None
    seed: int
    _noise: list[np.ndarray] = field(default_factory=list, repr=False)

    @classmethod
    def draw(cls, rng: np.random.Generator, frames: int, strength: float) -> Degradation:
        """A random one; `strength` 0 is none, 1 what poor phone video looks like at its worst."""
        light = _changing_light(rng, frames, strength * rng.uniform(0.05, 0.4))
        shutter = strength * rng.uniform(0, 0.8)
        defocus = strength * rng.choice([0.0, 0.5, 0.9], p=[0.5, 0.3, 0.2])
        noise = strength * rng.uniform(0, 6)
        crf = int(rng.integers(18, 34))
        seed = int(rng.integers(2**32))
        if not strength:
            return cls(0.0, None, 0.0, 0.0, None, seed)
        return cls(shutter, light, defocus, noise, crf, seed)

    def expose(self, picture: np.ndarray, time: int) -> np.ndarray:
        """Change the light, blur and add noise.

        Args:
            picture: ``(H, W, 3)`` float32, 0..255; overwritten.
            time: number of the frame.

        Returns:
            ``(H, W, 3)`` uint8.
        """
        height, width = picture.shape[:2]
        if self.light is not None:
            gains = np.exp(self.light(time)).astype(np.float32)
            picture = cv2.multiply(picture, cv2.resize(gains, (width, height)), dst=picture)
        if self.defocus:
            picture = cv2.GaussianBlur(picture, (0, 0), self.defocus)
        if self.noise:
            picture = cv2.add(picture, self._grain(picture.shape, time), dst=picture)
        return cv2.convertScaleAbs(cv2.max(picture, 0))

    def _grain(self, shape: tuple[int, ...], time: int) -> np.ndarray:
        """Noise of one frame: a window of one large picture of it, which is quicker than new noise."""
        if not self._noise:
            rng = np.random.default_rng(self.seed)
            larger = (shape[0] + _GRAIN_ROOM, shape[1] + _GRAIN_ROOM, 3)
            self._noise.append(self.noise * rng.standard_normal(larger, np.float32))
        top, left = np.random.default_rng([self.seed, time]).integers(0, _GRAIN_ROOM + 1, 2)
        return self._noise[0][top : top + shape[0], left : left + shape[1]]

    def compress(self, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The frames, ``(H, W, 3)`` uint8 RGB, as a player of the compressed video shows them."""
        return frames if self.crf is None else _coded(frames, self.crf)


def _changing_light(rng: np.random.Generator, frames: int, reach: float) -> Curve:
    """Brighter and darker as a whole, less so in each corner, least in colour."""
    interval = rng.uniform(4, 24)
    count = len(key_times(frames, interval))
    whole = rng.uniform(-reach, reach, (count, 1, 1, 1))
    corner = rng.uniform(-reach, reach, (count, 2, 2, 1)) / 2
    colour = rng.uniform(-reach, reach, (count, 1, 1, 3)) / 4
    return Curve(key_times(frames, interval), whole + corner + colour)


def _coded(frames: Iterator[np.ndarray], crf: int) -> Iterator[np.ndarray]:
    """One thread each way: the result of several depends on how many there are."""
    encoder = decoder = None
    for number, frame in enumerate(frames):
        if encoder is None:
            encoder, decoder = _codec(frame.shape[1], frame.shape[0], crf)
        # OpenCV converts several times faster than FFmpeg's scaler.
        planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        picture.pts = number
        yield from _decoded(encoder.encode(picture), decoder)
    if encoder is not None:
        yield from _decoded([*encoder.encode(None), None], decoder)


def _codec(width: int, height: int, crf: int) -> tuple[av.VideoCodecContext, av.VideoCodecContext]:
    name = next(codec for codec in _CODECS if codec in av.codecs_available)
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    if name == "libx264":
        # x264's fast arithmetic was seen to give other bytes now and then; this makes it repeatable.
        encoder.options = {"crf": str(crf), "preset": "veryfast", "x264-params": "cpu-independent=1"}
    else:
        encoder.qmin = encoder.qmax = max((crf - 10) // 2, 1)
    decoder = av.CodecContext.create("h264" if name == "libx264" else "mpeg4", "r")
    decoder.thread_count = 1
    return encoder, decoder


def _decoded(packets: Iterable[av.Packet | None], decoder: av.VideoCodecContext) -> Iterator[np.ndarray]:
    for packet in packets:
        for picture in decoder.decode(packet):
            yield cv2.cvtColor(picture.to_ndarray(), cv2.COLOR_YUV2RGB_I420)
