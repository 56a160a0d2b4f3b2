"""Building blocks of CFBI's head that weigh channels: instance attention and gated channel transformation.

Tensors are ``(N, C, H, W)``, one sample an object, in channels_last. What weighs channels is multiplied into the
1x1 convolution that follows instead of into the pixels.
"""

from __future__ import annotations

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

    def forward(self, energy: Tensor) -> Tensor:
        """Weights between 0 and 2 for channels with these sums of squares, both ``(N, C)``."""
        embedding = (energy + _EPSILON).sqrt() * self.alpha.flatten(1)
        norm = self.gamma.flatten(1) / (embedding.square().mean(dim=1, keepdim=True) + _EPSILON).sqrt()
        return 1 + torch.tanh(embedding * norm + self.beta.flatten(1))


def energy(x: Tensor) -> Tensor:
    """Sum of squares of each channel: ``(N, C, H, W)`` -> ``(N, C)``."""
    return torch.linalg.vector_norm(x, dim=(2, 3)).square()


def pointwise(conv: nn.Conv2d, x: Tensor, weights: Tensor) -> Tensor:
    """A 1x1 convolution without bias of `x` with its channels weighted by `weights` ``(N, C)``."""
    number, _, height, width = x.shape
    kernel = conv.weight.flatten(1) * weights[:, None]
    pixels = x.permute(0, 2, 3, 1).reshape(number, height * width, -1)
    return torch.bmm(pixels, kernel.transpose(1, 2)).view(number, height, width, -1).permute(0, 3, 1, 2)


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

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Of `x` with its channels weighted by `weights` ``(N, C)``."""
        gate = self.GCT1(energy(x) * weights.square())
        out = self.bn1(pointwise(self.conv1, x, weights * gate)).relu_()
        out = self.bn2(self.conv2(out)).relu_()
        out = self.bn3(self.conv3(out))
        if self.downsample is None:
            out.addcmul_(x, weights[..., None, None])
        else:
            conv, norm = self.downsample
            step = conv.stride[0]
            out += norm(pointwise(conv, x[:, :, ::step, ::step], weights))
        return out.relu_()
