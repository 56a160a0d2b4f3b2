"""How files become hostile: bytes flipped, cut, doubled, inserted; values swapped for absurd ones.

Everything takes a `random.Random`, which hypothesis can draw (and shrink) as well.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

#: The content of a folder: relative name -> bytes.
Files = Mapping[str, bytes]

NUMBERS = (-1, 0, 1, 2**15, 10**5, 2**31 - 1, 2**31, 10**9, 2**63, 10**18, -(10**18), 10**30, 10**400)
#: Names that lead out of a folder, or that some file systems cannot have.
NAMES = (
    "../../escaped",
    "..",
    "/escaped",
    "a/../../../escaped",
    "..\\..\\escaped",
    "C:\\escaped",
    "\\\\host\\share",
    "CON",
    "nul.txt",
    "COM1 .jpg",
    "end. ",
    "a\0b",
    "a:b",
    "\ud800",
    "\x1b[2J",
    "",
    " ",
    ".",
    "x" * 300,
    "\N{GRINNING FACE}" * 100,
    "-rf",
)
#: What nothing expects in the place of a value of JSON.
VALUES = (None, True, False, "", "7", [], {}, [[]], [None], 0.5, -0.0, float("nan"), float("inf"), 1e308)
_IMAGES = (".png", ".jpg")
#: How deeply lists are put into each other: more than any parser follows.
_DEPTH = 100_000
_TEXTS = [str(number).encode() for number in NUMBERS] + [
    *(b"NaN", b"-inf", b"1e400", b"null", b'"x"', b"", b"0x10", b"1.5", b"\xff\xfe", b"{}", b"[" * _DEPTH),
]


def hostile(files: Files, random: Random, name: str | None = None) -> dict[str, bytes]:
    """The same files, that called `name` or any one of them changed in up to three places."""
    if name is None:
        texts = [name for name in files if not name.endswith(_IMAGES)]
        name = random.choice(sorted(texts if texts and random.random() < 0.75 else files))
    is_json = name.endswith(".json")
    change = random.choice([changed_tree, changed_tree, changed_bytes] if is_json else [changed_bytes])
    return {**files, name: change(files[name], random)}


def changed_bytes(data: bytes, random: Random) -> bytes:
    for _ in range(random.randint(1, 3)):
        data = random.choice(_CHANGES)(data, random)
    return data


def changed_tree(data: bytes, random: Random) -> bytes:
    """JSON with values replaced, removed, doubled or nested."""
    tree = json.loads(data)
    for _ in range(random.randint(1, 3)):
        places = [place for place in _places(tree) if place]
        if not places:
            break
        *way, last = random.choice(places)
        holder = tree
        for key in way:
            holder = holder[key]
        random.choice(_TREE_CHANGES)(holder, last, random)
    text = json.dumps(tree)
    if random.random() < 0.05:
        text = text.replace("1", "[" * _DEPTH, 1)
    return text.encode()


def _places(tree: Any, place: tuple = ()) -> list[tuple]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place, *(found for key, value in items for found in _places(value, (*place, key)))]


def _replace(holder: Any, key: Any, random: Random) -> None:
    old = holder[key]
    likely: tuple = VALUES
    if isinstance(old, (int, float)):
        likely = NUMBERS
    elif isinstance(old, str):
        likely = NAMES
    holder[key] = random.choice(likely if random.random() < 0.7 else VALUES + NUMBERS + NAMES)


def _remove(holder: Any, key: Any, random: Random) -> None:
    del holder[key]


def _double(holder: Any, key: Any, random: Random) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif isinstance(holder[key], list):
        holder[key] = holder[key] * random.choice([2, 50])
    else:
        holder[key] = [holder[key]]


def _move(holder: Any, key: Any, random: Random) -> None:
    """The value of another field."""
    others = list(holder.values()) if isinstance(holder, dict) else holder
    holder[key] = copy.deepcopy(random.choice(others))


_TREE_CHANGES: tuple[Callable[[Any, Any, Random], None], ...] = (_replace, _replace, _remove, _double, _move)


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _drop(data: bytes, random: Random) -> bytes:
    start, length = _span(data, random)
    return data[:start] + data[start + length :]


def _repeat(data: bytes, random: Random) -> bytes:
    start, length = _span(data, random)
    return data[:start] + data[start : start + length] * random.choice([2, 3, 30]) + data[start + length :]


def _insert(data: bytes, random: Random) -> bytes:
    start, length = _span(data, random)
    return data[:start] + bytes(random.randint(0, 255) for _ in range(min(length, 64))) + data[start:]


def _flip(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice([1, 1, 4, 20])):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randint(0, 7)
    return bytes(changed)


def _fill(data: bytes, random: Random) -> bytes:
    start, length = _span(data, random)
    length = min(length, 256)
    return data[:start] + random.choice([b"\0", b"\xff", b"\x7f"]) * length + data[start + length :]


def _binary_number(data: bytes, random: Random) -> bytes:
    size = random.choice([2, 4, 8])
    if len(data) < size:
        return data
    number = random.choice(NUMBERS) % (1 << 8 * size)
    start = _place(data, random, size)
    return data[:start] + number.to_bytes(size, random.choice(["big", "little"])) + data[start + size :]


def _text_number(data: bytes, random: Random) -> bytes:
    found = list(re.finditer(rb"-?[0-9]+(\.[0-9]+)?", data))
    if not found:
        return _flip(data, random)
    chosen = random.choice(found)
    return data[: chosen.start()] + random.choice(_TEXTS) + data[chosen.end() :]


_CHANGES = (_cut, _drop, _repeat, _insert, _flip, _flip, _fill, _binary_number, _binary_number, _text_number)


def _place(data: bytes, random: Random, size: int = 0) -> int:
    """Half of the time among the first bytes, where headers are."""
    last = len(data) - size
    return random.randint(0, min(last, 200) if random.random() < 0.5 else last)


def _span(data: bytes, random: Random) -> tuple[int, int]:
    start = _place(data, random)
    return start, random.randint(0, min(len(data) - start, 1 << random.randint(0, 12)))
