"""Weights files of strangers run nothing and take no more memory than they hold."""

import io
import json
import os
import pickle
import struct
import zipfile

import pytest
import torch
from fuzz_readers import READERS

from msnvis.errors import MsnvisError, WeightsError
from msnvis.segmenters.cascade_files import read_classes
from msnvis.selection.crops import CropOptions
from msnvis.weights.state import load_weights


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.onnx"])
@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_nothing_in_a_weights_file_is_executed(tmp_path, name, how):
    path, canary = tmp_path / name, tmp_path / "executed"
    content = {"state_dict": {"w": torch.zeros(2)}, "epoch": Canary(canary)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(WeightsError):
        if name == "a.onnx":
            from msnvis.selection import create_selector

            create_selector("msn", weights=path)
        else:
            load_weights(path)
    assert not canary.exists()
    if how == "pickle":
        pickle.loads(path.read_bytes())
        assert canary.exists()  # so it would have been seen


@pytest.mark.parametrize("size", [(1 << 40,), (1 << 16, 1 << 16)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.int8])
def test_one_number_is_no_tensor_of_gigabytes(tmp_path, size, dtype):
    torch.save({"w": torch.zeros(1, dtype=dtype).expand(size)}, tmp_path / "a.pth")
    assert (tmp_path / "a.pth").stat().st_size < 5000
    with pytest.raises(WeightsError, match="times its size"):
        load_weights(tmp_path / "a.pth")


def test_weights_that_share_memory_are_read(tmp_path):
    tied = torch.arange(6.0)
    torch.save({"first": tied, "second": tied.view(2, 3), "half": tied[:3]}, tmp_path / "a.pth")
    assert load_weights(tmp_path / "a.pth")["second"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_compressed_archive_is_refused(tmp_path):
    stored = io.BytesIO()
    torch.save({"w": torch.zeros(10**6)}, stored)
    with (
        zipfile.ZipFile(stored) as plain,
        zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for entry in plain.infolist():
            small.writestr(entry.filename, plain.read(entry))
    assert (tmp_path / "a.pth").stat().st_size < 20_000
    with pytest.raises(WeightsError, match="compressed archive"):
        load_weights(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "value", [torch.sparse_coo_tensor([[0]], [1.0], (1 << 40,)), torch.empty(4, device="meta")]
)
def test_tensors_that_are_no_plain_arrays_are_refused(tmp_path, value):
    torch.save({"w": value}, tmp_path / "a.pth")
    with pytest.raises(WeightsError):
        load_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("length", [0, 1, 10, 10**6, 2**63, 2**64 - 1])
def test_safetensors_with_any_length_of_header(tmp_path, length):
    path = tmp_path / "a.safetensors"
    path.write_bytes(
        struct.pack("<Q", length) + b'{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4]}}0000'
    )
    with pytest.raises(WeightsError, match=r"a\.safetensors is damaged"):
        load_weights(path)


@pytest.mark.parametrize(
    "classes", ["[", "7", '"cat"', "{}", "[]", "[1]", "[" * 10**5, json.dumps(["a"] * 10**5)]
)
def test_classes_that_are_no_names_are_refused(tmp_path, classes):
    from safetensors.torch import save_file

    path = tmp_path / "a.safetensors"
    save_file({"w": torch.zeros(1)}, path, metadata={"architecture": "compact", "classes": classes})
    with pytest.raises(WeightsError, match="classes"):
        read_classes(path, "compact")


@pytest.mark.parametrize(
    "options",
    [{"side": 10**9}, {"side": 3.5}, {"side": "256"}, {"context": float("nan")}, {"context": 1e300}],
)
def test_crops_from_a_file_have_limits(options):
    with pytest.raises(MsnvisError):
        CropOptions(**options)


def test_onnx_files_with_foreign_operations_are_refused(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra msnvis[onnx] is not installed")
    from msnvis.selection import create_selector

    (tmp_path / "tiny.onnx").write_bytes(READERS["weights onnx"].make()["tiny.onnx"])

    def refused(change, text):
        model = onnx.load(tmp_path / "tiny.onnx")
        change(model)
        onnx.save(model, tmp_path / "changed.onnx")
        with pytest.raises(WeightsError, match=text):
            create_selector("msn", weights=tmp_path / "changed.onnx")

    def with_loop(model):
        model.graph.node.add(op_type="Loop", input=["", ""], output=["x"])

    def of_another_domain(model):
        model.graph.node[0].domain = "com.stranger"

    def with_other_files(model):
        entry = model.graph.initializer[0].external_data.add()
        entry.key, entry.value = "location", "../../secret"
        model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
        model.graph.initializer[0].ClearField("raw_data")

    def with_a_constant_elsewhere(model):
        with_other_files(model)
        tensor = model.graph.initializer.pop(0)
        model.graph.node.add(op_type="Constant", output=[tensor.name]).attribute.add(
            name="value", type=onnx.AttributeProto.TENSOR, t=tensor
        )

    def with_sparse_values(model):
        model.graph.sparse_initializer.add()

    refused(with_a_constant_elsewhere, "refers to other files")
    refused(with_sparse_values, r"operations that our networks lack \(sparse tensors\)")
    refused(with_loop, r"operations that our networks lack \(Loop\)")
    refused(of_another_domain, r"operations that our networks lack \(Conv\)")
    refused(with_other_files, "refers to other files")


def test_sizes_that_a_pair_shard_claims_are_checked(guard):
    import numpy as np
    from safetensors.numpy import load, save

    data = READERS["pair shard"].make()["pairs-00000.safetensors"]
    length = struct.unpack("<Q", data[:8])[0]
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    for table, place, value in (
        ("rows", (0, 0), 5),
        ("rows", (0, 4), -1),
        ("rows", (0, 4), 10**12),
        ("rows", (0, 5), 10**9),
        ("frame_ends", (0,), -5),
        ("frame_ends", (0,), 10**15),
        ("mask_ends", (0,), 2**62),
    ):
        tables = {name: np.array(values) for name, values in load(data).items()}
        tables[table][place] = value
        outcome = guard.attempt("pair shard", {"pairs-00000.safetensors": save(tables, metadata)})
        assert outcome.verdict == "refused", (table, place, outcome.text)
