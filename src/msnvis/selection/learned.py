"""`msn` and `selector-net` by name: their networks, their weights files, and ONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from msnvis.errors import WeightsError
from msnvis.io.atomic import replacing
from msnvis.selection.base import selectors
from msnvis.selection.crops import CropOptions
from msnvis.selection.network_selector import NetworkSelector, Use
from msnvis.selection.networks import MaskSelectionNetwork, SelectorNetwork
from msnvis.weights.files import weights_path
from msnvis.weights.int8 import quantise
from msnvis.weights.state import load_into, read_metadata

NETWORKS: dict[str, type[nn.Module]] = {"msn": MaskSelectionNetwork, "selector-net": SelectorNetwork}
#: What each network sees unless its training says otherwise: crops (paper 3.2) or whole images (FrameSelect).
CROPS = {"msn": CropOptions(side=256, box="union"), "selector-net": CropOptions(side=512, box="frame")}

#: Name of the shipped weights of MSN, and their `score_weight`: see their card.
SHIPPED = "msn"
SCORE_WEIGHT = 2.0


def save_selector(network: nn.Module, name: str, use: Use, path: Path) -> None:
    """Write weights as int8 with what the network expects to see.

    Args:
        network: one of `NETWORKS`.
        name: its name there.
        use: what is written about it.
        path: the safetensors file to write.
    """
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    metadata = {"architecture": name, "use": use.to_json()}
    with replacing(path) as temporary:
        save_file(quantise(state), temporary, metadata=metadata)


def load_selector(
    name: str,
    weights: str | Path,
    device: str = "auto",
    average_orders: bool | None = None,
    skip_iou: float = 0.98,
    score_weight: float = 0.0,
) -> NetworkSelector:
    """The selector called `name` with the weights of a file that `msnvis train selector` or `export` made,
    or that `msnvis weights list` names.

    See `NetworkSelector` for the options; `average_orders` is as it was trained where it is None.

    Raises:
        WeightsError: the file is missing, broken or belongs to another network.
    """
    path = weights_path(weights)
    if path.suffix == ".onnx":
        from msnvis.selection.onnx import OnnxNetwork

        network: nn.Module = OnnxNetwork(path, name)
        about, device = network.use, "cpu"
    else:
        about = read_metadata(path, name, "msnvis train selector").get("use")
        network = NETWORKS[name]()
    if about is None:
        raise WeightsError(f"{path} does not say how its network is to be used; train it again")
    use = Use.from_json(about, path)
    if average_orders is not None:
        use = replace(use, average_orders=average_orders)
    if path.suffix != ".onnx":
        load_into(network, path)
    return NetworkSelector(network, use, device, skip_iou, score_weight)


@selectors.register("msn", summary="the paper's Mask Selection Network", needs="nothing")
def create_msn(
    weights: str | Path | None = None,
    device: str = "auto",
    average_orders: bool | None = None,
    skip_iou: float = 0.98,
    score_weight: float | None = None,
) -> NetworkSelector:
    """MSN with the weights of a ``.safetensors`` or ``.onnx`` file; for the options see `load_selector`.

    By default the shipped ones, for `compact` and `flow`, with the `score_weight` that was chosen for them;
    others are asked alone.
    """
    weights = weights or SHIPPED
    if score_weight is None:
        score_weight = SCORE_WEIGHT if weights == SHIPPED else 0.0
    return load_selector("msn", weights, device, average_orders, skip_iou, score_weight)


@selectors.register(
    "selector-net",
    summary="the ResNet-18 that the paper compares with",
    needs="weights made by `msnvis train selector`",
)
def create_selector_net(
    weights: str | Path,
    device: str = "auto",
    average_orders: bool | None = None,
    skip_iou: float = 0.98,
    score_weight: float = 0.0,
) -> NetworkSelector:
    """Selector Net; the options are those of `create_msn`."""
    return load_selector("selector-net", weights, device, average_orders, skip_iou, score_weight)
