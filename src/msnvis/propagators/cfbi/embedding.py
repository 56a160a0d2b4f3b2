"""What CFBI knows of a frame: DeepLabV3+ and the pixel-wise embedding in which frames are matched."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d

from msnvis.propagators.cfbi.upsampling import convolve_upsampled

ASPP_DILATIONS = (1, 6, 12, 18)
EMBEDDING_CHANNELS = 100
_CHANNELS = 256


class _Branch(nn.Module):
    def __init__(self, inputs: int, dilation: int) -> None:
        super().__init__()
        kernel, padding = (1, 0) if dilation == 1 else (3, dilation)
        self.atrous_conv = nn.Conv2d(
            inputs, _CHANNELS, kernel, padding=padding, dilation=dilation, bias=False
        )
        self.bn = FrozenBatchNorm2d(_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.atrous_conv(x)).relu_()


class _ASPP(nn.Module):
    """Atrous spatial pyramid pooling of DeepLabV3 (Chen et al., 2017)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        for number, dilation in enumerate(ASPP_DILATIONS, start=1):
            self.add_module(f"aspp{number}", _Branch(inputs, dilation))
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inputs, _CHANNELS, 1, bias=False),
            FrozenBatchNorm2d(_CHANNELS),
            nn.ReLU(inplace=True),
        )
        self.conv1 = nn.Conv2d(5 * _CHANNELS, _CHANNELS, 1, bias=False)
        self.bn1 = FrozenBatchNorm2d(_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.aspp1(x), self.aspp2(x), self.aspp3(x), self.aspp4(x)]
        branches.append(self.global_avg_pool(x).expand_as(branches[0]))
        return self.bn1(self.conv1(torch.cat(branches, dim=1))).relu_()


class _Decoder(nn.Module):
    """DeepLabV3+'s decoder (Chen et al., 2018) without its classifier."""

    def __init__(self, low_level: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(low_level, 48, 1, bias=False)
        self.bn1 = FrozenBatchNorm2d(48)
        # Places 3 and 7 hold dropout in training.
        self.last_conv = nn.Sequential(
            nn.Conv2d(_CHANNELS + 48, _CHANNELS, 3, padding=1, bias=False),
            FrozenBatchNorm2d(_CHANNELS),
            nn.ReLU(inplace=True),
            nn.Identity(),
            nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False),
            FrozenBatchNorm2d(_CHANNELS),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        first = self.last_conv[0]
        upper, lower = first.weight.split([_CHANNELS, 48], dim=1)
        low = self.bn1(self.conv1(low)).relu_()
        mixed = F.conv2d(low, lower, first.bias, padding=1)
        mixed += convolve_upsampled(x, upper, low.shape[2:], "bilinear")
        return self.last_conv[1:](mixed)


class DeepLab(nn.Module):
    """``(B, 3, H, W)`` -> ``(B, 256, H/4, W/4)`` features and the backbone's low level of the same size."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.aspp = _ASPP(backbone.high_level_channels)
        self.decoder = _Decoder(backbone.low_level_channels)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        high, low = self.backbone(image)
        return self.decoder(self.aspp(high), low), low


def semantic_embedding() -> nn.Sequential:
    """``(B, 256, h, w)`` features -> ``(B, 100, h, w)``, not negative."""
    return nn.Sequential(
        nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, groups=_CHANNELS),
        nn.GroupNorm(32, _CHANNELS),
        nn.ReLU(inplace=True),
        nn.Conv2d(_CHANNELS, EMBEDDING_CHANNELS, 1),
        nn.GroupNorm(25, EMBEDDING_CHANNELS),
        nn.ReLU(inplace=True),
    )


@torch.no_grad()
def fuse_frozen_batch_norm(module: nn.Module) -> None:
    """Fold every frozen batch norm that directly follows a convolution into it, in place."""
    for parent in list(module.modules()):
        for (_, conv), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, FrozenBatchNorm2d):
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight,
                    conv.bias,
                    norm.running_mean,
                    norm.running_var,
                    norm.eps,
                    norm.weight,
                    norm.bias,
                )
                setattr(parent, name, nn.Identity())
