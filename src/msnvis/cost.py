"""What networks cost: parameters and multiply-accumulates, counted without computing anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from msnvis.errors import OptionError


@dataclass(frozen=True)
class Cost:
    """What one input costs.

    Attributes:
        parameters: numbers that training changes.
        macs: multiply-accumulates; a GPU vendor's FLOP are twice as many.
        shape: of the input.
    """

    parameters: int
    macs: int
    shape: tuple[int, ...]


#: The input of published counts of detectors, and the regions that each of them has then.
_IMAGE = (1, 3, 800, 1280)
_REGIONS, _MASKS = 1000, 100


def cost_names() -> list[str]:
    """The networks whose cost `network_cost` tells: selectors as in the paper's Table 1, Swin detectors.

    >>> cost_names()[:2]
    ['msn', 'msn-lite']
    """
    from msnvis.segmenters.swin_cascade import BACKBONES
    from msnvis.selection.learned import NETWORKS

    return [*NETWORKS, *BACKBONES]


def network_cost(name: str) -> Cost:
    """Count by PyTorch's own counter.

    Detectors are counted as mmdetection counts them: an image of 1280x800 pixels, 1000 regions, 100 masks.

    Raises:
        OptionError: there is no network of that name to count.

    >>> round(network_cost("msn").macs / 1e9, 2)
    2.22
    """
    from msnvis.selection.learned import NETWORKS

    if name not in cost_names():
        raise OptionError(f"the cost of '{name}' is not known; it is of: {', '.join(cost_names())}")
    return _selector_cost(name) if name in NETWORKS else _detector_cost(name)


def _selector_cost(name: str) -> Cost:
    from msnvis.selection.learned import NETWORKS
    from msnvis.selection.networks import PAIR_CHANNELS

    side = NETWORKS[name].side
    shape = (1, PAIR_CHANNELS, side, side)
    with torch.device("meta"):
        network = NETWORKS[name]().eval()
        return Cost(_parameters(network), _macs(lambda: network(torch.zeros(shape))), shape)


def _detector_cost(name: str) -> Cost:
    from msnvis.segmenters.cascade import BOX_POOL, MASK_POOL
    from msnvis.segmenters.swin_cascade import build_swin_cascade

    with torch.device("meta"):
        network = build_swin_cascade(name, num_classes=80).eval()
        channels = network.config.channels

        def run() -> None:
            network.rpn.head(network.features(torch.zeros(_IMAGE)))
            for head in network.box_heads:
                head(torch.zeros(_REGIONS, channels, BOX_POOL, BOX_POOL))
            for head in network.mask_heads.values():
                head(torch.zeros(_MASKS, channels, MASK_POOL, MASK_POOL))

        return Cost(_parameters(network), _macs(run), _IMAGE)


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _macs(run: Callable[[], object]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        run()
    return counter.get_total_flops() // 2
