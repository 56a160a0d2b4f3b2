"""What the readers of foreign result files share: one sentence for whatever is wrong with them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from msnvis.errors import InputError
from msnvis.masks import MAX_PIXELS
from msnvis.structures import UNNAMED_CATEGORY

#: Frames a second assumed where a format has no clock.
NOMINAL_FPS = 25.0
#: Longest video that is believed where no timestamps prove it, 11 hours at 25 frames a second: one line of
#: MOTS text must not exhaust the memory.
MAX_FRAMES = 10**6
#: Ids of tracks are kept as 64-bit numbers.
_MOST = 2**63 - 1
#: Characters of a value from a file, and of a sentence with values, that messages show.
_MOST_SHOWN, _LONGEST = 50, 500


def load_json(data: Mapping[str, Any] | str | Path) -> tuple[Mapping[str, Any], str]:
    """The content of a JSON file, and its name for messages; content given as such is passed on."""
    if isinstance(data, Mapping):
        return data, "the annotations"
    with explained(str(data)):
        content = json.loads(Path(data).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
    return content, str(data)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn what goes wrong while reading `where` into an `InputError` that says so."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{where} does not exist; check the path") from None
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror or error})") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON ({error}); it may be cut off, write it again") from None
    except KeyError as error:
        raise InputError(f"{where} lacks the field {error}; is it in the right format?") from None
    except RecursionError:
        raise InputError(f"{where} is nested too deeply; is it in the right format?") from None
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        text = str(error)
        reason = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
        raise InputError(f"{where} cannot be used: {reason}; correct it or write it again") from None


def frame_size(height: object, width: object) -> tuple[int, int]:
    """``(height, width)``, checked."""
    if type(height) is not int or type(width) is not int or height < 1 or width < 1:
        raise ValueError(f"a frame of {width} x {height} pixels")
    if height * width > MAX_PIXELS:
        raise ValueError(f"a frame of {width} x {height} pixels, of which at most {MAX_PIXELS} are read")
    return height, width


def track_id(value: Any) -> int:
    """The number of a track, checked."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise ValueError(
            f"a track with the id {str(value)[:_MOST_SHOWN]}, which is no whole number from 0 on"
        )
    return value


def score(value: Any) -> float:
    """A score, checked."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"a score of {str(value)[:_MOST_SHOWN]}")
    return float(value)


def cuts(values: Any, num_frames: int) -> tuple[int, ...]:
    """The frames that begin a shot, checked."""
    if not isinstance(values, list) or not all(type(cut) is int and 0 <= cut < num_frames for cut in values):
        raise ValueError("its cuts are not numbers of its frames")
    return tuple(values)


def gaps(values: Any, num_frames: int) -> tuple[tuple[int, float], ...]:
    """The frames before which a live source had dropped out, with seconds, checked."""
    if not isinstance(values, list) or not all(isinstance(gap, list) and len(gap) == 2 for gap in values):
        raise ValueError("its gaps are not pairs of a frame and seconds")
    frames, seconds = [gap[0] for gap in values], [gap[1] for gap in values]
    if not all(type(f) is int and 0 <= f < num_frames for f in frames) or not all(map(_is_duration, seconds)):
        raise ValueError("its gaps are not numbers of its frames with seconds")
    return tuple(zip(frames, map(float, seconds), strict=True))


def _is_duration(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def class_names(categories: Any) -> dict[int, str]:
    """Number -> name of the classes of a file, without that of unnamed objects, checked."""
    if not all(type(c["id"]) is int and isinstance(c["name"], str) for c in categories):
        raise ValueError("its categories are not all numbered and named")
    return {c["id"]: c["name"] for c in categories if c["id"] != UNNAMED_CATEGORY}


def clock(timestamps: Any, num_frames: int, fps: float = NOMINAL_FPS) -> np.ndarray:
    """``(T,)`` float64 seconds: those given, checked, or `num_frames` at `fps`."""
    if timestamps is None:
        if not 0 <= num_frames <= MAX_FRAMES:
            raise ValueError(
                f"a video of {num_frames} frames without timestamps, of which at most {MAX_FRAMES} are read"
            )
        return np.arange(num_frames) / fps
    seconds = np.asarray(timestamps, dtype=np.float64)
    if seconds.shape != (num_frames,) or not np.isfinite(seconds).all():
        raise ValueError(f"timestamps that are not {num_frames} numbers")
    return seconds


def entry_name(kind: str, entry: Any, place: int) -> str:
    """What messages call an entry of a list: by its id, or by its place."""
    number = entry.get("id") if isinstance(entry, dict) else None
    return f"{kind} {number}" if type(number) is int else f"{kind} at place {place}"
