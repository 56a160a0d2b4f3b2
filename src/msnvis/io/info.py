"""What a video is, for people: kind, coding, size, length."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import av

#: Frame times that differ from even steps by more than this many seconds make the rate variable; containers
#: round times to a millisecond.
_ROUNDING = 0.0015


@dataclass(frozen=True)
class VideoInfo:
    """What `FrameSource.describe` says; None is unknown or does not apply. `str` gives it as lines of text.

    Attributes:
        name: of the source.
        kind: for example ``video file``.
        container, codec, pixel_format: in FFmpeg's names.
        source_size: ``(height, width)`` of the upright frames.
        rotation: clockwise degrees by which stored frames are turned to be upright.
        num_frames: of the whole input.
        fps: frames a second, the average where it varies.
        variable_frame_rate: whether frames are unevenly spaced.
        duration: seconds from the first frame to the end of the last.
        keyframe_interval: the most frames from one keyframe to the next (or to the end).
        live: can be read only once and forward.
        warnings: what is wrong with it.
    """

    name: str
    kind: str
    container: str | None = None
    codec: str | None = None
    pixel_format: str | None = None
    source_size: tuple[int, int] | None = None
    rotation: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    variable_frame_rate: bool | None = None
    duration: float | None = None
    keyframe_interval: int | None = None
    live: bool = False
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        size = self.source_size
        rows = {
            "kind": f"{self.kind}, live" if self.live else self.kind,
            "container": self.container,
            "codec": ", ".join(filter(None, [self.codec, self.pixel_format])),
            "size": size and f"{size[1]}x{size[0]}",
            "rotation": self.rotation and f"{self.rotation} degrees clockwise",
            "frames": self.num_frames,
            "rate": self.fps and f"{self.fps:.4g} fps{', variable' if self.variable_frame_rate else ''}",
            "duration": self.duration and f"{self.duration:.2f} s",
            "keyframes": self.keyframe_interval and f"at most {self.keyframe_interval} frames apart",
        }
        lines = [self.name, *(f"  {key:<10}{value}" for key, value in rows.items() if value)]
        return "\n".join(lines + [f"  warning   {warning}" for warning in self.warnings])

    def __rich__(self) -> object:
        from rich.text import Text

        return Text(str(self))  # not markup: names may hold brackets


def packet_facts(demuxed: Iterable[av.Packet], stream: av.video.stream.VideoStream) -> dict[str, object]:
    """Fields of `VideoInfo` that a pass over all packets of `stream` gives, without decoding any."""
    packets = []
    with contextlib.suppress(av.error.FFmpegError):  # of a damaged file: what could be read counts
        for packet in demuxed:
            if packet.size:
                packets.append((packet.pts, packet.duration or 0, packet.is_keyframe))
    facts: dict[str, object] = {"num_frames": len(packets), "keyframe_interval": _longest_run(packets)}
    if len(packets) < 2 or any(pts is None for pts, _, _ in packets):
        return facts
    packets.sort()
    times = [float(pts * stream.time_base) for pts, _, _ in packets]
    step = (times[-1] - times[0]) / (len(times) - 1)
    uneven = max(abs(time - times[0] - step * place) for place, time in enumerate(times))
    last = float(packets[-1][1] * stream.time_base) or step
    return facts | {"variable_frame_rate": uneven > _ROUNDING, "duration": times[-1] - times[0] + last}


def _longest_run(packets: list[tuple[int | None, int, bool]]) -> int | None:
    keys = [place for place, packet in enumerate(packets) if packet[2]]
    ends = [*keys[1:], len(packets)]
    return max(end - key for key, end in zip(keys, ends, strict=True)) if keys else None
