"""Decoding with PyAV, shared by video files and live addresses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from msnvis.errors import InputError
from msnvis.io.picture import BT601, BT709, Picture, even, frame_planes
from msnvis.io.source import MAX_PIXELS, FrameSource, check_pixels, fit, working_size

#: Formats in which FFmpeg "plays" text files; what is not a video shall be called so.
_TEXT_FORMATS = {"tty"}
_DAMAGED = "{} is damaged: some of its frames are missing or only partly restored"
_PYAV = int(av.__version__.split(".")[0])
#: One thread for conversions: waiting for more costs more than they gain. PyAV before 17 has no others.
_ONE_THREAD = {"threads": 1} if _PYAV >= 17 else {}
#: Tags that are no UTF-8 are no reason to refuse a video. PyAV from 19 on never does.
_TAGS = {"metadata_errors": "replace"} if _PYAV < 19 else {}
#: The matrices that pictures are kept in, by their numbers in ITU-T H.273; one that is not stated (2) is read
#: as BT.601, and others are converted to it.
_MATRICES = {BT709: BT709, 2: BT601, 5: BT601, BT601: BT601}
_FULL_RANGE = 2
#: Frames up to this size are decoded one after the other. Decoding several at a time, as larger ones need, is
#: a fifth more work, and FFmpeg may then give a frame away before it knows of its damage.
_ONE_THREAD_PIXELS = 1920 * 1088
#: A step back of more than this many seconds is a new clock (joined recordings), not a disordered frame.
_RESTART_SECONDS = 1.0


def open_container(
    address: str | Path, name: str, timeout: float | None = None
) -> av.container.InputContainer:
    """Open a file or address; raises `InputError`. `timeout` in seconds, for connecting and for each read."""
    options = {"rtsp_transport": "tcp"} if str(address).startswith("rtsp") else {}
    try:
        container = av.open(str(address), options=options, timeout=timeout, **_TAGS)
    except av.error.InvalidDataError as error:
        raise InputError(
            f"{name} is not a video that can be read: it is damaged, incomplete or of another kind"
        ) from error
    except av.error.FFmpegError as error:
        raise InputError(f"{name} cannot be opened: {_reason(error)}") from error
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise InputError(f"{name} is a text file, not a video")
    return container


def _reason(error: av.error.FFmpegError) -> str:
    if isinstance(error, av.error.ExitError):  # how PyAV's timeout ends a call
        return "it did not answer in time"
    return error.strerror or str(error)


def video_stream(
    container: av.container.InputContainer, name: str, max_pixels: int = MAX_PIXELS
) -> av.video.stream.VideoStream:
    """The main video stream, with its decoder threaded; raises `InputError`."""
    # A cover picture in a music file is a video stream too, but of one still picture.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        raise InputError(f"{name} has no video stream, only {_stream_types(container)}")
    stream = max(streams, key=lambda s: (bool(s.disposition & av.stream.Disposition.default), -s.index))
    codec = stream.codec_context
    if codec is None:
        raise InputError(
            f"{name} is coded with a codec that this FFmpeg cannot decode; convert it, "
            f"for example: ffmpeg -i {name} -c:v libx264 converted.mp4"
        )
    check_pixels(name, (codec.height, codec.width), max_pixels)
    codec.thread_type = "AUTO" if codec.width * codec.height > _ONE_THREAD_PIXELS else "SLICE"
    return stream


def _stream_types(container: av.container.InputContainer) -> str:
    return " and ".join(sorted({stream.type for stream in container.streams})) or "no stream at all"


def whole_packets(packets: Iterator[av.Packet], source: FrameSource) -> Iterator[av.Packet]:
    """Pass on all packets but a last one that the end of the file has torn, and tell `source` of that.

    A decoder that works in several threads would lose the frames that wait for their turn, without a word.
    """
    doubtful = None
    for packet in packets:
        if doubtful is not None and packet.size:
            yield doubtful
            doubtful = None
        if packet.size and packet.is_corrupt:
            doubtful = packet
        else:
            yield packet
    source.is_torn = doubtful is not None


def decode(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    source: FrameSource,
    after_seek: bool = False,
) -> Iterator[av.VideoFrame]:
    """All frames from where `container` stands, in order of presentation; warns of damaged ones.

    After a seek it is no damage that frames before the first keyframe are broken.
    """
    is_clean = not after_seek
    packets = whole_packets(container.demux(stream), source)
    while True:
        try:
            packet = next(packets, None)
            if packet is not None and packet.size == 0 and packet.dts is not None:
                continue  # a dropped frame; the decoder would take it for the end
            frames = stream.decode(None) if packet is None else packet.decode()
        except av.error.EOFError:
            return
        except av.error.InvalidDataError:
            if is_clean:
                source.warn(_DAMAGED.format(source.label))
            continue
        except av.error.FFmpegError as error:
            with suppress(av.error.FFmpegError):
                yield from stream.decode(None)  # frames that waited for their turn
            raise InputError(f"reading {source.label} failed: {_reason(error)}") from error
        for frame in frames:
            is_clean = is_clean or frame.key_frame
            if is_clean and frame.is_corrupt:
                source.warn(_DAMAGED.format(source.label))
            yield frame
        if packet is None:
            return


class Clock:
    """Turns timestamps as stored into seconds that strictly increase; counts frames where none are stored.

    A missing timestamp is one frame after the one before; one that repeats or steps back a little, half a
    frame; after a jump back of more than a second (joined recordings) the time goes on one frame later.
    """

    def __init__(self, origin: float, fps: float, is_timed: bool = True) -> None:
        self._is_timed = is_timed
        self._offset = -origin
        self._step = 1.0 / fps
        self._last: float | None = None

    def tick(self, frame: av.VideoFrame) -> float:
        """The time of the next frame in seconds."""
        last = self._last
        if not self._is_timed or frame.pts is None or frame.time_base is None:
            time = 0.0 if last is None else last + self._step
        else:
            time = float(frame.pts * frame.time_base) + self._offset
        if last is not None and time <= last:
            if last - time > _RESTART_SECONDS:
                self._offset += last + self._step - time
                time = last + self._step
            else:
                time = last + self._step / 2
        self._last = time
        return time


class Orientation:
    """How stored frames are turned and mirrored to be upright: the display matrix, in quarter turns."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self.transpose = self.mirror = self.flip = False
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return
        # Stored point (x, y) is shown at (a*x + c*y, b*x + d*y).
        a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5]
        self.transpose = abs(int(b)) > abs(int(a))
        self.mirror = bool((c if self.transpose else a) < 0)
        self.flip = bool((b if self.transpose else d) < 0)

    @property
    def degrees(self) -> int:
        """Clockwise turn that makes the frames upright: 0, 90, 180 or 270 (before mirroring, if any)."""
        if self.transpose:
            return 90 if self.mirror else 270
        return 180 if self.flip else 0

    def apply(self, image: np.ndarray) -> np.ndarray:
        if self.transpose:
            image = cv2.transpose(image)
        if self.mirror or self.flip:
            image = cv2.flip(image, -1 if self.mirror and self.flip else int(self.mirror))
        return image


class Upright:
    """Makes upright images of the working size out of decoded frames; the first one gives the size."""

    def __init__(self, source: FrameSource, first: av.VideoFrame, max_side: int | None) -> None:
        self.orientation = Orientation(first)
        self._source = source
        self._stored = (first.height, first.width)
        check_pixels(source.label, self._stored, source.max_pixels)  # not every header says it
        self._matrix = _MATRICES.get(first.colorspace, BT601)
        source.source_size = self._turned(self._stored)
        source.size = working_size(source.source_size, max_side)
        self._working = self._turned(source.size)
        self._reformatter = VideoReformatter()
        self._lock = threading.Lock()  # a source may be read in two places at once

    def _turned(self, size: tuple[int, int]) -> tuple[int, int]:
        return size[::-1] if self.orientation.transpose else size

    def image(self, frame: av.VideoFrame, number: int) -> np.ndarray:
        """RGB uint8 ``(H, W, 3)``; `number` is for messages."""
        self._check(frame, number)
        rgb = self._reformatted(frame, format="rgb24").to_ndarray()
        return self.orientation.apply(fit(rgb, self._working))

    def picture(self, frame: av.VideoFrame, number: int, index: int, timestamp: float) -> Picture:
        """The frame in YUV 4:2:0: most are stored so, and then nothing is converted."""
        self._check(frame, number)
        planes = map(self.orientation.apply, frame_planes(self._as_yuv(frame)))
        size, make_image = self._source.size, partial(self.image, frame, number)
        return Picture(index, timestamp, size, even(planes), self._matrix, make_image)

    def _as_yuv(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame in YUV 4:2:0 of limited range, at the working size but not turned; often itself."""
        is_plain = frame.format.name == "yuv420p" and frame.color_range != _FULL_RANGE
        if (
            is_plain
            and (frame.height, frame.width) == self._working
            and _MATRICES.get(frame.colorspace) == self._matrix
        ):
            return frame
        return self._reformatted(
            frame,
            height=self._working[0],
            width=self._working[1],
            format="yuv420p",
            dst_colorspace="ITU709" if self._matrix == BT709 else "ITU601",
            dst_color_range="MPEG",
        )

    def _check(self, frame: av.VideoFrame, number: int) -> None:
        source = self._source
        if (frame.height, frame.width) != self._stored:
            check_pixels(source.label, (frame.height, frame.width), source.max_pixels)
            source.warn_of_size(f"frame {number}", (frame.height, frame.width), self._stored)

    def _reformatted(self, frame: av.VideoFrame, **wanted: object) -> av.VideoFrame:
        with self._lock:
            # Bilinear concerns the colour planes only, and takes less than half the time of bicubic.
            return self._reformatter.reformat(frame, **wanted, interpolation="BILINEAR", **_ONE_THREAD)
