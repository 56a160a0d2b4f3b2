"""Selection networks as ONNX: for other runtimes, and for ONNX Runtime, which is quicker on some CPUs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from msnvis.errors import MissingExtraError, WeightsError
from msnvis.io.atomic import replacing
from msnvis.selection.network_selector import Use
from msnvis.selection.networks import PAIR_CHANNELS

if TYPE_CHECKING:
    from onnx import ModelProto

#: Operations of the networks that `export_onnx` writes, in any of PyTorch's ways to write them. A file is a
#: program: others could run without end, or call code from elsewhere.
OPERATIONS = {
    "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Constant", "Conv", "Flatten", "Gemm",
    "GlobalAveragePool", "Identity", "LeakyRelu", "MaxPool", "ReduceMean", "Relu", "Reshape", "Resize",
    "Shape", "Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze",
}  # fmt: skip

_EXTRA = "ONNX needs `pip install msnvis[onnx]`"


def export_onnx(network: nn.Module, name: str, use: Use, path: Path) -> None:
    """Write a network that takes ``pairs (N, 8, side, side)`` float32 and gives ``logits (N,)``, for any N.

    Raises:
        MissingExtraError: ``pip install msnvis[onnx]`` is needed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise MissingExtraError(_EXTRA) from error
    example = torch.zeros(2, PAIR_CHANNELS, use.crops.side, use.crops.side)
    program = torch.onnx.export(
        network.eval().cpu(),
        (example,),
        input_names=["pairs"],
        output_names=["logits"],
        dynamo=True,
        dynamic_shapes={"pairs": {0: torch.export.Dim("pairs")}},
        verbose=False,
    )
    model = program.model_proto
    onnx.helper.set_model_props(model, {"architecture": name, "use": use.to_json()})
    with replacing(path) as temporary:
        onnx.save(model, temporary)


class OnnxNetwork(nn.Module):
    """A network that `export_onnx` wrote, run by ONNX Runtime on the CPU.

    Args:
        path: the ``.onnx`` file.
        name: the network that it must hold.

    Raises:
        MissingExtraError: ``pip install msnvis[onnx]`` is needed.
        WeightsError: the file is missing, broken or of another network.
    """

    def __init__(self, path: Path, name: str) -> None:
        super().__init__()
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError(_EXTRA) from error
        if not path.is_file():
            raise WeightsError(f"{path}: there is no such weights file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            model = onnx.load(path, load_external_data=False)
            properties = {entry.key: entry.value for entry in model.metadata_props}
            _check_graph(model, path)
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except WeightsError:
            raise
        except Exception as error:  # theirs have no common base
            raise WeightsError(f"{path} is damaged or not an ONNX file; export it again") from error
        if properties.get("architecture") != name:
            raise WeightsError(f"{path} does not hold '{name}'; make it by `msnvis export {name}`")
        self._path = path
        # A network is known by its tensors, which are all in the file.
        digest = hashlib.sha256(path.read_bytes()).digest()
        self.register_buffer("digest", torch.frombuffer(bytearray(digest), dtype=torch.uint8))
        self.use: str | None = properties.get("use")

    def forward(self, pairs: Tensor) -> Tensor:
        """``(N,)`` logits of ``(N, 8, S, S)`` float32 pairs."""
        try:
            (logits,) = self._session.run(["logits"], {"pairs": pairs.contiguous().numpy()})
            return torch.from_numpy(logits).reshape(len(pairs))
        except Exception as error:  # of a file whose network is another one than it says
            raise WeightsError(f"{self._path} cannot be run on pairs of masks; export it again") from error


def _check_graph(model: ModelProto, path: Path) -> None:
    """Refuse what `export_onnx` does not write."""
    foreign = {node.op_type for node in model.graph.node if node.domain or node.op_type not in OPERATIONS}
    foreign |= {"functions"} if model.functions else set()
    foreign |= {"sparse tensors"} if model.graph.sparse_initializer else set()
    if foreign:
        what = ", ".join(sorted(foreign)[:3])
        raise WeightsError(
            f"{path} holds operations that our networks lack ({what}); make it by `msnvis export`"
        )
    constants = [attribute.t for node in model.graph.node for attribute in node.attribute]
    if any(tensor.external_data for tensor in (*model.graph.initializer, *constants)):
        raise WeightsError(f"{path} refers to other files; make it by `msnvis export`")
