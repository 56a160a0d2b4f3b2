"""CFBI, the propagator of the paper: with ResNet-101 or with MobileNetV2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msnvis.errors import OptionError
from msnvis.propagators.base import propagators
from msnvis.weights.conversion import converters

if TYPE_CHECKING:
    from torch import Tensor

    from msnvis.propagators.cfbi.network import CFBI
    from msnvis.propagators.cfbi.propagator import CFBIPropagator

#: The paper's multi-scale inference (4.1).
PAPER_SCALES = (1.0, 1.15, 1.3, 1.5)
#: The longest side in pixels in the official code: with a single scale, and before scaling with several.
SINGLE_SCALE_SIDE, MULTI_SCALE_SIDE = 1040, 800


def create_network(name: str) -> CFBI:
    """The untrained network called ``cfbi`` or ``cfbi-mobilenet``."""
    from msnvis.propagators.cfbi.backbone import MobileNetV2, ResNet101
    from msnvis.propagators.cfbi.network import CFBI

    return CFBI(MobileNetV2() if name == "cfbi-mobilenet" else ResNet101())


def create_cfbi(
    name: str,
    weights: str | Path | None = None,
    device: str = "auto",
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    max_side: int | None = None,
    max_references: int = 5,
) -> CFBIPropagator:
    """CFBI with the weights of its authors.

    Args:
        name: ``cfbi`` or ``cfbi-mobilenet``.
        weights: an official checkpoint or one of the same names and shapes; the one that `msnvis weights`
            knows by the part's name when not given.
        device: ``auto``, ``cpu``, ``cuda``...
        scales: of the frames; the probabilities are averaged. The paper takes `PAPER_SCALES`, and `flip`.
        flip: look at each frame mirrored as well.
        max_side: longest side in pixels, before scaling; 1040 with scale 1 alone and 800 otherwise when not
            given, as in the official code.
        max_references: how many frames in which objects joined are remembered; each costs memory and time.

    Raises:
        OptionError: an option makes no sense.
        WeightsError: the weights are missing, broken or of another network.
    """
    from msnvis.devices import pick_device
    from msnvis.propagators.cfbi.checkpoint import load_cfbi
    from msnvis.propagators.cfbi.propagator import CFBIPropagator
    from msnvis.weights.files import weights_path

    if not scales or min(scales) <= 0:
        raise OptionError(f"scales are {tuple(scales)}; give one or more factors above 0, such as (1.0, 1.3)")
    if max_side is None:
        max_side = SINGLE_SCALE_SIDE if tuple(scales) == (1.0,) else MULTI_SCALE_SIDE
    if max_side < 1:
        raise OptionError(f"max_side is {max_side}; give a number of pixels from 1 on")
    if max_references < 1:
        raise OptionError(f"max_references is {max_references}; give a number of frames from 1 on")
    network = create_network(name)
    load_cfbi(network, weights_path(weights or name))
    network = network.optimise().to(pick_device(device))
    return CFBIPropagator(network, tuple(scales), flip, max_side, max_references)


def read_published(name: str, path: Path) -> dict[str, Tensor]:
    """The state dict of our network from an official checkpoint."""
    from msnvis.propagators.cfbi.checkpoint import load_cfbi

    network = create_network(name)
    load_cfbi(network, path)
    return network.state_dict()


for _name, _summary in (
    ("cfbi", "the paper's: matching with the first and the previous frame, ResNet-101"),
    ("cfbi-mobilenet", "the same with MobileNetV2, quicker"),
):
    propagators.register(_name, summary=_summary, needs="weights fetched by hand")(
        partial(create_cfbi, _name)
    )
    converters.register(_name, summary="checkpoints of z-x-yang/CFBI")(partial(read_published, _name))
