"""Weights in a quarter of their size: int8 with one scale for each output channel.

A tensor ``w`` of two or more dimensions becomes ``w`` (int8) and ``w.scale`` (float32, one for each index of
its first dimension), ``w = w_int8 * scale``; the rest is kept in half precision.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
_LARGEST = 127


def quantise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round the matrices and kernels of a state dict to int8; numbers that are not floating stay.

    >>> small = quantise({"w": torch.tensor([[1.0, -0.5]])})
    >>> small["w"].tolist(), round(small["w.scale"].item() * 127, 3)
    ([[127, -64]], 1.0)
    """
    small: dict[str, Tensor] = {}
    for name, value in state.items():
        value = value.detach().cpu().contiguous()
        if not value.is_floating_point():
            small[name] = value
        elif value.ndim < 2:
            small[name] = value.half()
        else:
            largest = value.float().flatten(1).abs().amax(dim=1)
            # A channel of zeros needs a scale too, any but zero.
            scale = torch.where(largest > 0, largest, 1.0) / _LARGEST
            small[name] = torch.round(value.float() / _along_first(scale, value)).to(torch.int8)
            small[name + SCALE] = scale
    return small


def dequantise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `quantise`, up to rounding; a state dict without scales comes back as it is."""
    quantised = {k for k, v in state.items() if v.dtype == torch.int8 and k + SCALE in state}
    whole = {name: value for name, value in state.items() if name.removesuffix(SCALE) not in quantised}
    for name in quantised:
        scale = state[name + SCALE].float()
        whole[name] = state[name].float() * _along_first(scale, state[name])
    return whole


def _along_first(scale: Tensor, value: Tensor) -> Tensor:
    return scale.reshape(-1, *[1] * (value.ndim - 1))
