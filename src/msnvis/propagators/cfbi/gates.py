"""Building blocks of CFBI's head that weigh channels: instance attention and gated channel transformation.

Tensors are ``(N, C, H, W)`` in channels_last, one sample an object. What weighs channels is multiplied into
the 1x1 convolution that follows instead of into the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_EPSILON = 1e-5


class InstanceGate(nn.Module):
    """A weight between 0 and 2 for each channel, from what the object and its surroundings look like."""

    def __init__(self, attention: int, channels: int) -> None:
        super().__init__()
        self.IA = nn.Linear(attention, channels)

    def forward(self, attention: Tensor) -> Tensor:
        """``(N, attention)`` -> ``(N, C)``."""
        return 1 + torch.tanh(self.IA(attention))


class GCT(nn.Module):
    """Gated channel transformation (Yang et al., 2020) with the L2 norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, power: Tensor) -> Tensor:
        """Weights between 0 and 2 for channels with these sums of squares, both ``(N, C)``."""
        embedding = (power + _EPSILON).sqrt() * self.alpha.flatten(1)
        norm = self.gamma.flatten(1) / (embedding.square().mean(dim=1, keepdim=True) + _EPSILON).sqrt()
        return 1 + torch.tanh(embedding * norm + self.beta.flatten(1))


def energy(parts: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Sum of squares of each channel of `parts`, see `pointwise`, weighted by `weights`: ``(N, C)``."""
    # In channels_last this is seven times as quick as torch.linalg.vector_norm.
    sums = [part.permute(0, 2, 3, 1).flatten(1, 2).square().sum(dim=1) for part in parts]
    return torch.cat([s.expand(len(weights), -1) for s in sums], dim=1) * weights.square()


def pointwise(conv: nn.Conv2d, parts: Sequence[Tensor], weights: Tensor) -> Tensor:
    """A 1x1 convolution without bias, with channels weighted by `weights` ``(N, C)``.

    Args:
        conv: whose weights to take.
        parts: what would be joined along the channels, each ``(N, ., H, W)``, or ``(1, ., H, W)`` for all.
        weights: of all channels of all parts.

    Returns:
        ``(N, D, H, W)`` in channels_last.
    """
    kernels = (conv.weight.flatten(1) * weights[:, None]).transpose(1, 2)  # N, C, D
    height, width = parts[0].shape[2:]
    out = kernels.new_empty(len(kernels), height * width, kernels.shape[2])
    split = kernels.split([part.shape[1] for part in parts], dim=1)
    for index, (part, kernel) in enumerate(zip(parts, split, strict=True)):
        pixels = part.permute(0, 2, 3, 1).reshape(len(part), height * width, -1)
        out.baddbmm_(pixels.expand(len(kernel), -1, -1), kernel, beta=min(index, 1))
    return out.view(len(out), height, width, -1).permute(0, 3, 1, 2)


class Bottleneck(nn.Module):
    """A bottleneck of ResNet with group norm and a GCT before it."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        planes = outputs // 4
        self.GCT1 = GCT(inputs)
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.GroupNorm(32, planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.GroupNorm(32, planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.GroupNorm(32, outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.GroupNorm(32, outputs)
            )

    def forward(self, parts: Sequence[Tensor], weights: Tensor) -> Tensor:
        """Of `parts`, see `pointwise`, with their channels weighted by `weights` ``(N, C)``."""
        gate = self.GCT1(energy(parts, weights))
        out = self.bn1(pointwise(self.conv1, parts, weights * gate)).relu_()
        out = self.bn2(self.conv2(out)).relu_()
        out = self.bn3(self.conv3(out))
        if self.downsample is None:
            out.addcmul_(parts[0], weights[..., None, None])
        else:
            conv, norm = self.downsample
            step = conv.stride[0]
            out += norm(pointwise(conv, [part[:, :, ::step, ::step] for part in parts], weights))
        return out.relu_()
