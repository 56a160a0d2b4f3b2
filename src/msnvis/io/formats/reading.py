"""What the readers of foreign result files share: one sentence for whatever is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from msnvis.errors import InputError

#: Frames a second assumed where a format has no clock.
NOMINAL_FPS = 25.0
#: Longer videos are not believed: a hostile file must not exhaust the memory (46 days at 25 frames a second).
MAX_FRAMES = 10**8


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
        raise InputError(f"{where} cannot be used: {error}; correct it or write it again") from None


def frame_size(height: object, width: object) -> tuple[int, int]:
    """``(height, width)``, checked."""
    if type(height) is not int or type(width) is not int or height < 1 or width < 1:
        raise ValueError(f"a frame of {width} x {height} pixels")
    return height, width


def clock(timestamps: Any, num_frames: int, fps: float = NOMINAL_FPS) -> np.ndarray:
    """``(T,)`` float64 seconds: those given, checked, or `num_frames` at `fps`."""
    if num_frames > MAX_FRAMES:
        raise ValueError(f"a video of {num_frames} frames")
    if timestamps is None:
        return np.arange(num_frames) / fps
    seconds = np.asarray(timestamps, dtype=np.float64)
    if seconds.shape != (num_frames,) or not np.isfinite(seconds).all():
        raise ValueError(f"timestamps that are not {num_frames} numbers")
    return seconds
