"""Supervision of a selection network cell by cell: where is the object, and what is there?

One bit a pair teaches a network from scratch very slowly. But the truth also says of every pixel in which
the two masks differ whether the object is there, so in training a second head, on features at a 16th of the
resolution, says it of each cell of 8 x 8 pixels. A third head can be asked what the backbone of `compact`,
which has seen ImageNet, sees there (feature distillation: Romero et al., FitNets, ICLR 2015). Neither is
part of the selector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msnvis.segmenters.compact import create_compact
from msnvis.selection.networks import FEATURES

#: Pixels along the side of a cell.
CELL = 8
#: Weight of a pixel in which the masks agree, beside 1 where they differ: it teaches less.
AGREEMENT_WEIGHT = 0.1
_FEATURE_STRIDE = 16


class CellSupervision(nn.Module):
    """A selection network, and heads that judge cells.

    Args:
        selector: one of `selection.networks`.
        teacher_channels: of a `Teacher` whose features are to be said; 0 for none.

    >>> import torch
    >>> from msnvis.selection.networks import MaskSelectionNetwork
    >>> logits, cells, seen = CellSupervision(MaskSelectionNetwork(), 592)(torch.zeros(2, 8, 128, 128))
    >>> logits.shape, cells.shape, seen.shape
    (torch.Size([2, 2, 2]), torch.Size([2, 1, 16, 16]), torch.Size([2, 592, 8, 8]))
    """

    def __init__(self, selector: nn.Module, teacher_channels: int = 0) -> None:
        super().__init__()
        self.selector = selector
        factor = _FEATURE_STRIDE // CELL
        self.cells = nn.Sequential(nn.Conv2d(FEATURES, factor**2, 1), nn.PixelShuffle(factor))
        self.teacher_head = nn.Conv2d(FEATURES, teacher_channels, 1) if teacher_channels else None

    def forward(self, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits of the pairs or their patches, ``(N, 1, S / 8, S / 8)`` of the cells, positive where the
        object is, and ``(N, C, S / 16, S / 16)`` what the teacher may see."""
        logits, features = self.selector.judge(pairs)
        seen = self.teacher_head(features) if self.teacher_head is not None else None
        return logits, self.cells(features), seen


class Teacher:
    """The backbone of `compact`, which a selection network is to see like.

    Args:
        device: where it runs.

    Its features at strides 8, 16 and 32 are brought to a 16th of the resolution of the image, 592 channels.
    """

    channels = 40 * 4 + 112 + 320

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.backbone = create_compact(device=str(device)).network.backbone.eval()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """What it sees, each channel standardised over the batch: ``(N, 592, S / 16, S / 16)`` float32.

        Args:
            images: ``(N, 3, S, S)`` RGB in -1..1, as `compact` takes them too; S is a multiple of 32.
        """
        _, fine, middle, coarse = self.backbone(images)
        levels = [
            F.pixel_unshuffle(fine, 2),
            middle,
            F.interpolate(coarse, scale_factor=2.0, mode="bilinear"),
        ]
        features = torch.cat([level.float() for level in levels], dim=1)
        return F.batch_norm(features, None, None, training=True)


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
