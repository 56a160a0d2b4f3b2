"""Distances of pixels to those of each object: anywhere in the references, or near by in the frame before.

Objects are slots: 0 is the background, which is matched like any object.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: Radii of the windows of local matching, in pixels of every second row and column, in the order of the
#: network's channels: the official code takes the widest first.
LOCAL_RADII = (12, 2, 4, 6, 8, 10)
_RADIUS = max(LOCAL_RADII)
#: Distances computed at a time: what fits into the cache of a CPU core, or at most 1 GiB of a GPU.
_CPU_TILE = 1 << 19
_GPU_TILE = 1 << 28
_BYTES = 4


def global_distances(query: Tensor, references: Sequence[Tensor], tile: int | None = None) -> Tensor:
    """Squared distance of each pixel to the nearest reference pixel of each object.

    Each object is compared with its own pixels alone, a tile of the distances at a time.

    Args:
        query: ``(P, C)`` float32.
        references: for each object ``(R, C)``; R may differ and be 0.
        tile: how many distances to compute at a time; by the free memory when not given.

    Returns:
        ``(K, P)`` float32; infinite for an object without reference pixels.

    >>> global_distances(torch.tensor([[0.0], [5.0]]), [torch.tensor([[1.0], [7.0]]), torch.zeros(0, 1)])
    tensor([[1., 4.],
            [inf, inf]])
    """
    tile = tile or _tile(query.device)
    side = max(1, int(tile**0.5))
    buffer = query.new_empty(side * side)
    nearest = query.new_full((len(references), len(query)), torch.inf)
    # |q - r|^2 = |q|^2 + [-2 q, 1] . [r, |r|^2], of which the first is added to the minimum.
    columns = torch.cat([-2 * query, torch.ones_like(query[:, :1])], dim=1).T
    for found, reference in zip(nearest, references, strict=True):
        rows = torch.cat([reference, reference.square().sum(dim=1, keepdim=True)], dim=1)
        for part in rows.split(side) if len(rows) else ():
            for start in range(0, len(query), side):
                these = columns[:, start : start + side]
                distances = buffer[: len(part) * these.shape[1]].view(len(part), -1)
                torch.mm(part, these, out=distances)
                least = found[start : start + side]
                torch.minimum(least, distances.amin(dim=0), out=least)
    return nearest + query.square().sum(dim=1)


def _tile(device: torch.device) -> int:
    if device.type != "cuda":
        return _CPU_TILE
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(_CPU_TILE, min(_GPU_TILE, (free + unused) // (4 * _BYTES)))


def local_distances(query: Tensor, previous: Tensor, slots: Tensor, count: int) -> Tensor:
    """Squared distance of each pixel to the nearest pixel of each object within windows of the last frame.

    Args:
        query, previous: ``(1, C, h, w)`` float32 embeddings of the frame and of the one before.
        slots: ``(h, w)`` int64: of which object each pixel of the frame before is.
        count: how many objects there are, K.

    Returns:
        ``(K, 6, h, w)`` float32 for the windows of `LOCAL_RADII`; infinite where an object is not in the
        window.
    """
    height, width = query.shape[2:]
    distances = _window_distances(query, previous)
    padded = F.pad(slots, (_RADIUS,) * 4, value=-1)
    # Rows and columns of the window first: (25, 25, h, w)
    near = padded.unfold(0, height, 1).unfold(1, width, 1)
    result = query.new_empty(count, len(LOCAL_RADII), height, width)
    for slot in range(count):
        own = distances.masked_fill(near != slot, torch.inf)
        for index, radius in enumerate(LOCAL_RADII):
            window = slice(_RADIUS - radius, _RADIUS + radius + 1)
            result[slot, index] = own[window, window].amin(dim=(0, 1))
    return result


def _window_distances(query: Tensor, previous: Tensor) -> Tensor:
    """``(25, 25, h, w)``: squared distance to the pixel at each row and column of the window around."""
    height, width = query.shape[2:]
    side = 2 * _RADIUS + 1
    rows = query[0].permute(1, 2, 0)  # h, w, C
    padded = F.pad(previous, (_RADIUS,) * 4)[0].permute(1, 0, 2)  # rows, C, columns
    squares = rows.square().sum(dim=2)
    norms = padded.square().sum(dim=1)
    distances = query.new_empty(side, side, height, width)
    for shift in range(side):
        # Each pixel with all of a row of the frame before; the window is a band along the diagonal.
        products = torch.bmm(rows, padded[shift : shift + height]).contiguous()
        stride = products.stride()
        band = products.as_strided((height, width, side), (stride[0], stride[1] + 1, 1))
        near = norms[shift : shift + height].unfold(1, side, 1)
        torch.sub(near + squares[..., None], band, alpha=2, out=distances[shift].permute(1, 2, 0))
    return distances


def squash(distances: Tensor, bias: Tensor) -> Tensor:
    """Distances ``(K, ...)`` plus the bias of each object ``(K,)``, brought to -1..1; infinity gives 1."""
    bias = bias.view(-1, *(1,) * (distances.dim() - 1))
    return (distances + bias).sigmoid_().sub_(0.5).mul_(2)


def least_of_others(values: Tensor) -> Tensor:
    """For each of ``(K, ...)`` the elementwise least of all the others; itself where it is the only one.

    >>> least_of_others(torch.tensor([[3.0], [1.0], [2.0]])).ravel().tolist()
    [1.0, 2.0, 1.0]
    """
    if len(values) == 1:
        return values
    before, after = [values[0]], [values[-1]]
    for k in range(1, len(values) - 1):
        before.append(torch.minimum(before[-1], values[k]))
        after.append(torch.minimum(after[-1], values[-1 - k]))
    after.reverse()
    middle = [torch.minimum(b, a) for b, a in zip(before[:-1], after[1:], strict=True)]
    return torch.stack([after[0], *middle, before[-1]])
