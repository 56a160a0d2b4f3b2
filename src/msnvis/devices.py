"""Where networks run."""

from __future__ import annotations

import torch

from msnvis.errors import OptionError


def pick_device(name: str) -> torch.device:
    """The device called `name`; ``auto`` takes a CUDA GPU, else Apple's, else the CPU.

    Raises:
        OptionError: PyTorch knows no such device, or this machine has none.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise OptionError(f"device '{name}' cannot be used on this machine; try 'auto' or 'cpu'") from error
    return device
