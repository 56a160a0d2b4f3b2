"""Swin Transformer (Liu et al., ICCV 2021) as a backbone for detection: torchvision's, with one norm more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.swin_transformer import (
    ShiftedWindowAttention,
    SwinTransformer,
    SwinTransformerBlock,
)

_WINDOW = 7
#: What is added to the attention between pixels that a shift has brought together.
_APART = -100.0


@dataclass(frozen=True)
class SwinConfig:
    """Sizes of a Swin Transformer.

    Attributes:
        channels: of the first stage; each stage has twice as many as the one before.
        depths: blocks of each of the four stages.
        heads: of attention in each stage.
        drop_path: probability of leaving out the last block in training; it rises linearly from 0.
    """

    channels: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    drop_path: float


#: The backbones of the published detectors.
SWIN_T = SwinConfig(96, (2, 2, 6, 2), (3, 6, 12, 24), drop_path=0.2)
SWIN_S = SwinConfig(96, (2, 2, 18, 2), (3, 6, 12, 24), drop_path=0.2)
SWIN_B = SwinConfig(128, (2, 2, 18, 2), (4, 8, 16, 32), drop_path=0.3)


def swin_classifier(
    config: SwinConfig, attention: type[nn.Module] = ShiftedWindowAttention
) -> SwinTransformer:
    """torchvision's classifier of these sizes, untrained."""
    return SwinTransformer(
        patch_size=[4, 4],
        embed_dim=config.channels,
        depths=list(config.depths),
        num_heads=list(config.heads),
        window_size=[_WINDOW, _WINDOW],
        stochastic_depth_prob=config.drop_path,
        block=partial(SwinTransformerBlock, attn_layer=attention),
    )


class SwinFeatures(nn.Module):
    """``(B, 3, H, W)`` normalised images to the outputs of the four stages, each normalised.

    H and W are multiples of 4. The outputs have the strides 4, 8, 16, 32, rounded up, and the channels that
    `out_channels` says.

    >>> small = SwinFeatures(SwinConfig(8, (1, 1, 1, 1), (1, 1, 1, 1), drop_path=0.0))
    >>> [tuple(level.shape) for level in small(torch.zeros(1, 3, 36, 64))]
    [(1, 8, 9, 16), (1, 16, 5, 8), (1, 32, 3, 4), (1, 64, 2, 2)]
    """

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.out_channels = tuple(config.channels * 2**stage for stage in range(4))
        #: The patches, then stages and mergers of patches in turn.
        self.layers = swin_classifier(config, WindowAttention).features
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in self.out_channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        levels = []
        x = self.layers[0](images)
        for stage, norm in enumerate(self.norms):
            if stage:
                x = self.layers[2 * stage](x)
            x = self.layers[2 * stage + 1](x)
            levels.append(norm(x).permute(0, 3, 1, 2))
        return levels


class WindowAttention(ShiftedWindowAttention):
    """torchvision's, but windows are shifted on small maps, too, as in the published detectors.

    torchvision does not shift where a side of the map has a single window.
    """

    def define_relative_position_index(self) -> None:
        super().define_relative_position_index()
        cells = _WINDOW**2
        # Two-dimensional, as checkpoints have it.
        self.relative_position_index = self.relative_position_index.view(cells, cells)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, H, W, C)`` to the same shape."""
        height, width = x.shape[1:3]
        shift = self.shift_size[0]
        x = F.pad(x, (0, 0, 0, -width % _WINDOW, 0, -height % _WINDOW))
        padded = x.shape[1:3]
        bias = self.get_relative_position_bias()
        if shift:
            x = x.roll((-shift, -shift), dims=(1, 2))
            bias = (bias + _separation(*padded, shift, x)).repeat(len(x), 1, 1, 1)
        x = _merge(self._attend(_windows(x), bias.to(x.dtype)), *padded)
        if shift:
            x = x.roll((shift, shift), dims=(1, 2))
        return x[:, :height, :width].contiguous()

    def _attend(self, windows: Tensor, bias: Tensor) -> Tensor:
        """``(N, cells, C)`` to the same shape; `bias` is ``(N or 1, heads, cells, cells)``."""
        qkv = self.qkv(windows).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv, attn_mask=bias.expand(len(windows), -1, -1, -1))
        return self.proj(mixed.transpose(1, 2).flatten(2))


def _windows(x: Tensor) -> Tensor:
    """``(B, H, W, C)`` to ``(B * windows, cells, C)``."""
    x = x.unflatten(2, (-1, _WINDOW)).unflatten(1, (-1, _WINDOW))
    return x.transpose(2, 3).flatten(0, 2).flatten(1, 2)


def _merge(windows: Tensor, height: int, width: int) -> Tensor:
    """The reverse of `_windows`."""
    x = windows.unflatten(1, (_WINDOW, _WINDOW)).unflatten(0, (-1, height // _WINDOW, width // _WINDOW))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _separation(height: int, width: int, shift: int, like: Tensor) -> Tensor:
    """``(windows, 1, cells, cells)``: `_APART` between cells that are neighbours only by the shift."""
    rows, columns = (_regions(size, shift, like.device) for size in (height, width))
    region = _windows((rows[:, None] * 3 + columns)[None, ..., None]).squeeze(2)
    apart = region[:, :, None] != region[:, None, :]
    return (apart * _APART).unsqueeze(1).to(like.dtype)


def _regions(size: int, shift: int, device: torch.device) -> Tensor:
    """``(size,)``: 2 for what was rolled in from the other side, 1 for the rest of the last window."""
    position = torch.arange(size, device=device)
    return (position >= size - _WINDOW).int() + (position >= size - shift).int()
