"""Video files, read in either direction without ever holding the whole video.

Backwards, a video is decoded chunk by chunk from the last: seek to a keyframe, decode forward, hand out in
reverse, while the next chunk is being decoded. A chunk is made of whole groups of pictures where these are
short; a longer one is decoded several times, a bounded part of it kept each time, and a part of a very long
one waits in a temporary file of bounded size. Which frames there are is noted in the forward pass (or, if
there was none, in a pass of its own), with a checksum of some rows of each: a seek is trusted only where it
brings exactly these frames, and otherwise the file is decoded anew from its start.
"""

from __future__ import annotations

import tempfile
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import av
import numpy as np

from msnvis.errors import InputError, OptionError, OutputError
from msnvis.io.ahead import ahead
from msnvis.io.decoding import Clock, Upright, decode, open_container, video_stream, whole_packets
from msnvis.io.gif import is_complete
from msnvis.io.identity import file_identity
from msnvis.io.info import VideoInfo, packet_facts
from msnvis.io.mp4 import check_claims
from msnvis.io.picture import Picture
from msnvis.io.source import NOMINAL_FPS, Frame, FrameSource, Window

#: Frames of one chunk held in memory, in bytes; there may be two at a time.
MEMORY_BYTES = 128 * 2**20
#: Frames of one chunk held in a temporary file, in bytes; likewise.
DISK_BYTES = 2**30
#: A group of pictures up to this many times longer than fits in memory is decoded repeatedly, which costs
#: less than writing it to the temporary file.
_MOST_DECODES = 4
#: Tries at the keyframe before a wanted time, in seconds before it: not every container seeks precisely.
_SEEK_BACK = (0.0, 1.0, 10.0)
#: Formats of constant frame rate without timestamps; what FFmpeg makes up for them is late or out of order.
_UNTIMED = {"avi"}
#: Every this many-th row of a frame goes into its checksum.
_CHECKSUM_ROWS = 16
#: A file whose header promises this much more than it holds, as a share and in seconds, is called truncated.
_SHORT_SHARE, _SHORT_SECONDS = 0.02, 0.5
#: Of `_Index`: what its state holds as arrays.
_STORED = ("pts", "checksums", "kept", "times", "_keys")


class VideoFile(FrameSource):
    """A file that PyAV reads; raises `InputError` where it holds no video, `OptionError` for a bad window."""

    kind = "video file"

    def __init__(self, path: Path, window: Window, max_side: int | None) -> None:
        super().__init__(path.stem, label=path.name)
        self._path = path
        self._window = window
        self.max_pixels = window.max_pixels
        self._index: _Index | None = None
        self._seek_start: int | None = None
        self._lands_late = False
        check_claims(path, path.name)
        with self._open() as container:
            stream = video_stream(container, path.name, self.max_pixels)
            rate = stream.average_rate or stream.guessed_rate
            self.fps = float(rate) if rate else None
            self._is_timed = container.format.name not in _UNTIMED
            self._is_gif = container.format.name == "gif"
            first = next(decode(container, stream, self), None)
            if first is None:
                raise InputError(f"{path.name} has a video stream but not one frame that can be decoded")
            self._origin = _origin(container, first)
            self._declared = stream.frames
            self._declared_end = _declared_end(container, stream, self._origin)
            self._upright = Upright(self, first, max_side)
        self._check_window()
        self.num_frames = self._estimate()
        window.check_length(self.label, self.num_frames or 0)

    def identity(self) -> dict[str, object]:
        return {**file_identity(self._path), **asdict(self._window)}

    def describe(self) -> VideoInfo:
        with self._open() as container:
            stream = video_stream(container, self.label)
            codec = stream.codec_context
            facts = packet_facts(whole_packets(container.demux(stream), self), stream)
            if "duration" in facts:
                last_time = facts["duration"] - 1 / (self.fps or NOMINAL_FPS)
                self._check_complete(facts["num_frames"], last_time)
            return replace(
                super().describe(),
                container=container.format.name,
                codec=codec.name,
                pixel_format=codec.pix_fmt,
                rotation=self._upright.orientation.degrees,
                **facts,
            )

    def frames(self) -> Iterator[Frame]:
        return ahead(self._frames())

    def frames_reversed(self) -> Iterator[Frame]:
        return ahead(self._frames_reversed())

    def part(self, first: int, last: int) -> Iterator[Frame]:
        return super().part(first, last) if self._index is None else ahead(self._part(first, last))

    def part_reversed(self, first: int, last: int) -> Iterator[Frame]:
        return ahead(self._frames_reversed(first, last))

    def state_dict(self) -> dict[str, Any]:
        return {} if self._index is None else self._index.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            self._index = _Index.from_state(state)
            self.num_frames = len(self._index.times)

    def pictures(self) -> Iterator[Picture]:
        return ahead(self._pictures())

    def pick(self, indices: Collection[int]) -> Iterator[Frame]:
        index = self._index
        if index is None or not index.is_seeking_worthwhile(indices):
            yield from self._pick_on_the_way(indices)
            return
        with (
            self._open() as container,
            _Stack(self._upright, self.size, memory_frames=1, keep_decoded=True) as stack,
        ):
            stream = video_stream(container, self.label)
            for position in sorted(indices):
                if position < len(index.times):
                    self._decode_chunk(stream, index, position, position + 1, stack)
                    yield Frame(position, index.times[position], stack.pop())

    def _frames(self) -> Iterator[Frame]:
        # A thread of its own decodes: beside the tracker's there is often time for it, and it takes longest.
        for frame, number, position, time in ahead(self._chosen()):
            yield Frame(position, time, self._upright.image(frame, number))

    def _pictures(self) -> Iterator[Picture]:
        for frame, number, position, time in self._chosen():
            yield self._upright.picture(frame, number, position, time)

    def _chosen(self) -> Iterator[tuple[av.VideoFrame, int, int, float]]:
        """The chosen frames as decoded: number in the file, position among the chosen ones, and time."""
        index = _Index()
        for frame, position in self._walk(index):
            if position is not None:
                yield frame, len(index.pts) - 1, position, index.times[position]

    def _part(self, first: int, last: int) -> Iterator[Frame]:
        index = self._index
        for position, (frame, number) in enumerate(ahead(self._decode_part(index, first, last)), first):
            yield Frame(position, index.times[position], self._upright.image(frame, number))

    def _decode_part(self, index: _Index, first: int, last: int) -> Iterator[tuple[av.VideoFrame, int]]:
        """The chosen frames `first` to `last` (exclusive) as decoded, each with its number in the file."""
        with self._open() as container:
            stream = video_stream(container, self.label)
            for target in index.seek_targets(index.kept[first]) if index.is_ordered else ():
                for found in self._decode_after_seek(stream, index, target, index.kept[first:last]):
                    yield found
                    first += 1
                if first == last:
                    return
        yield from self._decode_numbers(index.kept[first:last])

    def _frames_reversed(self, start: int = 0, end: int | None = None) -> Iterator[Frame]:
        if self._index is None:
            for _ in self._walk(_Index()):
                pass
        index = self._index
        assert index is not None  # set by a complete walk
        image_bytes = 3 * self.size[0] * self.size[1]
        in_memory = max(1, MEMORY_BYTES // min(image_bytes, index.frame_bytes))
        on_disk = max(1, DISK_BYTES // image_bytes)

        def decoded() -> Iterator[tuple[int, int, _Stack]]:
            # One decoder for all chunks: it uses the memory of one for the next, where another would get it
            # from the system page by page.
            with self._open() as container:
                stream = video_stream(container, self.label)
                for first, last in index.chunks(in_memory, on_disk, start, end):
                    stack = _Stack(self._upright, self.size, in_memory, index.frame_bytes <= image_bytes)
                    self._decode_chunk(stream, index, first, last, stack)
                    yield first, last, stack

        for first, last, stack in ahead(decoded(), depth=1):
            with stack:
                for position in reversed(range(first, last)):
                    yield Frame(position, index.times[position], stack.pop())

    def _pick_on_the_way(self, indices: Collection[int]) -> Iterator[Frame]:
        for frame, number, position, time in self._chosen() if indices else ():
            if position in indices:
                yield Frame(position, time, self._upright.image(frame, number))
            if position >= max(indices):
                return

    def _open(self) -> av.container.InputContainer:
        return open_container(self._path, self.label)

    def _walk(self, index: _Index) -> Iterator[tuple[av.VideoFrame, int | None]]:
        """Every frame up to the end, with its position among the chosen ones; fills `index`."""
        clock = Clock(self._origin, self.fps or NOMINAL_FPS, self._is_timed)
        window, inside, time = self._window, 0, 0.0
        for number, frame in enumerate(self._decode_from_start()):
            time = clock.tick(frame)
            if window.is_after(number, time):
                break
            chosen = not window.is_before(number, time) and inside % window.stride == 0
            inside += not window.is_before(number, time)
            index.add(frame, time if chosen else None)
            window.check_length(self.label, len(index.times))
            yield frame, (len(index.times) - 1 if chosen else None)
        else:
            self._check_complete(len(index.pts), time)
        window.check_not_empty(self.label, len(index.times), len(index.pts), time)
        index.finish()
        self._index, self.num_frames = index, len(index.times)

    def _decode_from_start(self) -> Iterator[av.VideoFrame]:
        """Frames from the first, or from a keyframe before a start given as a time; always the same ones."""
        if self._seek_start is None:
            self._seek_start = self._find_start()
        with self._open() as container:
            stream = video_stream(container, self.label)
            if self._seek_start > 0:
                container.seek(self._seek_start - 1, stream=stream)
            yield from decode(container, stream, self, after_seek=self._seek_start > 0)

    def _find_start(self) -> int:
        """One more than the timestamp to seek to for decoding to begin before the window; 0: do not seek."""
        start, end = self._window.start, self._window.end
        if not isinstance(start, float) or isinstance(end, int) or not self._is_timed:
            return 0  # frame numbers, and times made of them, are counted from the first frame
        for back in _SEEK_BACK:
            with self._open() as container:
                stream = video_stream(container, self.label)
                target = int((start - back + self._origin) / stream.time_base)
                if target <= 0:
                    return 0
                first = self._first_keyframe(container, stream, target)
                if first is not None and float(first * stream.time_base) - self._origin <= start:
                    return target + 1
        return 0

    def _first_keyframe(self, container, stream, target: int) -> int | None:
        """Timestamp of the first keyframe after seeking to `target`; None where seeking does not work."""
        try:
            container.seek(target, stream=stream)
        except av.error.FFmpegError:
            return None
        for frame in decode(container, stream, self, after_seek=True):
            if frame.key_frame:
                return frame.pts
        return None

    def _decode_chunk(
        self, stream: av.video.stream.VideoStream, index: _Index, first: int, last: int, stack: _Stack
    ) -> None:
        """Put the chosen frames `first` to `last` (exclusive) on `stack`; `stream` is there to seek in."""
        numbers = index.kept[first:last]
        if index.is_ordered:
            targets = index.seek_targets(numbers[0])
            for target in targets[1:] if self._lands_late else targets:
                for frame, number in self._decode_after_seek(stream, index, target, numbers):
                    stack.push(frame, number)
                if len(stack) == len(numbers):
                    self._lands_late = target != targets[0]  # likewise for the other chunks
                    return
                stack.clear()
        for frame, number in self._decode_numbers(numbers):
            stack.push(frame, number)

    def _decode_numbers(self, numbers: array) -> Iterator[tuple[av.VideoFrame, int]]:
        """The frames of these ascending numbers, without seeking."""
        wanted = set(numbers)
        for number, frame in enumerate(self._decode_from_start()):
            if number in wanted:
                yield frame, number
            if number == numbers[-1]:
                return
        raise InputError(f"{self.label} changed or became unreadable while it was being read")

    def _decode_after_seek(
        self, stream: av.video.stream.VideoStream, index: _Index, target: int, numbers: array
    ) -> Iterator[tuple[av.VideoFrame, int]]:
        """Seek to a timestamp and give these frames; ends as soon as they are not the ones seen before."""
        try:
            stream.container.seek(target, stream=stream)
        except av.error.FFmpegError:
            return
        found = 0
        for frame in decode(stream.container, stream, self, after_seek=True):
            number = numbers[found]
            if frame.pts is None or frame.pts > index.pts[number]:
                return
            if frame.pts == index.pts[number]:
                if _checksum(frame) != index.checksums[number] and not frame.is_corrupt:
                    return
                yield frame, number
                found += 1
                if found == len(numbers):
                    return

    def _check_window(self) -> None:
        start, name = self._window.start, self.label
        if isinstance(start, int) and 0 < self._declared <= start:
            raise OptionError(
                f"the start ({start}) lies beyond the end of {name}, which has {self._declared} frames"
            )
        if isinstance(start, float) and self._declared_end and start >= self._declared_end:
            raise OptionError(
                f"the start ({start:g} s) lies beyond the end of {name}, at {self._declared_end:.2f} s"
            )

    def _estimate(self) -> int | None:
        """Number of frames that will be given, as far as the header tells."""
        fps = self.fps or NOMINAL_FPS
        total = self._declared or round((self._declared_end or 0) * fps)
        if not total:
            return None
        start, end = (
            round(limit * fps) if isinstance(limit, float) else limit
            for limit in (self._window.start, self._window.end)
        )
        chosen = min(total, total if end is None else end) - (start or 0)
        return max(1, -(-chosen // self._window.stride))

    def _check_complete(self, count: int, last_time: float) -> None:
        """Warn of a file that ends well before its header says, within a frame or without a GIF's trailer.

        Args:
            count: frames there are.
            last_time: seconds at which the last of them begins.
        """
        missing = (self._declared_end or 0) - last_time - 1 / (self.fps or NOMINAL_FPS)
        is_short = missing > max(_SHORT_SECONDS, _SHORT_SHARE * (self._declared_end or 0))
        is_counted = self._declared > 0 and not self._seek_start
        # An edit list may hide frames that the header counts: the time must be short, too.
        has_few = count < (1 - _SHORT_SHARE) * self._declared and (is_short or not self._is_timed)
        if is_counted and has_few:
            self.warn(f"{self.label} is truncated: {count} of {self._declared} frames could be read")
        elif is_short and not is_counted:
            self.warn(
                f"{self.label} seems truncated: its frames end at {last_time:.1f} s, "
                f"not at {self._declared_end:.1f} s"
            )
        elif self.is_torn or (self._is_gif and not is_complete(self._path)):
            self.warn(f"{self.label} is truncated: {count} frames could be read")


def _origin(container: av.container.InputContainer, first: av.VideoFrame) -> float:
    """Seconds on the file's clock at which players begin."""
    if container.start_time is not None:
        return container.start_time / av.time_base
    return 0.0 if first.pts is None else float(first.pts * first.time_base)


def _declared_end(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, origin: float
) -> float | None:
    """Seconds at which the video ends as the header has it."""
    if stream.duration:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - origin
    if container.duration and len(container.streams) == 1:  # else it may be the sound's
        return container.duration / av.time_base - max(0.0, origin)  # some count from 0, some from the origin
    return None


def _checksum(frame: av.VideoFrame) -> int:
    """Of some rows of the first plane: cheap, and different for different or damaged pictures."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8)[: plane.height * plane.line_size].reshape(plane.height, -1)
    return zlib.crc32(np.ascontiguousarray(rows[::_CHECKSUM_ROWS, : plane.width]))


class _Index:
    """What a forward walk saw. 24 bytes a frame.

    Attributes:
        pts, checksums: of every frame walked over, chosen or not.
        kept: numbers (places in `pts`) of the chosen frames.
        times: seconds of the chosen frames.
        frame_bytes: of the first frame as decoded.
    """

    def __init__(self) -> None:
        self.pts = array("q")
        self.checksums = array("L")
        self.kept = array("q")
        self.times = array("d")
        self.frame_bytes = 0
        self.is_ordered = True
        self._keys = array("q")

    def add(self, frame: av.VideoFrame, time: float | None) -> None:
        """Note a frame; `time` is None where it is not chosen."""
        number = len(self.pts)
        if not number:
            self.frame_bytes = sum(plane.buffer_size for plane in frame.planes)
        if frame.pts is None or (number and frame.pts <= self.pts[-1]):
            self.is_ordered = False
        if frame.key_frame:
            self._keys.append(number)
        if time is not None:
            self.kept.append(number)
            self.times.append(time)
        self.pts.append(0 if frame.pts is None else frame.pts)
        self.checksums.append(_checksum(frame))

    def finish(self) -> None:
        """Work out where chunks may begin: only at the first frame where seeking is not possible."""
        keys = self._keys if self.is_ordered else [0]
        self._starts = sorted({bisect_left(self.kept, key) for key in keys})

    def state_dict(self) -> dict[str, Any]:
        """All of it, as JSON and arrays hold it."""
        arrays = {name: np.array(getattr(self, name)) for name in _STORED}
        return {**arrays, "frame_bytes": self.frame_bytes, "is_ordered": self.is_ordered}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> _Index:
        """What `state_dict` gave."""
        index = cls()
        for name in _STORED:
            getattr(index, name).extend(state[name].tolist())
        index.frame_bytes, index.is_ordered = state["frame_bytes"], state["is_ordered"]
        index.finish()
        return index

    def chunks(
        self, in_memory: int, on_disk: int, start: int = 0, end: int | None = None
    ) -> Iterator[tuple[int, int]]:
        """Ranges of positions in `start` to `end` (exclusive), last first, from keyframes on where they can.

        As many groups of pictures as fit `in_memory` frames; of a longer one, a part of that many frames, or
        where that would mean decoding it too often, of as many frames as fit `on_disk`.
        """
        end = len(self.kept) if end is None else end
        while end > start:
            place = bisect_left(self._starts, end - in_memory)
            if place < len(self._starts) and self._starts[place] < end:
                first = self._starts[place]
            else:
                group = self._starts[place - 1] if place else 0
                often = end - group > _MOST_DECODES * in_memory
                first = max(group, end - (on_disk if often else in_memory))
            first = max(first, start)
            yield first, end
            end = first

    def is_seeking_worthwhile(self, positions: Collection[int]) -> bool:
        """Whether fewer frames are decoded by seeking to each of `positions` than by reading to the last."""
        numbers = [self.kept[position] for position in positions if position < len(self.kept)]
        if not numbers or not self.is_ordered or not self._keys:
            return False
        return sum(n - self._keys[max(0, bisect_right(self._keys, n) - 1)] for n in numbers) < max(numbers)

    def seek_targets(self, number: int) -> list[int]:
        """Timestamps of the two keyframes before frame `number`; seeking to the last may land behind it."""
        last = bisect_left(self._keys, number + 1)
        return [self.pts[key] for key in reversed(self._keys[max(0, last - 2) : last])]


class _Stack:
    """Frames waiting for their turn: the first `memory_frames` in memory, the others in a temporary file.

    Those in memory stay as decoded where that is smaller than the image (4:2:0 is half of it).
    """

    def __init__(
        self, upright: Upright, size: tuple[int, int], memory_frames: int, keep_decoded: bool
    ) -> None:
        self._upright = upright
        self._shape = (*size, 3)
        self._bytes = 3 * size[0] * size[1]
        self._memory_frames = memory_frames
        self._keep_decoded = keep_decoded
        self._waiting: list[tuple[av.VideoFrame, int] | np.ndarray] = []
        self._spilled = 0
        self._file: IO[bytes] | None = None

    def __enter__(self) -> _Stack:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def push(self, frame: av.VideoFrame, number: int) -> None:
        if len(self._waiting) < self._memory_frames:
            self._waiting.append(
                (frame, number) if self._keep_decoded else self._upright.image(frame, number)
            )
            return
        image = self._upright.image(frame, number)
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
            self._file.seek(self._spilled * self._bytes)
            self._file.write(np.ascontiguousarray(image))
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"the frames of a long chunk do not fit in the temporary folder {tempfile.gettempdir()} "
                f"({error.strerror}); free some space or set TMPDIR to another folder"
            ) from error
        self._spilled += 1

    def pop(self) -> np.ndarray:
        if not self._spilled:
            top = self._waiting.pop()
            return top if isinstance(top, np.ndarray) else self._upright.image(*top)
        self._spilled -= 1
        image = np.empty(self._shape, np.uint8)
        self._file.seek(self._spilled * self._bytes)
        self._file.readinto(memoryview(image).cast("B"))
        return image

    def __len__(self) -> int:
        return len(self._waiting) + self._spilled

    def clear(self) -> None:
        self._waiting.clear()
        self._spilled = 0
