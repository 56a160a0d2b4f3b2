"""The backbones of CFBI at output stride 16, with frozen batch norm: ResNet-101 and MobileNetV2."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d

#: Dilations of the blocks of ResNet's last stage: DeepLabV3's multi-grid 1, 2, 4 at output stride 16.
_MULTI_GRID = (2, 4, 8)
#: MobileNetV2 (Sandler et al., 2018, Table 2) at output stride 16: expansion, channels, stride of the first
#: block, and the dilation of each block.
_INVERTED_RESIDUALS = (
    (1, 16, 1, (1,)),
    (6, 24, 2, (1, 1)),
    (6, 32, 2, (1, 1, 1)),
    (6, 64, 2, (1, 1, 1, 1)),
    (6, 96, 1, (1, 1, 1)),
    (6, 160, 1, (1, 2, 2)),
    (6, 320, 1, (2,)),
)


class ResNet101(ResNet):
    """torchvision's ResNet-101 without its classifier, its last stage dilated instead of strided."""

    low_level_channels, high_level_channels = 256, 2048

    def __init__(self) -> None:
        super().__init__(
            Bottleneck,
            [3, 4, 23, 3],
            replace_stride_with_dilation=[False, False, True],
            norm_layer=FrozenBatchNorm2d,
        )
        del self.avgpool, self.fc
        for block, dilation in zip(self.layer4, _MULTI_GRID, strict=True):
            block.conv2.dilation = block.conv2.padding = (dilation, dilation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 3, H, W)`` -> ``(B, 2048, H/16, W/16)`` and the low level ``(B, 256, H/4, W/4)``."""
        low = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        return self.layer4(self.layer3(self.layer2(low))), low


class _InvertedResidual(nn.Module):
    """As in MobileNetV2, except that zeros are padded before the expansion, whose bias changes them."""

    def __init__(self, inputs: int, outputs: int, stride: int, dilation: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [nn.Conv2d(inputs, hidden, 1, bias=False), FrozenBatchNorm2d(hidden), nn.ReLU6(inplace=True)]
        self.conv = nn.Sequential(
            *(expand if expansion > 1 else ()),
            nn.Conv2d(hidden, hidden, 3, stride, dilation=dilation, groups=hidden, bias=False),
            FrozenBatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            FrozenBatchNorm2d(outputs),
        )
        self.padding = (dilation,) * 4
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(F.pad(x, self.padding))
        return x + out if self.is_residual else out


class MobileNetV2(nn.Module):
    """MobileNetV2 without its classifier, dilated from 1/16 on."""

    low_level_channels, high_level_channels = 24, 320
    #: Blocks up to here see 1/4 of the image's resolution.
    _LOW_LEVEL = 4

    def __init__(self) -> None:
        super().__init__()
        channels = 32
        blocks: list[nn.Module] = [
            nn.Sequential(
                nn.Conv2d(3, channels, 3, 2, 1, bias=False),
                FrozenBatchNorm2d(channels),
                nn.ReLU6(inplace=True),
            )
        ]
        for expansion, outputs, stride, dilations in _INVERTED_RESIDUALS:
            for index, dilation in enumerate(dilations):
                first = stride if index == 0 else 1
                blocks.append(_InvertedResidual(channels, outputs, first, dilation, expansion))
                channels = outputs
        self.features = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 3, H, W)`` -> ``(B, 320, H/16, W/16)`` and the low level ``(B, 24, H/4, W/4)``."""
        low = self.features[: self._LOW_LEVEL](x)
        return self.features[self._LOW_LEVEL :](low), low
