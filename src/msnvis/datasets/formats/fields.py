"""Fields of foreign JSON, checked for their type: a sentence for whatever is not as it should be."""

from __future__ import annotations

from typing import Any

from msnvis.masks import MAX_PIXELS

#: Longest video that is believed where no files of frames prove it: an hour at 50 frames a second and more.
MAX_FRAMES = 2 * 10**5

_NAMES = {int: "a whole number", float: "a number", str: "text", list: "a list", dict: "an object"}
_NEEDED = object()


def field(entry: Any, key: str, kind: type, default: Any = _NEEDED) -> Any:
    """``entry[key]`` of type `kind`; `default`, where given, if it is missing or null.

    Raises ValueError, with the reason, for anything else. A whole number will do where `kind` is float, and
    so will 7.0, as some programs write it, where `kind` is int: it becomes 7.

    >>> field({"id": "7"}, "id", int)
    Traceback (most recent call last):
    ValueError: its 'id' is not a whole number
    """
    if not isinstance(entry, dict):
        raise ValueError("it is not an object")
    value = entry.get(key)
    if value is None and default is not _NEEDED:
        return default
    if key not in entry:
        raise ValueError(f"it lacks the field '{key}'")
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, (int, float) if kind is float else kind) or isinstance(value, bool):
        raise ValueError(f"its '{key}' is not {_NAMES[kind]}")
    if kind is str and not _is_writable(value):
        raise ValueError(f"its '{key}' holds half a character, which no file can hold")
    return value


def flag(entry: dict[str, Any], key: str) -> bool:
    """A field that is 0 or 1; 0 where it is missing or null."""
    value = entry.get(key)
    if value not in (0, 1, None):
        raise ValueError(f"its '{key}' is neither 0 nor 1")
    return bool(value)


def size(entry: Any) -> tuple[int, int]:
    """``(height, width)`` of a frame, from the fields of these names."""
    return checked_size(field(entry, "height", int), field(entry, "width", int))


def checked_size(height: int, width: int) -> tuple[int, int]:
    """``(height, width)``; ValueError where no frame can have it."""
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"a frame of {width} x {height} pixels; they may have 1 to {MAX_PIXELS}")
    return height, width


def _is_writable(text: str) -> bool:
    """Whether it is Unicode: JSON can hold halves of pairs of surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
