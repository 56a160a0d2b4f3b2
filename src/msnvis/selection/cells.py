"""Supervision of a selection network cell by cell: where is the object?

One bit a pair teaches a network from scratch very slowly. But the truth also says of every pixel in which the
two masks differ whether the object is there, so in training a second head, on features at a 16th of the
resolution, says it of each cell of 8 x 8 pixels. It is no part of the selector.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from msnvis.selection.networks import FEATURES

#: Pixels along the side of a cell.
CELL = 8
#: Weight of a pixel in which the masks agree, beside 1 where they differ: it teaches less.
AGREEMENT_WEIGHT = 0.1
_FEATURE_STRIDE = 16


class CellSupervision(nn.Module):
    """A selection network, and a head that judges cells.

    Args:
        selector: one of `selection.networks`.

    >>> import torch
    >>> from msnvis.selection.networks import MaskSelectionNetwork
    >>> logits, cells = CellSupervision(MaskSelectionNetwork())(torch.zeros(2, 8, 128, 128))
    >>> logits.shape, cells.shape
    (torch.Size([2, 2, 2]), torch.Size([2, 1, 16, 16]))
    """

    def __init__(self, selector: nn.Module) -> None:
        super().__init__()
        self.selector = selector
        factor = _FEATURE_STRIDE // CELL
        self.cells = nn.Sequential(nn.Conv2d(FEATURES, factor**2, 1), nn.PixelShuffle(factor))

    def forward(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the pairs or their patches, and ``(N, 1, S / 8, S / 8)`` of the cells: positive where
        the object is."""
        logits, features = self.selector.judge(pairs)
        return logits, self.cells(features)


def cell_loss(logits: Tensor, first: Tensor, second: Tensor, truth: Tensor) -> Tensor:
    """Mean binary cross-entropy of where the object is, above all where the two masks differ.

    Args:
        logits: ``(N, 1, S / 8, S / 8)``.
        first, second, truth: ``(N, 1, S, S)`` bool masks.

    >>> import torch
    >>> mask = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    >>> round(cell_loss(torch.full((1, 1, 1, 1), 10.0), mask, ~mask, truth=mask).item(), 3)
    0.0
    """
    counts = (first ^ second).float() + AGREEMENT_WEIGHT
    weight, wanted = F.avg_pool2d(counts, CELL), F.avg_pool2d(counts * truth, CELL)
    return (F.softplus(logits) * weight - logits * wanted).sum() / weight.sum()
