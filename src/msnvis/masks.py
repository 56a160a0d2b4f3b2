"""All mask arithmetic: run-length encoding, overlaps, boxes, crops, label maps.

Masks travel as COCO run-length encodings (pycocotools), which run down the columns:
``{"size": [height, width], "counts": bytes}``. Work is done on the tight crop of each object, not on the
frame: most of a frame is background.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, TypedDict

import cv2
import numpy as np
from pycocotools import mask as coco_mask

#: Foreign masks of frames larger than this are refused: a few bytes of RLE must not allocate gigabytes.
MAX_PIXELS = 1 << 27
#: Foreign polygons with longer outlines, in pixels, are refused: they are drawn at five times the resolution.
MAX_OUTLINE = 1 << 22

#: Characters of a compressed encoding: from 48 on 32 that end a number, then 32 that do not; see `_numbers`.
_LEADING = bytes(range(80, 112))
_SIGNED = bytes((((code - 48) & 31 ^ 16) - 16) & 255 for code in range(256))
#: What fills up an even and an odd number of numbers: zeros, as characters and as signed bytes.
_PADDING, _NOTHING = (b"00", b"000"), (bytes(2), bytes(3))
#: Characters before the last of a number: enough for frames of 2^29 pixels.
_MOST_LEADING = 5


class RLE(TypedDict):
    """A compressed COCO run-length encoding."""

    size: list[int]
    counts: bytes


def encode(masks: np.ndarray) -> list[RLE]:
    """Encode masks, to the same bytes as pycocotools but several times faster.

    Args:
        masks: ``(N, H, W)`` bool or uint8 (nonzero is foreground).

    >>> encode(np.ones((1, 2, 2), bool))
    [{'size': [2, 2], 'counts': b'04'}]
    """
    return [_encode_one(np.asarray(mask)) for mask in masks]


def encode_crop(crop: np.ndarray, left: int, top: int, size: tuple[int, int]) -> RLE:
    """Encode a mask known in a part of the frame only; the rest is background.

    Args:
        crop: ``(h, w)`` bool or uint8 (nonzero is foreground), wholly inside the frame.
        left: column of the frame at the left edge of `crop`.
        top: row of the frame at the top edge of `crop`.
        size: ``(height, width)`` of the frame.

    >>> encode_crop(np.ones((1, 1), bool), left=1, top=1, size=(2, 2))
    {'size': [2, 2], 'counts': b'31'}
    """
    h, w = crop.shape
    height, width = size
    if left < 0 or top < 0 or left + w > width or top + h > height:
        raise ValueError(f"a crop of {w}x{h} at ({left}, {top}) is not inside a frame of {width}x{height}")
    if crop.size == 0:
        return _compress(np.zeros(0, np.int64), size)
    # A background pixel above every column, and one at the end, make each run end inside its own column.
    flat = np.zeros(w * (h + 1) + 1, np.uint8)
    flat[:-1].reshape(w, h + 1)[:, 1:] = cv2.transpose(_as_bytes(crop))
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), h + 1)
    edges = (left + column) * height + top + row
    if h == height:  # runs that go on in the next column were cut at its top
        joined = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
        edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    return _compress(edges, size)


def decode(rles: Sequence[RLE], size: tuple[int, int]) -> np.ndarray:
    """Decode to ``(N, H, W)`` bool; `size` is ``(height, width)`` of every mask.

    Raises ValueError when a mask has another size.
    """
    masks = np.zeros((len(rles), *size), dtype=bool)
    for rle in rles:
        _check_size(rle, size)
    for mask, (columns, left, top) in zip(masks, _painted(rles), strict=True):
        if columns.size:
            w, h = columns.shape
            mask[top : top + h, left : left + w] = cv2.transpose(columns)
    return masks


def decode_crops(rles: Sequence[RLE]) -> list[tuple[np.ndarray, int, int]]:
    """The tight crop of each mask: ``(h, w)`` bool, its left column and its top row; no pixels when empty.

    >>> [(crop, left, top)] = decode_crops(encode(np.eye(4, dtype=bool)[None, :, 2:]))
    >>> crop.astype(int).tolist(), left, top
    ([[1, 0], [0, 1]], 0, 2)
    """
    return [(_transpose(columns).view(bool), left, top) for columns, left, top in _painted(rles)]


def areas(rles: Sequence[RLE]) -> np.ndarray:
    """Pixels in each mask: ``(N,)`` int64."""
    return np.array([_area(rle["counts"]) for rle in rles], np.int64)


def boxes(rles: Sequence[RLE]) -> np.ndarray:
    """Tight boxes ``(N, 4)`` float64 ``x1 y1 x2 y2``, right and bottom exclusive; zeros for an empty mask."""
    if not rles:
        return np.zeros((0, 4))
    xywh = np.asarray(coco_mask.toBbox(list(rles)), dtype=np.float64).reshape(-1, 4)
    xywh[:, 2:] += xywh[:, :2]
    return xywh


def iou_matrix(first: Sequence[RLE], second: Sequence[RLE]) -> np.ndarray:
    """IoU of every mask of `first` with every one of `second`: ``(N, M)`` float64; 0 where both are empty.

    Raises ValueError when the masks are of frames of different size.
    """
    if not first or not second:
        return np.zeros((len(first), len(second)))
    if len({tuple(rle["size"]) for rle in (*first, *second)}) > 1:
        raise ValueError("masks of frames of different size have no overlap; resize them first")
    iou = np.asarray(coco_mask.iou(list(first), list(second), [False] * len(second)), np.float64)
    return np.where(np.isnan(iou), 0.0, iou)


def intersections(first: Sequence[RLE], second: Sequence[RLE]) -> np.ndarray:
    """Pixels that every mask of `first` shares with every one of `second`: ``(N, M)`` int64."""
    iou = iou_matrix(first, second)
    both = areas(first)[:, None] + areas(second)[None, :]
    return np.rint(iou * both / (1 + iou)).astype(np.int64)


def label_map(rles: Sequence[RLE], ids: Sequence[int] | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Paint masks into one map, later ones on top.

    Args:
        rles: N masks of `size`.
        ids: N positive numbers.
        size: ``(height, width)``.

    Returns:
        ``(H, W)`` uint8, uint16 or int32, the smallest that holds the ids; 0 is background.
    """
    if len(ids) and min(ids) < 1:
        raise ValueError("ids in a label map are positive; 0 is the background")
    largest = max(ids, default=0)
    dtype = np.uint8 if largest < 1 << 8 else np.uint16 if largest < 1 << 16 else np.int32
    painted = np.zeros(size[::-1], dtype)
    for rle in rles:
        _check_size(rle, size)
    for number, (columns, left, top) in zip(ids, _painted(rles), strict=True):
        if columns.size:
            region = painted[left : left + columns.shape[0], top : top + columns.shape[1]]
            cv2.copyTo(columns.astype(dtype) * dtype(number), columns, region)
    return _transpose(painted)


def from_label_map(labels: np.ndarray) -> dict[int, RLE]:
    """The masks in an ``(H, W)`` map of unsigned ids (0 is background), by id in growing order.

    >>> list(from_label_map(np.array([[0, 7], [2, 7]])))
    [2, 7]
    """
    return {int(i): _encode_one(labels == i) for i in np.unique(labels) if i > 0}


def without_overlaps(rles: Sequence[RLE], scores: Sequence[float] | np.ndarray) -> list[RLE]:
    """The same masks made disjoint: a pixel claimed by several goes to the one with the highest score.

    Masks that lose every pixel come back empty; of equal scores the earlier mask wins.
    """
    overlap = intersections(rles, rles)
    np.fill_diagonal(overlap, 0)
    contested = np.flatnonzero(overlap.any(axis=1))
    disjoint = list(rles)
    if not len(contested):
        return disjoint
    size = (rles[0]["size"][0], rles[0]["size"][1])
    bottom_up = contested[np.lexsort([-contested, np.asarray(scores)[contested]])]
    labels = label_map([rles[i] for i in bottom_up], bottom_up + 1, size)
    for i, (x1, y1, x2, y2) in zip(contested, boxes([rles[i] for i in contested]).astype(int), strict=True):
        disjoint[i] = encode_crop(labels[y1:y2, x1:x2] == i + 1, x1, y1, size)
    return disjoint


def union(rles: Sequence[RLE]) -> RLE:
    """The pixels that are in any of the masks, at least one, all of the same frame size."""
    return coco_mask.merge(list(rles))


def resize(rles: Sequence[RLE], size: tuple[int, int]) -> list[RLE]:
    """Scale masks to another frame ``(height, width)``: bilinear, cut at one half, so edges stay smooth."""
    if all(tuple(rle["size"]) == tuple(size) for rle in rles):
        return list(rles)
    return [_resize_one(rle, *painted, size) for rle, painted in zip(rles, _painted(rles, 255), strict=True)]


def validate(rle: RLE, size: tuple[int, int]) -> RLE:
    """Check a compressed RLE from a foreign file and return it in canonical form.

    The work and the memory are proportional to the length of ``counts``, whatever sizes it claims.

    Args:
        rle: any mapping with ``size`` and ``counts`` (bytes).
        size: ``(height, width)`` that the mask must have.

    Raises ValueError, with the reason, when the encoding is malformed or not a mask of `size`.

    >>> validate({"size": [2, 2], "counts": b"09"}, (2, 2))
    Traceback (most recent call last):
    ValueError: the runs cover 9 pixels of a frame of 4
    """
    _check_size(rle, size)
    try:
        counts = _uncompress([rle["counts"]])[0]
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f"'counts' is not a COCO run-length encoding ({error})") from None
    return _from_counts(counts, size)


def strict_areas(rles: Sequence[RLE], size: tuple[int, int]) -> np.ndarray:
    """Pixels of masks of frames of `size`, all checked at once: ``(N,)`` int64.

    Raises ValueError when any is malformed, does not fill the frame or has an empty run after its first;
    `validate` then says what is wrong with which, or mends it.

    >>> strict_areas(encode(np.ones((2, 2, 2), bool)), (2, 2))
    array([4, 4])
    """
    if not rles:
        return np.zeros(0, np.int64)
    if any(list(rle["size"]) != list(size) for rle in rles):
        raise ValueError("a mask of another size")
    pixels = size[0] * size[1]
    background, foreground, first, lengths = _runs([rle["counts"] for rle in rles])
    _check_lengths(background, foreground, pixels)
    if (np.add.reduceat(background + foreground, first[:-1], dtype=np.int64) != pixels).any():
        raise ValueError("the runs do not cover the frame")
    # Beyond what fills up the pairs of a mask, only the background before it may be empty.
    behind = 2 * len(background) - lengths.sum()
    empty = behind + np.count_nonzero(background[first[:-1]] == 0)
    if np.count_nonzero(background) + np.count_nonzero(foreground) + empty != 2 * len(background):
        raise ValueError("a run of no pixels")
    return np.add.reduceat(foreground, first[:-1], dtype=np.int64)


def run_edges(
    counts: Sequence[bytes], size: tuple[int, int], begin: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the runs of N masks start and stop, all checked at once: much quicker than one by one.

    Args:
        counts: compressed encodings of masks of frames of `size`, at least one.
        size: ``(height, width)``.
        begin: ``(N,)`` int32 what the first pixel of each mask counts as; the sum with the pixels of a frame
            has to be below 2^31.

    Returns:
        ``(P,)`` int32 at which pixel, counted down the columns, each run starts; ``(P,)`` int32 the one
        behind its last; and ``(N + 1,)`` int64 at which run each mask begins. The last run of each mask, or
        the last two, are empty.

    Raises ValueError when a mask is malformed or does not fill the frame; `validate` then says which.

    >>> start, stop, first = run_edges([b"121"], (2, 2), np.array([8], np.int32))
    >>> start.tolist(), stop.tolist(), first.tolist()
    ([9, 12, 12], [11, 12, 12], [0, 3])
    """
    pixels = size[0] * size[1]
    background, foreground, first, _ = _runs(counts)
    _check_lengths(background, foreground, pixels)
    # NumPy sums up five times as quickly where input and output have different strides.
    both = np.empty((len(background), 2), np.int32)[:, 0]
    np.add(background, foreground, out=both)
    both[first[:-1]] += begin - np.append(np.int32(0), begin[:-1] + np.int32(pixels))
    stop = np.cumsum(both, dtype=np.int32)
    # No step is so long that an overflow could miss the negative numbers.
    if stop.min() < 0 or (stop[first[1:] - 1] - begin != pixels).any():
        raise ValueError("the runs do not cover the frame")
    return stop - foreground, stop, first


def to_json(rle: RLE) -> dict[str, Any]:
    """The mask as JSON can hold it: ``counts`` as text."""
    return {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}


def from_json(segmentation: Mapping[str, Any] | list[list[float]], size: tuple[int, int]) -> RLE:
    """A mask from the JSON of any COCO-like file, checked as by `validate`.

    Args:
        segmentation: a compressed RLE (``counts`` is text), an uncompressed one (``counts`` is a list of run
            lengths), or a list of polygons ``[x1, y1, x2, y2, ...]``.
        size: ``(height, width)`` of the frame.

    Raises ValueError, with the reason, for anything else.

    >>> from_json({"size": [2, 2], "counts": [1, 2, 1]}, (2, 2))
    {'size': [2, 2], 'counts': b'121'}
    """
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, size)
    if not isinstance(segmentation, Mapping) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError("a segmentation is an object with 'size' and 'counts', or a list of polygons")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        counts = counts.encode("ascii", errors="replace")
    if isinstance(counts, bytes):
        return validate({"size": segmentation["size"], "counts": counts}, size)
    _check_size(segmentation, size)
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise ValueError("'counts' is neither text nor a list of whole numbers")
    try:
        return _from_counts(np.array(counts, dtype=np.int64), size)
    except OverflowError:
        raise ValueError("'counts' holds a run longer than any frame") from None


@lru_cache(maxsize=256)  # the parts of the pipeline ask for the areas of the same few masks again and again
def _area(counts: bytes) -> int:
    return int(coco_mask.area(RLE(size=[0, 0], counts=counts)))  # no size changes it


def compress_runs(counts: list[int], size: tuple[int, int]) -> RLE:
    """The mask of run lengths, many times faster than `from_json`; that they fill the frame is not checked.

    Args:
        counts: lengths of the runs of background and foreground in turn, which should add up to a frame.
        size: ``(height, width)`` of the frame.

    Raises TypeError or ValueError for what is no length, or longer than the frame.

    >>> compress_runs([1, 2, 1], (2, 2))
    {'size': [2, 2], 'counts': b'121'}
    """
    try:
        runs = np.frombuffer(array("I", counts), np.uint32)
    except OverflowError:
        raise ValueError("a run that is negative or longer than any frame") from None
    # pycocotools has room for six characters a run, which 30 bits need, and writes beyond it without a check.
    if runs.max(initial=0) > min(size[0] * size[1], MAX_PIXELS):
        raise ValueError("a run that is longer than the frame")
    return coco_mask.frPyObjects({"size": list(size), "counts": runs}, *size)


def _encode_one(mask: np.ndarray) -> RLE:
    if mask.dtype != bool:
        mask = mask != 0
    size = (mask.shape[0], mask.shape[1])
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return _compress(np.zeros(0, np.int64), size)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    return encode_crop(mask[top:bottom, left:right], left, top, size)


def _as_bytes(crop: np.ndarray) -> np.ndarray:
    """0 or 1 as uint8, without a copy where possible."""
    return (crop if crop.dtype == bool else crop != 0).view(np.uint8)


def _transpose(image: np.ndarray) -> np.ndarray:
    """OpenCV's transpose is many times faster than NumPy's, but refuses empty arrays."""
    return cv2.transpose(image) if image.size else np.ascontiguousarray(image.T)


def _compress(edges: np.ndarray, size: tuple[int, int]) -> RLE:
    """From the growing column-major positions at which the mask turns on, off, on..."""
    height, width = size
    counts = np.diff(edges, prepend=0, append=height * width)
    if len(counts) > 1 and counts[-1] == 0:
        counts = counts[:-1]
    return coco_mask.frPyObjects({"size": [height, width], "counts": counts.astype(np.uint32)}, height, width)


def _uncompress(strings: Sequence[bytes]) -> list[np.ndarray]:
    """Run lengths of each compressed string; raises ValueError for text that no encoder writes."""
    if not len(strings):
        return []
    background, foreground, first, lengths = _runs(strings)
    runs = np.stack([background, foreground], axis=1).ravel()
    starts = 2 * first[:-1]
    return [runs[i:j] for i, j in zip(starts.tolist(), (starts + lengths).tolist(), strict=True)]


def _check_lengths(background: np.ndarray, foreground: np.ndarray, pixels: int) -> None:
    """Raise ValueError where runs are no part of a frame of `pixels`."""
    if min(background.min(), foreground.min()) < 0:
        raise ValueError("a run of negative length")
    if max(background.max(), foreground.max()) > min(pixels, MAX_PIXELS):
        raise ValueError("the runs do not cover the frame")


def _runs(strings: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The runs of N strings (at least one) in pairs, background and foreground.

    From the fourth on, a string holds the difference of each run to the one before the last.

    Returns:
        Two ``(P,)`` int32, ``(N + 1,)`` int64 at which pair each string begins, and ``(N,)`` int64 its runs.
        Pairs are filled up with zeros, and the last of each string is nothing else.
    """
    numbers, lengths = _numbers(strings)
    first = np.append(0, np.cumsum(lengths // 2 + lengths % 2 + 1))
    starts = 2 * first[:-1]
    numbers[starts + 2] -= numbers[starts]  # the third run is no difference
    pairs = []
    for parity in (0, 1):
        lane = numbers[parity::2]
        # The first zero behind each string makes the sums start anew.
        lane[first[:-1] + (lengths + 1 - parity) // 2] -= np.add.reduceat(lane, first[:-1], dtype=np.int32)
        pairs.append(np.cumsum(lane, dtype=np.int32))
    return pairs[0], pairs[1], first, lengths


def _numbers(strings: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """All numbers in N strings as int32, with two or three zeros behind each string so that all strings begin
    at even places; and ``(N,)`` int64 how many numbers each string holds.

    A number is a group of characters that hold 5 bits each, least first, the topmost bit its sign; the sixth
    bit of a character says that the group goes on. Most groups are a single character.
    """
    if not all(strings):
        raise ValueError("there are no runs")
    if any(text[-1] in _LEADING for text in strings):
        raise ValueError("cut off in the middle of a run")
    # Strings of the last characters of all groups, as signed bytes.
    lasts = [text.translate(_SIGNED, _LEADING) for text in strings]
    lengths = np.array([len(last) for last in lasts])
    odd = (lengths % 2).tolist()
    padded = b"".join(chain.from_iterable(zip(strings, [_PADDING[i] for i in odd], strict=True)))
    codes = np.frombuffer(padded, np.uint8) - np.uint8(48)
    if codes.max() > 63:
        raise ValueError("unexpected character")
    goes_on = codes > 31
    padded = b"".join(chain.from_iterable(zip(lasts, [_NOTHING[i] for i in odd], strict=True)))
    numbers = np.frombuffer(padded, np.int8).astype(np.int32)
    # Of the longer groups the character before the last one, and which number it belongs to.
    leading = np.flatnonzero(goes_on)
    before_last = np.flatnonzero(~goes_on[leading + 1])
    at = leading[before_last]
    number = at - before_last
    for _ in range(_MOST_LEADING):
        numbers[number] = (numbers[number] << 5) + (codes[at] & np.uint8(31))
        at -= 1
        longer = np.flatnonzero(goes_on[at])
        at, number = at[longer], number[longer]
    if len(at):
        raise ValueError("a run longer than any frame")
    return numbers, lengths


def _painted(rles: Sequence[RLE], value: int = 1) -> Iterator[tuple[np.ndarray, int, int]]:
    """The runs of each mask painted into its tight box: ``(w, h)`` uint8, `value` or 0, and its left and top.

    All masks are painted at once, one behind the other into one array.
    """
    if not rles:
        return
    background, foreground, first, _ = _runs([rle["counts"] for rle in rles])
    stop = np.cumsum(background + foreground, dtype=np.int32)
    real = foreground > 0
    runs = np.add.reduceat(real, first[:-1], dtype=np.int64)
    which = np.repeat(np.arange(len(rles)), runs)
    stop = (stop - np.append(0, stop)[first[:-1]].repeat(np.diff(first)))[real]
    heights = np.array([rle["size"][0] for rle in rles], np.int32)
    column, row = np.divmod(stop - foreground[real], heights[which])
    last_column, last_row = np.divmod(stop - 1, heights[which])

    some = np.flatnonzero(runs)
    begin = (np.cumsum(runs) - runs)[some]
    boxes = np.zeros((4, len(rles)), np.int64)  # left, top, width, height
    if len(some):
        in_one_column = np.logical_and.reduceat(column == last_column, begin)
        top = np.where(in_one_column, np.minimum.reduceat(row, begin), 0)
        bottom = np.where(in_one_column, np.maximum.reduceat(last_row, begin) + 1, heights[some])
        left, right = column[begin], last_column[begin + runs[some] - 1] + 1
        boxes[:, some] = left, top, right - left, bottom - top
    left, top, width, height = boxes
    ends = np.cumsum(width * height)
    shift = (ends - width * height - left * height - top)[which]
    edges = np.zeros(2 * len(which) + 2, np.int64)
    edges[1:-1:2] = column * height[which] + row + shift
    edges[2:-1:2] = last_column * height[which] + last_row + 1 + shift
    edges[-1] = ends[-1]
    on_off = np.zeros(len(edges) - 1, np.uint8)
    on_off[1::2] = value
    painted = np.split(np.repeat(on_off, np.diff(edges)), ends[:-1])
    for flat, x, y, w, h in zip(painted, *boxes.tolist(), strict=True):
        yield flat.reshape(w, h), x, y


def _resize_one(rle: RLE, columns: np.ndarray, left: int, top: int, size: tuple[int, int]) -> RLE:
    """`columns`, `left` and `top` are as of `_painted`, foreground is 255."""
    height, width = rle["size"]
    if (height, width) == tuple(size):
        return rle
    if not columns.size:
        return _compress(np.zeros(0, np.int64), size)
    w, h = columns.shape
    # A rim of background, except at the border of the frame, where the object goes on as far as it is known.
    rim = (int(top > 0), int(top + h < height), int(left > 0), int(left + w < width))
    crop = cv2.copyMakeBorder(cv2.transpose(columns), *rim, cv2.BORDER_CONSTANT, value=0)
    left, top = left - rim[2], top - rim[0]
    scale_x, scale_y = size[1] / width, size[0] / height
    x1, y1 = int(left * scale_x), int(top * scale_y)
    x2 = min(int(np.ceil((left + crop.shape[1]) * scale_x)), size[1])
    y2 = min(int(np.ceil((top + crop.shape[0]) * scale_y)), size[0])
    to_source = np.array(
        [
            [1 / scale_x, 0, (x1 + 0.5) / scale_x - 0.5 - left],
            [0, 1 / scale_y, (y1 + 0.5) / scale_y - 0.5 - top],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    target = (x2 - x1, y2 - y1)
    resized = cv2.warpAffine(crop, to_source, target, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return encode_crop(resized >= 128, x1, y1, (int(size[0]), int(size[1])))


def _check_size(rle: Mapping[str, Any], size: tuple[int, int]) -> None:
    claimed = rle["size"]
    if not isinstance(claimed, (list, tuple)) or list(claimed) != list(size):
        raise ValueError(f"a mask of size {claimed} in a frame of size {list(size)} (height, width)")


def _from_counts(counts: np.ndarray, size: tuple[int, int]) -> RLE:
    """Canonical compressed RLE from run lengths: no empty runs but perhaps the first."""
    pixels = size[0] * size[1]
    if pixels > MAX_PIXELS:
        raise ValueError(f"a frame of {pixels} pixels is more than the {MAX_PIXELS} that are allowed")
    if (counts < 0).any():
        raise ValueError("a run of negative length")
    covered = sum(counts.tolist())  # Python's integers do not overflow
    if covered != pixels:
        raise ValueError(f"the runs cover {covered} pixels of a frame of {pixels}")
    positions, times = np.unique(np.cumsum(counts)[:-1], return_counts=True)
    return _compress(positions[times % 2 == 1], size)


def _from_polygons(polygons: list[list[float]], size: tuple[int, int]) -> RLE:
    height, width = size
    if height * width > MAX_PIXELS:
        raise ValueError(f"a frame of {width}x{height} pixels; at most {MAX_PIXELS} are allowed")
    outlines = [_outline(polygon) for polygon in polygons]
    # pycocotools walks along the outlines: far away or countless corners would take it forever.
    if not all((np.abs(points) <= 2 * max(height, width)).all() for points in outlines):
        raise ValueError(f"a polygon that leaves the frame of {width}x{height} by far")
    steps = (np.abs(points - np.roll(points, 1, axis=0)).max(axis=1) for points in outlines)
    if sum(float(lengths.sum()) for lengths in steps) > MAX_OUTLINE:
        raise ValueError(f"an outline longer than {MAX_OUTLINE} pixels")
    if not outlines:
        return _compress(np.zeros(0, np.int64), size)
    return union(coco_mask.frPyObjects([points.ravel().tolist() for points in outlines], height, width))


def _outline(polygon: Any) -> np.ndarray:
    """``(P, 2)`` corners of a polygon."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError("a polygon is a list of at least three points x1, y1, x2, y2, ...")
    numbers = np.asarray(polygon)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf":
        raise ValueError("a polygon with a corner that is no number")
    return numbers.astype(np.float64).reshape(-1, 2)
