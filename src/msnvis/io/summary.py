"""``summary.png``: what was found, on one picture: frames of the video above a timeline of the tracks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from msnvis.io.atomic import replacing
from msnvis.io.colours import colour_of, text_colour_on
from msnvis.io.overlay import OverlayRenderer, draw_frame
from msnvis.io.picture import Picture
from msnvis.io.source import Frame, FrameSource
from msnvis.structures import Track, VideoInstances

#: Frames on the contact sheet, and rows of the timeline, at most.
MAX_FRAMES, MAX_ROWS = 12, 40
#: Pixels.
WIDTH, MARGIN, GAP, ROW, LABELS = 1600, 32, 12, 30, 300
#: Colours.
GROUND, PANEL, LINES, FAINT, TEXT = (22, 24, 29), (32, 35, 42), (58, 63, 74), (142, 150, 164), (236, 239, 244)
#: Seconds between the ticks of the time axis: the first that gives no more than a dozen.
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)


def write_summary(instances: VideoInstances, source: FrameSource, path: Path) -> None:
    """Write a contact sheet with a timeline of the tracks as PNG.

    Args:
        instances: the results.
        source: the video, of which the frames shown are read once more; of a live one only the timeline is
            drawn.
        path: of the PNG file.

    Raises `OutputError` when the file system refuses.
    """
    pictures = [] if source.live else _pictures(instances, source)
    parts = [_header(instances), *([_contact_sheet(pictures)] if pictures else []), _timeline(instances)]
    sheet = Image.new("RGB", (WIDTH, sum(part.height for part in parts) + MARGIN), GROUND)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    with replacing(Path(path)) as temporary:
        sheet.save(temporary, format="PNG", compress_level=1)  # a third of the time for a tenth more bytes


class KeepingThumbnails(FrameSource):
    """A source that keeps the frames of the summary, at its size, when another writer reads the whole video.

    Args:
        source: the video.
        instances: its results.
    """

    def __init__(self, source: FrameSource, instances: VideoInstances) -> None:
        super().__init__(source.name, live=source.live, label=source.label)
        self.size, self.source_size, self.fps = source.size, source.source_size, source.fps
        self.num_frames, self.warnings = source.num_frames, source.warnings
        self._source = source
        self._frame_size = instances.size
        self._chosen = set(choose_frames(instances))
        self._kept: dict[int, Frame] = {}

    def frames(self) -> Iterator[Frame]:
        return self._source.frames()

    def pictures(self) -> Iterator[Picture]:
        for picture in self._source.pictures():
            if picture.index in self._chosen:
                image = _fit(picture.image, self._frame_size)
                self._kept[picture.index] = Frame(picture.index, picture.timestamp, image)
            yield picture

    def pick(self, indices: Collection[int]) -> Iterator[Frame]:
        if not self._kept:
            return self._source.pick(indices)
        return (frame for index, frame in self._kept.items() if index in indices)


def choose_frames(instances: VideoInstances, most: int = MAX_FRAMES) -> list[int]:
    """Indices of up to `most` frames that show the video: every shot, spread evenly, with many objects.

    >>> video = VideoInstances("clip", (1, 1), np.arange(9), (), cuts=(8,))
    >>> choose_frames(video, most=3)
    [2, 6, 8]
    """
    counts = [len(tracks) for tracks in instances.by_frame()]
    shots = list(pairwise([0, *instances.cuts, len(counts)]))
    if len(shots) > most:
        shots = [shots[i] for i in np.linspace(0, len(shots) - 1, most).astype(int)]
    lengths = np.array([end - start for start, end in shots])
    pieces = np.minimum(lengths, 1)
    while pieces.sum() < min(most, lengths.sum()):
        pieces[np.argmax(np.where(pieces < lengths, lengths / np.maximum(pieces, 1), 0))] += 1
    chosen = []
    for (start, end), number in zip(shots, pieces, strict=True):
        for first, last in pairwise(np.linspace(start, end, number + 1).astype(int).tolist()):
            middle = (first + last) // 2
            chosen.append(max(range(first, last), key=lambda i: (counts[i], -abs(i - middle))))
    return chosen


def _pictures(instances: VideoInstances, source: FrameSource) -> list[Image.Image]:
    """The chosen frames with objects and time drawn on them, at the size of the contact sheet."""
    present = instances.by_frame()
    chosen = set(choose_frames(instances))
    renderer = OverlayRenderer()
    pictures: list[Image.Image] = []
    for frame in source.pick(chosen):
        image = _fit(frame.image, instances.size)
        image = draw_frame(renderer, image, instances, present[frame.index], frame.index)
        pictures.append(_stamped(Image.fromarray(image), clock_text(frame.timestamp, 0.1)))
    return pictures


def _fit(image: np.ndarray, frame_size: tuple[int, int]) -> np.ndarray:
    """A frame of a video of `frame_size` ``(height, width)`` at the size of the contact sheet."""
    columns = 4 if frame_size[1] >= frame_size[0] else 6
    width = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns
    height = max(1, min(round(image.shape[0] * width / image.shape[1]), 2 * width))
    shrinks = width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _stamped(picture: Image.Image, text: str) -> Image.Image:
    draw = ImageDraw.Draw(picture)
    place = (8, picture.height - 8)
    draw.text(place, text, TEXT, _font(15), anchor="ls", stroke_width=2, stroke_fill=(0, 0, 0))
    return picture


def _header(instances: VideoInstances) -> Image.Image:
    part = Image.new("RGB", (WIDTH, 92), GROUND)
    draw = ImageDraw.Draw(part)
    draw.text((MARGIN, 50), instances.name, TEXT, _font(30), anchor="ls")
    height, width = instances.size
    seconds = _ends(instances)[1] - _ends(instances)[0]
    tracks = len(instances.tracks)
    facts = [
        f"{width} x {height}",
        f"{instances.num_frames} frames",
        f"{seconds:.1f} s",
        "1 shot" if not instances.cuts else f"{len(instances.cuts) + 1} shots",
        "1 object" if tracks == 1 else f"{tracks} objects",
    ]
    draw.text((MARGIN, 76), "   ".join(facts), FAINT, _font(17), anchor="ls")
    return part


def _contact_sheet(pictures: list[Image.Image]) -> Image.Image:
    width, height = pictures[0].size
    columns = max(1, (WIDTH - 2 * MARGIN + GAP) // (width + GAP))
    rows = -(-len(pictures) // columns)
    part = Image.new("RGB", (WIDTH, rows * (height + GAP) - GAP + 20), GROUND)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        part.paste(picture, (MARGIN + column * (width + GAP), row * (height + GAP)))
    return part


def _timeline(instances: VideoInstances) -> Image.Image:
    tracks = sorted((track for track in instances.tracks if track.rles), key=lambda track: min(track.rles))
    shown = tracks[:MAX_ROWS]
    bottom = max(len(shown), 1) * ROW + 16
    part = Image.new("RGB", (WIDTH, bottom + 34 + (26 if len(tracks) > MAX_ROWS else 0)), GROUND)
    draw = ImageDraw.Draw(part)
    draw.rounded_rectangle((MARGIN, 0, WIDTH - MARGIN, bottom), radius=8, fill=PANEL)
    axis = _Axis(*_ends(instances))
    for seconds in axis.ticks():
        x = axis.x(seconds)
        draw.line((x, 8, x, bottom - 8), LINES)
        draw.text((x, bottom + 20), clock_text(seconds, axis.step), FAINT, _font(14), anchor="ms")
    for number, track in enumerate(shown):
        _draw_track(draw, instances, track, 8 + number * ROW, axis)
    for cut in instances.cuts:
        x = axis.x(float(instances.timestamps[cut]))
        draw.line((x, 2, x, bottom - 2), TEXT, width=2)
    if instances.cuts:
        draw.text((MARGIN + 14, bottom + 20), "white lines: cuts", FAINT, _font(14), anchor="ls")
    if not shown:
        draw.text((MARGIN + 14, bottom // 2), "no objects found", FAINT, _font(17), anchor="lm")
    if len(tracks) > MAX_ROWS:
        more = f"... and {len(tracks) - MAX_ROWS} more"
        draw.text((MARGIN + 14, bottom + 46), more, FAINT, _font(17), anchor="ls")
    return part


def _draw_track(
    draw: ImageDraw.ImageDraw, instances: VideoInstances, track: Track, top: int, axis: _Axis
) -> None:
    """A row: id on its colour, class, score, and a bar wherever the object is present."""
    colour = colour_of(track.id)
    middle = top + ROW // 2
    left = MARGIN + 14
    draw.rounded_rectangle((left, top + 4, left + 46, top + ROW - 5), radius=5, fill=colour)
    draw.text((left + 23, middle), str(track.id), text_colour_on(colour), _font(15), anchor="mm")
    draw.text((left + 58, middle), _short(instances.class_name(track), 19), TEXT, _font(16), anchor="lm")
    draw.text((MARGIN + LABELS - 18, middle), f"{track.score:.2f}", FAINT, _font(15), anchor="rm")
    ends = np.append(instances.timestamps[1:], axis.end)
    for first, last in _runs(sorted(track.rles)):
        x1, x2 = axis.x(float(instances.timestamps[first])), axis.x(float(ends[last]))
        draw.rounded_rectangle((x1, top + 6, max(x2, x1 + 2), top + ROW - 7), radius=3, fill=colour)


class _Axis:
    """Seconds to columns of the picture."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end
        self.step = next((step for step in TICKS if (end - start) / step <= 12), (end - start) / 12)

    def x(self, seconds: float) -> int:
        left, right = MARGIN + LABELS, WIDTH - MARGIN - 24
        return round(left + (right - left) * (seconds - self.start) / (self.end - self.start))

    def ticks(self) -> Iterator[float]:
        first = int(np.ceil(self.start / self.step - 1e-6))
        last = int(np.floor(self.end / self.step + 1e-6))
        return (number * self.step for number in range(first, last + 1))


def clock_text(seconds: float, step: float) -> str:
    """Seconds as people write them, as exact as `step` asks for.

    >>> clock_text(7, 1), clock_text(2.5, 0.5), clock_text(75, 15), clock_text(3725, 60)
    ('7 s', '2.5 s', '1:15', '1:02:05')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if step < 1 else f"{round(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _ends(instances: VideoInstances) -> tuple[float, float]:
    """Seconds of the beginning of the first frame and of the end of the last."""
    times = instances.timestamps
    if not len(times):
        return 0.0, 1.0
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    return float(times[0]), float(times[-1]) + max(usual, 1e-3)


def _runs(frames: list[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    array = np.array(frames)
    breaks = np.flatnonzero(np.diff(array) > 1)
    firsts = np.concatenate([array[:1], array[breaks + 1]])
    lasts = np.concatenate([array[breaks], array[-1:]])
    return zip(firsts.tolist(), lasts.tolist(), strict=True)


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
