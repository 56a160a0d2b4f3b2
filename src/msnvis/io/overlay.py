"""The overlay: masks, outlines and labels drawn on the frames, and the video made of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from msnvis import masks as mask_ops
from msnvis.errors import InputError, OutputError
from msnvis.io.ahead import ahead
from msnvis.io.atomic import replacing, told
from msnvis.io.canvas import Canvas, Colour, Sticker, make_sticker
from msnvis.io.colours import colour_of, text_colour_on
from msnvis.io.picture import BT601, frame_planes, to_i420
from msnvis.io.source import FrameSource
from msnvis.masks import RLE
from msnvis.structures import Track, VideoInstances

#: Share of the track's colour in the fill.
OPACITY = 0.45
#: The height of a frame, in units of the thickness of outlines and of the height of letters.
HEIGHT_IN_OUTLINES, HEIGHT_IN_LETTERS = 360, 42
#: Ticks a second: whole numbers of them make frames of all usual rates, and MPEG-4 allows no more than 65535.
CLOCK = 60_000
#: Drawn frames in turn, since fresh memory costs more than drawing: being drawn, waiting, being encoded.
_POOL = 4
#: Video range: luma from 16 to 235.
_LIMITED = 1
#: Encoders, the first that PyAV has is used.
CODECS = ("libx264", "mpeg4")


class OverlayRenderer:
    """Draws tracked objects on frames.

    >>> image = np.zeros((8, 8, 3), np.uint8)
    >>> everywhere = mask_ops.encode(np.ones((1, 8, 8), bool))
    >>> drawn = OverlayRenderer().render(image, everywhere, ids=[1], captions=[""])
    >>> drawn[0, 0].tolist(), drawn[4, 4].tolist()
    ([86, 180, 233], [39, 81, 105])
    """

    def render(
        self, image: np.ndarray, rles: Sequence[RLE], ids: Sequence[int], captions: Sequence[str]
    ) -> np.ndarray:
        """A copy of `image` with objects drawn on it, later ones on top, and labels above all.

        Args:
            image: RGB uint8 ``(H, W, 3)``.
            rles: N masks; scaled when they are of another size.
            ids: N track ids, which choose the colours.
            captions: N labels, for example ``"person 3 0.92"``; none is drawn where it is empty.
        """
        canvas = Canvas.from_rgb(image)
        self.draw(canvas, image.shape[:2], rles, ids, captions)
        return canvas.rgb()

    def draw(
        self,
        canvas: Canvas,
        size: tuple[int, int],
        rles: Sequence[RLE],
        ids: Sequence[int],
        captions: Sequence[str],
    ) -> None:
        """As `render`, on a canvas that shows a frame of `size` ``(height, width)``."""
        thickness = max(1, round(min(size) / HEIGHT_IN_OUTLINES))
        labels = _Labels(canvas, size)
        crops = mask_ops.decode_crops(mask_ops.resize(rles, size))
        for (crop, left, top), track_id in zip(crops, ids, strict=True):
            if crop.size:
                mask = crop.view(np.uint8)
                rim = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
                inside = cv2.erode(mask, None, iterations=thickness, **rim)
                canvas.fill(mask, inside, left, top, colour_of(track_id), OPACITY)
        for (crop, left, top), track_id, caption in zip(crops, ids, captions, strict=True):
            if crop.size and caption:
                labels.draw(caption, colour_of(track_id), left, top, crop.shape)


class OverlayVideo:
    """An H.264 video in an mp4 file (MPEG-4 where PyAV lacks x264), frame by frame.

    Each frame is shown at its own time, counted from the first one, so a variable frame rate survives. An odd
    size is made even by repeating the last row or column, because 4:2:0 video has no odd sizes. The file gets
    its name when it is complete; nothing is left of it when the block fails or no frame was written.
    """

    def __init__(self, path: Path, fps: float | None = None) -> None:
        """
        Args:
            path: of the file, opened with the first frame.
            fps: about how many frames a second, for the encoder's rate control.
        """
        self.num_frames = 0
        self._path = path
        self._fps = fps or 30.0
        self._file = ExitStack()
        self._container: av.container.OutputContainer | None = None

    def write(self, image: np.ndarray, timestamp: float) -> None:
        """Add a frame: RGB uint8 ``(H, W, 3)``, shown at `timestamp` seconds.

        Raises `OutputError` when the file system or the encoder refuses.
        """
        frame = av.VideoFrame.from_ndarray(to_i420(image), format="yuv420p")
        frame.colorspace = BT601
        self.write_frame(frame, timestamp)

    def write_frame(self, frame: av.VideoFrame, timestamp: float) -> None:
        """As `write`, of a frame in YUV 4:2:0 of limited range and even size; all have the same matrix."""
        with self._explained():
            if self._container is None:
                self._open(frame)
                self._first, self._latest = timestamp, -1
            self._latest = max(round((timestamp - self._first) * CLOCK), self._latest + 1)
            frame.pts, frame.time_base = self._latest, Fraction(1, CLOCK)
            self._container.mux(self._stream.encode(frame))
        self.num_frames += 1

    def __enter__(self) -> OverlayVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with suppress(av.FFmpegError, OSError):  # the error under way matters more
                if self._container is not None:
                    self._container.close()
            self._file.__exit__(kind, error, trace)
        elif self._container is not None:
            with self._file, self._explained():
                self._container.mux(self._stream.encode())
                self._container.close()

    def _open(self, first: av.VideoFrame) -> None:
        temporary = self._file.enter_context(replacing(self._path))
        self._container = av.open(str(temporary), mode="w", format="mp4")
        codec = next(name for name in CODECS if name in av.codecs_available)
        rate = Fraction(min(max(self._fps, 1.0), 240.0)).limit_denominator(1001)
        self._stream = self._container.add_stream(codec, rate=rate)
        self._stream.height, self._stream.width, self._stream.pix_fmt = first.height, first.width, "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, CLOCK)
        context.colorspace, context.color_range = first.colorspace, _LIMITED
        if codec == "libx264":  # a constant quantizer takes a quarter less time than a constant rate factor
            context.options = {"preset": "ultrafast", "qp": "23"}
        else:  # about the same quality at a fixed number of bits a pixel
            context.bit_rate = int(first.height * first.width * float(rate) / 5)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            with told(self._path):
                yield
        except av.FFmpegError as error:  # those that are no OSError
            raise OutputError(
                f"{self._path} cannot be encoded ({error.strerror}); try another size"
            ) from None


def caption_of(video: VideoInstances, track: Track) -> str:
    """The label of a track, for example ``person 3 0.92``."""
    return f"{video.class_name(track)} {track.id} {track.score:.2f}"


def draw_frame(
    renderer: OverlayRenderer, image: np.ndarray, video: VideoInstances, tracks: Sequence[Track], index: int
) -> np.ndarray:
    """Frame `index` with those of `video`'s `tracks` that are in it, better scores on top."""
    return renderer.render(image, *_to_draw(video, tracks, index))


def _to_draw(
    video: VideoInstances, tracks: Sequence[Track], index: int
) -> tuple[list[RLE], list[int], list[str]]:
    """Masks, ids and captions of `tracks` in frame `index`, better scores last."""
    bottom_up = sorted(tracks, key=lambda track: track.score)
    return (
        [track.rles[index] for track in bottom_up],
        [track.id for track in bottom_up],
        [caption_of(video, track) for track in bottom_up],
    )


def write_overlay(instances: VideoInstances, source: FrameSource, path: Path) -> None:
    """Read `source` once more and write it with `instances` drawn on it.

    Args:
        instances: the results.
        source: the video; frames after the last of `instances` are left out.
        path: of the mp4 file.

    Raises `InputError` for a live source, which cannot be read twice, and `OutputError` when the file system
    or the encoder refuses.
    """
    if source.live:
        raise InputError(
            f"{source.name} is live and cannot be read again to draw the overlay; record it to a file first"
        )
    # The next frame is drawn while one is encoded.
    with (
        closing(ahead(_drawn(instances, source), 1)) as drawn,
        OverlayVideo(Path(path), _fps(instances)) as video,
    ):
        for frame, timestamp in drawn:
            video.write_frame(frame, timestamp)
    if not video.num_frames:
        raise InputError(f"{source.name} has no frames to draw on; check --start and --end")


def _drawn(instances: VideoInstances, source: FrameSource) -> Iterator[tuple[av.VideoFrame, float]]:
    """Every frame with its objects, and its timestamp."""
    present, renderer = instances.by_frame(), OverlayRenderer()
    pool: deque[av.VideoFrame] = deque()
    for picture in source.pictures():
        if picture.index >= len(present):
            break
        if len(pool) < _POOL:
            height, width = picture.planes[0].shape
            pool.append(av.VideoFrame(width, height, "yuv420p"))
            pool[-1].colorspace = picture.matrix
        else:
            pool.rotate(-1)
        drawn = pool[-1]
        drawn.make_writable()  # an encoder may still read it
        canvas = Canvas(picture.planes, frame_planes(drawn), picture.matrix)
        renderer.draw(canvas, picture.size, *_to_draw(instances, present[picture.index], picture.index))
        yield drawn, picture.timestamp


def _fps(instances: VideoInstances) -> float | None:
    if instances.num_frames < 2:
        return None
    seconds = float(instances.timestamps[-1] - instances.timestamps[0])
    return (instances.num_frames - 1) / seconds if seconds > 0 else None


class _Labels:
    """The labels of one frame, placed so that they stay inside it and off each other."""

    def __init__(self, canvas: Canvas, size: tuple[int, int]) -> None:
        self._canvas = canvas
        self._size = size
        self._taken: list[tuple[int, int, int, int]] = []
        self._letters = max(9, round(min(size) / HEIGHT_IN_LETTERS))

    def draw(self, caption: str, colour: Colour, left: int, top: int, shape: tuple[int, int]) -> None:
        """Above the object's box, or the nearest free place below that."""
        sticker = _label_sticker(caption, colour, self._letters, self._canvas.matrix)
        height, width = self._size
        h, w = (min(side, limit) for side, limit in zip(sticker[0][0].shape, self._size, strict=True))
        x = min(max(left + (shape[1] - w) // 2, 0), width - w) // 2 * 2
        wanted = min(max(top - h - 2, 0), height - h)
        rows = [min(wanted + step * (h + 1), height - h) // 2 * 2 for step in range(5)]
        y = next((row for row in rows if self._is_free(x, row, w, h)), rows[0])
        self._taken.append((x, y, w, h))
        self._canvas.paste(sticker, x, y)

    def _is_free(self, x: int, y: int, w: int, h: int) -> bool:
        return all(
            x + w <= left or left + width <= x or y + h <= top or top + height <= y
            for left, top, width, height in self._taken
        )


@lru_cache(maxsize=1024)
def _label_sticker(caption: str, colour: Colour, letters: int, matrix: int | None) -> Sticker:
    return make_sticker(*label_chip(caption, colour, letters), matrix)


def label_chip(caption: str, colour: Colour, letters: int) -> tuple[np.ndarray, np.ndarray]:
    """Text on a rounded ground: RGB uint8 ``(h, w, 3)`` and its mask, uint8 ``(h, w)``.

    Args:
        caption: the text.
        colour: RGB of the ground.
        letters: height of the text in pixels.
    """
    font = ImageFont.load_default(letters)
    caption = caption.replace(" ", "  ")  # its spaces are so narrow that an id and a score run together
    ascent, descent = font.getmetrics()
    padding = max(2, letters // 3)
    size = (round(font.getlength(caption)) + 2 * padding, ascent + descent + 2)
    chip = Image.new("RGB", size, colour)
    ImageDraw.Draw(chip).text((padding, 1), caption, text_colour_on(colour), font=font)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=letters // 4, fill=255)
    return np.asarray(chip), np.asarray(mask)
