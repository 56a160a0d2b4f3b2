"""The two networks of the paper's Table 1 that tell which of two masks is better.

Both take ``(N, 8, S, S)`` pairs as `msnvis.selection.crops` makes them (RGB and mask of the first, RGB and
mask of the second, each in -1..1) and answer with a logit for each pair: positive where the first is better.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

#: How the patches' scores become one: of a pair's logits, of their probabilities, or of their signs.
AGGREGATIONS = ("logit", "probability", "vote")
PAIR_CHANNELS = 8
#: Layers of MSN up to the features at a 16th of the resolution: one of 2 and three of 3.
_FEATURE_LAYERS = 11
#: Channels of `judge`'s features, of both networks.
FEATURES = 512
#: Keeps the logit of a unanimous vote finite.
_MARGIN = 1e-4


class MaskSelectionNetwork(nn.Module):
    """MSN (paper 3.2): the discriminator of pix2pix (Isola et al. 2017) with five strided layers.

    Each of its 6x6 outputs (for pairs of 256x256) judges a patch, since one mask may be better here and the
    other there. 11.16 M parameters and 2.22 GMac a pair, as in Table 1; no other depth has these.

    Args:
        aggregation: how patches are combined, see `AGGREGATIONS`.

    >>> MaskSelectionNetwork()(torch.zeros(2, 8, 256, 256), patches=True).shape
    torch.Size([2, 6, 6])
    """

    side = 256

    def __init__(self, aggregation: str = "logit") -> None:
        super().__init__()
        self.aggregation = aggregation
        widths = (64, 128, 256, 512, 512, 512)
        layers: list[nn.Module] = [nn.Conv2d(PAIR_CHANNELS, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for index, (before, after) in enumerate(pairwise(widths)):
            # The last inner layer keeps the resolution.
            stride = 1 if index == len(widths) - 2 else 2
            layers += [
                nn.Conv2d(before, after, 4, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, pairs: Tensor, patches: bool = False) -> Tensor:
        """``(N,)`` logits, or those of the patches: ``(N, 6, 6)`` for pairs of 256x256."""
        logits, _ = self.judge(pairs)
        return logits if patches else aggregate(logits.flatten(1), self.aggregation)

    def judge(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the patches, and ``(N, 512, S / 16, S / 16)`` features for `selection.cells`."""
        features = self.layers[:_FEATURE_LAYERS](pairs)
        return self.layers[_FEATURE_LAYERS:](features).squeeze(1), features


class SelectorNetwork(nn.Module):
    """Selector Net of FrameSelect (Garg & Goel, WACV 2021), which the paper compares with.

    A ResNet-18 with four input channels sees each image with its mask; two fully connected layers compare
    what it says. 11.7 M parameters, 19.4 GMac a pair of 512x512.

    >>> SelectorNetwork().eval()(torch.zeros(2, 8, 64, 64)).shape
    torch.Size([2])
    """

    side = 512

    def __init__(self) -> None:
        super().__init__()
        self.features = resnet18(weights=None)
        self.features.conv1 = nn.Conv2d(4, 64, 7, 2, 3, bias=False)
        self.features.fc = nn.Identity()
        self.compare = nn.Sequential(nn.Linear(1024, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 2))

    def forward(self, pairs: Tensor, patches: bool = False) -> Tensor:
        """``(N,)`` logits: how much more the first of the two scores says; there are no patches."""
        return self.judge(pairs)[0]

    def judge(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """``(N,)`` logits, and ``(N, 512, S / 16, S / 16)`` features for `selection.cells`."""
        net = self.features
        x = net.maxpool(net.relu(net.bn1(net.conv1(pairs.reshape(-1, 4, *pairs.shape[-2:])))))
        x = net.layer3(net.layer2(net.layer1(x)))
        features = x.reshape(len(pairs), FEATURES, *x.shape[-2:])
        described = net.avgpool(net.layer4(x)).reshape(len(pairs), -1)
        first, second = self.compare(described).unbind(dim=1)
        return first - second, features


def aggregate(patches: Tensor, how: str) -> Tensor:
    """One logit for each row of ``(N, P)`` logits.

    >>> aggregate(torch.tensor([[2.0, -1.0, -1.0]]), "logit").item()
    0.0
    >>> aggregate(torch.tensor([[2.0, -1.0, -1.0]]), "vote").item() < 0
    True
    """
    if how == "logit":
        return patches.mean(dim=1)
    shares = patches.sigmoid() if how == "probability" else (patches > 0).to(patches)
    return torch.logit(shares.mean(dim=1), eps=_MARGIN)
