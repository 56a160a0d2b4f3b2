"""CFBI's head: from matching to a logit for each object and pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msnvis.propagators.cfbi.embedding import ASPP_DILATIONS, EMBEDDING_CHANNELS
from msnvis.propagators.cfbi.gates import GCT, Bottleneck, InstanceGate, energy, pointwise
from msnvis.propagators.cfbi.matching import LOCAL_RADII
from msnvis.propagators.cfbi.upsampling import convolve_upsampled

#: Mean embeddings of the object and of the rest, in the references and in the frame before.
ATTENTION_CHANNELS = 4 * EMBEDDING_CHANNELS
#: Global and local distances of foreground and background, and the mask of the frame before.
MATCHING_CHANNELS = 2 * (1 + len(LOCAL_RADII)) + 1
PRE_HEAD_CHANNELS = 64
_CHANNELS = 256
_WIDE = 2 * _CHANNELS
_NARROW = _CHANNELS // 2
_REFINED = 64
#: The last bottleneck at a quarter of the image's size, from which the decoder takes the details.
_LAST_LARGE = 2


class PreHead(nn.Module):
    """``(N, 15, h, w)`` distances and masks -> ``(N, 64, h, w)``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(MATCHING_CHANNELS, PRE_HEAD_CHANNELS, 1)
        self.bn = nn.GroupNorm(PRE_HEAD_CHANNELS // 4, PRE_HEAD_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu_()


class _Branch(nn.Module):
    def __init__(self, dilation: int) -> None:
        super().__init__()
        kernel, padding = (1, 0) if dilation == 1 else (3, dilation)
        self.GCT = GCT(_WIDE)
        self.atrous_conv = nn.Conv2d(_WIDE, _NARROW, kernel, padding=padding, dilation=dilation, bias=False)
        self.bn = nn.GroupNorm(_NARROW // 4, _NARROW)

    def forward(self, x: Tensor, power: Tensor) -> Tensor:
        gated = x * self.GCT(power)[..., None, None]
        return self.bn(self.atrous_conv(gated)).relu_()


class _ASPP(nn.Module):
    """Atrous spatial pyramid pooling with a GCT before each convolution."""

    def __init__(self) -> None:
        super().__init__()
        for number, dilation in enumerate(ASPP_DILATIONS, start=1):
            self.add_module(f"aspp{number}", _Branch(dilation))
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(_WIDE, _NARROW, 1, bias=False), nn.ReLU(inplace=True)
        )
        self.GCT = GCT(5 * _NARROW)
        self.conv1 = nn.Conv2d(5 * _NARROW, _CHANNELS, 1, bias=False)
        self.bn1 = nn.GroupNorm(32, _CHANNELS)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        power = energy([x], weights)
        x = x * weights[..., None, None]
        branches = [branch(x, power) for branch in (self.aspp1, self.aspp2, self.aspp3, self.aspp4)]
        branches.append(self.global_avg_pool(x).expand_as(branches[0]))
        gate = self.GCT(energy(branches, x.new_ones(len(x), 1)))
        return self.bn1(pointwise(self.conv1, branches, gate)).relu_()


class Ensembler(nn.Module):
    """The collaborative ensembler (Yang et al., 2020, Section 3.4).

    Args:
        low_level: channels of the backbone's low level.
    """

    def __init__(self, low_level: int) -> None:
        super().__init__()
        inputs = 3 * EMBEDDING_CHANNELS + PRE_HEAD_CHANNELS
        #: Inputs, outputs, stride and dilation of each bottleneck.
        blocks = (
            (inputs, _CHANNELS, 1, 1),
            (_CHANNELS, _CHANNELS, 1, 2),
            (_CHANNELS, _WIDE, 2, 1),
            (_WIDE, _WIDE, 1, 2),
            (_WIDE, _WIDE, 1, 4),
            (_WIDE, _WIDE, 2, 1),
            (_WIDE, _WIDE, 1, 2),
            (_WIDE, _WIDE, 1, 4),
        )
        gated = [block[0] for block in blocks] + [_WIDE, _CHANNELS + _REFINED, _NARROW]
        for number, channels in enumerate(gated, start=1):
            self.add_module(f"IA{number}", InstanceGate(ATTENTION_CHANNELS, channels))
        for number, block in enumerate(blocks, start=1):
            self.add_module(f"layer{number}", Bottleneck(*block))
        self.ASPP = _ASPP()
        self.GCT_sc = GCT(low_level + _CHANNELS)
        self.conv_sc = nn.Conv2d(low_level + _CHANNELS, _REFINED, 1, bias=False)
        self.bn_sc = nn.GroupNorm(_REFINED // 4, _REFINED)
        self.conv1 = nn.Conv2d(_CHANNELS + _REFINED, _NARROW, 3, padding=1, bias=False)
        self.bn1 = nn.GroupNorm(32, _NARROW)
        self.conv2 = nn.Conv2d(_NARROW, _NARROW, 3, padding=1, bias=False)
        self.bn2 = nn.GroupNorm(32, _NARROW)
        self.IA_final_fg = nn.Linear(ATTENTION_CHANNELS, _NARROW + 1)
        self.IA_final_bg = nn.Linear(ATTENTION_CHANNELS, _NARROW + 1)

    def forward(self, parts: Sequence[Tensor], attention: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of each object and of all that is not that object.

        Args:
            parts: ``(N, 364, h, w)`` in parts, see `pointwise`; one sample an object.
            attention: ``(N, 400)``.
            low: ``(1, low_level, h, w)`` of the frame.

        Returns:
            Two times ``(N, h, w)``.
        """
        gates = [self.get_submodule(f"IA{number}")(attention) for number in range(1, 12)]
        for number in range(1, 9):
            parts = [self.get_submodule(f"layer{number}")(parts, gates[number - 1])]
            if number == _LAST_LARGE:
                shortcut = self._shortcut([low, *parts])
        x = self._decode(self.ASPP(*parts, gates[8]), shortcut, gates[9], gates[10])
        return self._logits(x, self.IA_final_fg(attention)), self._logits(x, self.IA_final_bg(attention))

    def _shortcut(self, parts: Sequence[Tensor]) -> Tensor:
        gate = self.GCT_sc(energy(parts, parts[-1].new_ones(len(parts[-1]), 1)))
        return self.bn_sc(pointwise(self.conv_sc, parts, gate)).relu_()

    def _decode(self, x: Tensor, shortcut: Tensor, first: Tensor, second: Tensor) -> Tensor:
        first = first[..., None, None]
        upper, lower = self.conv1.weight.split([_CHANNELS, _REFINED], dim=1)
        out = F.conv2d(shortcut * first[:, _CHANNELS:], lower, padding=1)
        out += convolve_upsampled(x * first[:, :_CHANNELS], upper, shortcut.shape[2:], "bicubic")
        out = self.bn1(out).relu_().mul_(second[..., None, None])
        return self.bn2(self.conv2(out)).relu_()

    @staticmethod
    def _logits(x: Tensor, weights: Tensor) -> Tensor:
        """A 1x1 convolution of each sample with weights and bias ``(N, C + 1)`` of its own."""
        return torch.einsum("nchw,nc->nhw", x, weights[:, :-1]) + weights[:, -1, None, None]


def combine(own: Tensor, rest: Tensor) -> Tensor:
    """The logits of all slots: the background, slot 0, is also where every object says that it is not.

    Args:
        own, rest: ``(K, h, w)`` from `Ensembler`.

    Returns:
        ``(K, h, w)``.
    """
    if len(own) == 1:
        return own
    return torch.cat([own[:1] + rest[1:].amin(dim=0, keepdim=True), own[1:]])
