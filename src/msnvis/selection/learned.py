"""`msn`, `msn-lite` and `selector-net` by name: their networks, their weights files, and ONNX."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from msnvis.errors import OptionError, WeightsError
from msnvis.io.atomic import replacing
from msnvis.selection.base import selectors
from msnvis.selection.crops import CropOptions
from msnvis.selection.lite import STRIDE, LiteMaskSelectionNetwork
from msnvis.selection.network_selector import NetworkSelector, Use
from msnvis.selection.networks import MaskSelectionNetwork, SelectorNetwork
from msnvis.weights.files import weights_path
from msnvis.weights.int8 import quantise
from msnvis.weights.state import load_into, read_metadata

NETWORKS: dict[str, type[nn.Module]] = {
    "msn": MaskSelectionNetwork,
    "msn-lite": LiteMaskSelectionNetwork,
    "selector-net": SelectorNetwork,
}
#: What each network sees unless its training says otherwise: crops (paper 3.2) or whole images (FrameSelect).
CROPS = {
    "msn": CropOptions(side=256, box="union"),
    "msn-lite": CropOptions(side=192, box="union", context=0.25),
    "selector-net": CropOptions(side=512, box="frame"),
}

#: Networks with shipped weights of the same name -> the `score_weight` of these, see their cards.
SHIPPED = {"msn": 2.0, "msn-lite": 2.0}


def check_crops(name: str, crops: CropOptions) -> None:
    """Raise `OptionError` for crops that the network called `name` cannot see."""
    if name != "msn-lite":
        return
    if crops.side % STRIDE:
        raise OptionError(f"side is {crops.side} but msn-lite needs a multiple of {STRIDE}")
    if crops.box == "each" or crops.masked:
        raise OptionError("msn-lite sees both masks in one image: box may not be 'each', masked not be set")


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
    check_crops(name, use.crops)
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
    return _shipped_or_own("msn", weights, device, average_orders, skip_iou, score_weight)


@selectors.register("msn-lite", summary="MSN on a backbone that knows ImageNet and COCO", needs="nothing")
def create_msn_lite(
    weights: str | Path | None = None,
    device: str = "auto",
    average_orders: bool | None = None,
    skip_iou: float = 0.98,
    score_weight: float | None = None,
) -> NetworkSelector:
    """`msn-lite`; the options are those of `create_msn`."""
    return _shipped_or_own("msn-lite", weights, device, average_orders, skip_iou, score_weight)


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


def _shipped_or_own(
    name: str,
    weights: str | Path | None,
    device: str,
    average_orders: bool | None,
    skip_iou: float,
    score_weight: float | None,
) -> NetworkSelector:
    weights = weights or name
    if score_weight is None:
        score_weight = SHIPPED[name] if weights == name else 0.0
    return load_selector(name, weights, device, average_orders, skip_iou, score_weight)
