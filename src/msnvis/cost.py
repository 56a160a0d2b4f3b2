"""What the selection networks cost, as in the paper's Table 1: parameters and multiply-accumulates."""

from __future__ import annotations

from dataclasses import dataclass

import torch

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


def network_cost(name: str) -> Cost:
    """Count by PyTorch's own counter, without computing anything.

    Raises:
        OptionError: there is no network of that name to count.

    >>> round(network_cost("msn").macs / 1e9, 2)
    2.22
    """
    from torch.utils.flop_counter import FlopCounterMode

    from msnvis.selection.learned import NETWORKS
    from msnvis.selection.networks import PAIR_CHANNELS

    if name not in NETWORKS:
        raise OptionError(f"the cost of '{name}' is not known; it is of: {', '.join(NETWORKS)}")
    side = NETWORKS[name].side
    shape = (1, PAIR_CHANNELS, side, side)
    with torch.device("meta"):
        network = NETWORKS[name]().eval()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            network(torch.zeros(shape))
    return Cost(sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2, shape)
