"""Pairs on disk: shards of safetensors that are read piece by piece, whatever their number.

A shard holds the pairs of some videos: every frame once as JPEG, every mask as compressed run lengths.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedVideo
from msnvis.errors import InputError
from msnvis.io.atomic import replacing
from msnvis.io.image_file import open_image
from msnvis.masks import RLE
from msnvis.selection.pairs import STARTS, FramePairs

SHARDS = "pairs-*.safetensors"
#: How the pairs of a folder were made.
RECIPE = "recipe.json"
VERSION = 3
#: What a shard consists of beside bytes, and as which numbers.
_TYPES = {"rows": np.int64, "figures": np.float32, "frame_ends": np.int64, "mask_ends": np.int64}
#: Bytes, which are read in slices.
_LONG = ("frames", "masks")
#: Under this name a shard says which videos it has.
ABOUT = "msnvis-pairs"
#: Quality of the frames; selection is about edges, which must not be those of compression.
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Pair:
    """One training example.

    Attributes:
        image: ``(H, W, 3)`` uint8 RGB, the whole frame.
        first, second: the segmenter's and the propagated mask.
        truth: the true mask.
        ious: ``(2,)`` float32 IoU with the truth.
        scores: ``(2,)`` float32.
    """

    image: np.ndarray
    first: RLE
    second: RLE
    truth: RLE
    ious: np.ndarray
    scores: np.ndarray


def write_shard(path: Path, videos: Iterable[tuple[AnnotatedVideo, Iterable[FramePairs]]]) -> int:
    """Write the pairs of some videos; returns how many there are.

    Raises:
        OutputError: it cannot be written.
    """
    shard = _ShardBuilder()
    for video, frames in videos:
        shard.names.append(video.name)
        for pairs in frames:
            shard.add(video, pairs)
    with replacing(path) as temporary:
        # One entry only: safetensors writes several in any order, and equal pairs shall be equal files.
        about = json.dumps({"version": VERSION, "videos": shard.names})
        save_file(shard.arrays(), temporary, metadata={ABOUT: about})
    return len(shard.rows)


class _ShardBuilder:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.frames: list[np.ndarray] = []
        self.masks: list[bytes] = []
        self.rows: list[tuple[int, ...]] = []
        self.figures: list[np.ndarray] = []
        self._frame_at: dict[tuple[int, int], int] = {}

    def add(self, video: AnnotatedVideo, pairs: FramePairs) -> None:
        """Pairs of the video that is named last."""
        number = len(self.names) - 1
        place = self._frame(number, video, pairs.frame)
        for k, identity in enumerate(pairs.objects.tolist()):
            self.rows.append((number, pairs.frame, identity, STARTS.index(pairs.start), place, *video.size))
            self.masks += [masks[k]["counts"] for masks in (pairs.first, pairs.second, pairs.truth)]
            self.figures.append(np.array([*pairs.ious[k], pairs.overlaps[k], *pairs.scores[k]], np.float32))

    def _frame(self, number: int, video: AnnotatedVideo, frame: int) -> int:
        """Where the frame is stored; both directions share it."""
        if (number, frame) not in self._frame_at:
            bgr = cv2.cvtColor(video.image(frame), cv2.COLOR_RGB2BGR)
            self.frames.append(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].ravel())
            self._frame_at[number, frame] = len(self.frames) - 1
        return self._frame_at[number, frame]

    def arrays(self) -> dict[str, np.ndarray]:
        masks = [np.frombuffer(text, np.uint8) for text in self.masks]
        return {
            "rows": np.array(self.rows, np.int64).reshape(-1, 7),
            "figures": np.array(self.figures, np.float32).reshape(-1, 5),
            "frames": _concatenate(self.frames),
            "frame_ends": _ends(self.frames),
            "masks": _concatenate(masks),
            "mask_ends": _ends(masks),
        }


class PairStore:
    """All pairs of folders that `msnvis pairs` made; images and masks are read when asked for.

    Attributes:
        video: ``(N,)`` int64 number of the video of each pair.
        frame, object: ``(N,)`` int64 index of the frame and id of the object.
        start: ``(N,)`` int64 index of `selection.pairs.STARTS`.
        ious: ``(N, 2)`` float32 IoU of the segmenter's and the propagated mask with the truth.
        overlaps: ``(N,)`` float32 IoU of the two masks.
        scores: ``(N, 2)`` float32.
        videos: names, by number.
        parts: names of each segmenter and propagator that made pairs; empty if a folder does not say.

    Raises:
        InputError: a folder has no pairs, or a shard is broken.
    """

    def __init__(self, *folders: str | Path) -> None:
        self._paths = [path for folder in folders for path in _shards(folder)]
        self.parts = _parts(folders)
        self.videos: list[str] = []
        rows, figures, self._at = [], [], []
        for number, path in enumerate(self._paths):
            shard_rows, shard_figures, names = _read_tables(path)
            shard_rows[:, 0] += len(self.videos)
            rows.append(shard_rows)
            figures.append(shard_figures)
            self._at += [(number, row) for row in range(len(shard_rows))]
            self.videos += names
        self._rows, table = np.concatenate(rows), np.concatenate(figures)
        self.video, self.frame, self.object, self.start = self._rows[:, :4].T
        self.ious, self.overlaps, self.scores = table[:, :2], table[:, 2], table[:, 3:]

    def __len__(self) -> int:
        return len(self._rows)

    def neighbours(self, index: int) -> np.ndarray:
        """Indices of the pairs of other objects in the same frame of the same video."""
        keys, order = self._frames
        begin, end = np.searchsorted(keys, _frame_key(self._rows[index]) + np.array([0, 1]))
        others = order[begin:end]
        return np.sort(others[self.object[others] != self.object[index]])

    @cached_property
    def _frames(self) -> tuple[np.ndarray, np.ndarray]:
        """Sorted keys of the frames that all pairs are of, and indices of these pairs."""
        keys = _frame_key(self._rows)
        order = np.argsort(keys, kind="stable")
        return keys[order], order

    def __getitem__(self, index: int) -> Pair:
        shard, row = self._at[index]
        place, height, width = self._rows[index, 4:].tolist()
        path = self._paths[shard]
        jpeg = _slice(path, "frames", "frame_ends", place)
        if _jpeg_size(jpeg) != (height, width) or (bgr := cv2.imdecode(jpeg, cv2.IMREAD_COLOR)) is None:
            raise InputError(f"{path}: frame {place} is broken; make the pairs again")
        counts = [_slice(path, "masks", "mask_ends", 3 * row + k).tobytes() for k in range(3)]
        try:
            first, second, truth = (
                mask_ops.validate(RLE(size=[height, width], counts=text), (height, width)) for text in counts
            )
        except ValueError as error:
            raise InputError(
                f"{path}: a mask of pair {row} is broken ({error}); make the pairs again"
            ) from error
        image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        return Pair(image, first, second, truth, self.ious[index], self.scores[index])


def _frame_key(rows: np.ndarray) -> np.ndarray:
    """One number for video and frame, whose indices are below 2 ** 31."""
    return rows[..., 0] * 2**31 + rows[..., 1]


def _parts(folders: Sequence[str | Path]) -> tuple[tuple[str, str], ...]:
    found = set()
    for folder in folders:
        try:
            recipe = json.loads((Path(folder) / RECIPE).read_text(encoding="utf-8"))
            found.add((str(recipe["segmenter"]), str(recipe["propagator"])))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return ()
    return tuple(sorted(found))


def _shards(folder: str | Path) -> list[Path]:
    paths = sorted(Path(folder).glob(SHARDS))
    if not paths:
        raise InputError(f"{folder} has no {SHARDS}; make them by `msnvis pairs`")
    return paths


def _read_tables(path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    try:
        file = _open(path)
        about = json.loads((file.metadata() or {})[ABOUT])
        if about["version"] != VERSION:
            raise InputError(f"{path} was not made by this version of `msnvis pairs`; make the pairs again")
        tables = {name: file.get_tensor(name) for name in _TYPES}
        _check_tables(tables, {name: file.get_slice(name) for name in _LONG}, about["videos"])
        return tables["rows"], tables["figures"], about["videos"]
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged or incomplete; make the pairs again") from error


def _check_tables(tables: Mapping[str, np.ndarray], long: Mapping[str, Any], videos: Any) -> None:
    """Raise ValueError where one table points out of another: shards may come from strangers."""
    rows, count = tables["rows"], len(tables["rows"])
    frames, pixels = len(tables["frame_ends"]), rows[:, 5:].prod(axis=1, dtype=np.float64)
    if any(tables[name].dtype != _TYPES[name] for name in tables):
        raise ValueError("a table of another type")
    if (
        rows.shape != (count, 7)
        or tables["figures"].shape != (count, 5)
        or len(tables["mask_ends"]) != 3 * count
    ):
        raise ValueError("tables that do not belong together")
    if not isinstance(videos, list) or not all(isinstance(name, str) for name in videos):
        raise ValueError("no names of videos")
    for table, limit in ((rows[:, 0], len(videos)), (rows[:, 3], len(STARTS)), (rows[:, 4], frames)):
        if ((table < 0) | (table >= limit)).any():
            raise ValueError("a row that points nowhere")
    if (rows[:, 5:] < 1).any() or (pixels > mask_ops.MAX_PIXELS).any():
        raise ValueError("a frame of an impossible size")
    for ends, name in (("frame_ends", "frames"), ("mask_ends", "masks")):
        (length,) = long[name].get_shape()
        bounds = np.concatenate([[0], tables[ends]])
        if (bounds[1:] < bounds[:-1]).any() or bounds[-1] != length or long[name].get_dtype() != "U8":
            raise ValueError("parts that do not fill a table")


def _jpeg_size(jpeg: np.ndarray) -> tuple[int, int] | None:
    """``(height, width)`` as the header says; None where it is no image."""
    try:
        with open_image(io.BytesIO(jpeg.tobytes())) as image:
            return image.height, image.width
    except (OSError, ValueError):
        return None


@cache
def _open(path: Path):
    """The file, mapped into memory and kept open: reading a pair must not read its header again."""
    return safe_open(path, framework="np")


@cache
def _all_ends(path: Path, name: str) -> np.ndarray:
    return _open(path).get_tensor(name)


def _slice(path: Path, name: str, ends_name: str, index: int) -> np.ndarray:
    """Element `index` of a concatenation of uint8 arrays."""
    ends = _all_ends(path, ends_name)
    start = int(ends[index - 1]) if index else 0
    return _open(path).get_slice(name)[start : int(ends[index])]


def _concatenate(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.uint8)


def _ends(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.cumsum([len(a) for a in arrays], dtype=np.int64)
