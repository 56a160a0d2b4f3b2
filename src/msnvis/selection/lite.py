"""`msn-lite`: the question of MSN, asked of a backbone that has seen photographs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msnvis.segmenters.compact import create_compact
from msnvis.segmenters.efficientnet import FEATURE_BLOCKS, FEATURE_CHANNELS, EfficientNetLite0Features
from msnvis.selection.networks import FEATURES

#: Sides of crops must be multiples of it: the stride of the coarsest features.
STRIDE = 32
#: Blocks of the backbone that see the image alone, up to a quarter of its resolution; they are not trained.
_IMAGE_BLOCKS = 3
_MASK_STRIDE = 4
_WIDTH = 128


class LiteMaskSelectionNetwork(nn.Module):
    """What MSN does (paper 3.2), on EfficientNet-Lite0 instead of layers that know nothing.

    MSN starts from random numbers and so has to learn from pairs of masks what objects look like, for which
    the paper has 3.2 million. This one starts from the backbone of `compact`, trained on ImageNet and COCO.
    The masks enter at a quarter of the resolution, pixel for pixel, and pass through the rest of the
    backbone with the image; its four levels are judged together, patch by patch as in MSN. 3.9 M parameters.

    Both masks must be seen in one box (`CropOptions.box` ``union`` or ``frame``), not hidden outside of them:
    the two images of a pair are one.

    >>> LiteMaskSelectionNetwork()(torch.zeros(2, 8, 192, 192), patches=True).shape
    torch.Size([2, 12, 12])
    """

    side = 192

    def __init__(self) -> None:
        super().__init__()
        self.backbone = EfficientNetLite0Features()
        self.backbone.freeze(blocks=_IMAGE_BLOCKS)
        entry = nn.Conv2d(64, FEATURE_CHANNELS[0], 1)
        # At first the masks change nothing, so that training starts from what the backbone knows.
        nn.init.zeros_(entry.weight)
        nn.init.zeros_(entry.bias)
        self.masks = nn.Sequential(*_conv_norm_act(2 * _MASK_STRIDE**2, 64), entry)
        self.reduce = nn.ModuleList([nn.Conv2d(channels, 64, 1) for channels in FEATURE_CHANNELS])
        self.compare = nn.Sequential(
            *_conv_norm_act(64 * len(FEATURE_CHANNELS) + 2, _WIDTH),
            *_conv_norm_act(_WIDTH, FEATURES, stride=2),
        )
        self.patches = nn.Conv2d(FEATURES, 1, 3, padding=1)

    def start_from_compact(self) -> None:
        """Take over the backbone of the shipped segmenter."""
        self.backbone.load_state_dict(create_compact(device="cpu").network.backbone.state_dict())

    def forward(self, pairs: Tensor, patches: bool = False) -> Tensor:
        """``(N,)`` logits, or those of the patches: ``(N, 12, 12)`` for pairs of 192x192."""
        logits, _ = self.judge(pairs)
        return logits if patches else logits.flatten(1).mean(dim=1)

    def in_both_orders(self, pairs: Tensor) -> Tensor:
        """``(N,)`` half the difference of the logits of the pairs and of the exchanged pairs.

        As asking twice, but the image, which is half of the time, is looked at once.
        """
        image, masks = self._see(pairs[:, :3]), pairs[:, 3::4]
        one, other = (self._compare(image, m)[0].flatten(1).mean(dim=1) for m in (masks, masks.flip(1)))
        return (one - other) / 2

    def judge(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the patches, and ``(N, 512, S / 16, S / 16)`` features for `selection.cells`."""
        return self._compare(self._see(pairs[:, :3]), pairs[:, 3::4])

    def _see(self, image: Tensor) -> Tensor:
        """The image alone at a quarter of its resolution."""
        x = self.backbone.stem(image)
        for block in self.backbone.blocks[:_IMAGE_BLOCKS]:
            x = block(x)
        return x

    def _compare(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """What `judge` says, of what `_see` saw and ``(N, 2, S, S)`` masks."""
        levels = self._levels(image, masks)
        grid = levels[1].shape[-2:]
        reduced = [reduce(level) for reduce, level in zip(self.reduce, levels, strict=True)]
        fine = F.avg_pool2d(reduced[0], 2)
        coarse = [F.interpolate(level, size=grid, mode="bilinear") for level in reduced[2:]]
        seen = [fine, reduced[1], *coarse, F.avg_pool2d(masks, 8).to(fine.dtype)]
        features = self.compare(torch.cat(seen, dim=1))
        return self.patches(features).squeeze(1), features

    def _levels(self, image: Tensor, masks: Tensor) -> list[Tensor]:
        """Features at strides 4, 8, 16 and 32 of what `_see` saw and the masks together."""
        x = image + self.masks(F.pixel_unshuffle(masks, _MASK_STRIDE))
        levels = [x]
        for index, block in enumerate(self.backbone.blocks[_IMAGE_BLOCKS:], start=_IMAGE_BLOCKS):
            x = block(x)
            if index in FEATURE_BLOCKS:
                levels.append(x)
        return levels


def _conv_norm_act(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.LeakyReLU(0.2)]
