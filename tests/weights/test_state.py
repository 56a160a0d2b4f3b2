"""Weights files, whole and broken."""

import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from msnvis.errors import WeightsError
from msnvis.weights.state import load_into, load_weights


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_float16_safetensors_become_float32(model, tmp_path):
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_file(half, tmp_path / "net.safetensors")
    loaded = load_weights(tmp_path / "net.safetensors")
    assert loaded["0.weight"].dtype == torch.float32
    np.testing.assert_array_equal(loaded["0.weight"].numpy(), half["0.weight"].numpy().astype(np.float32))


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}]
)
def test_pytorch_files_bare_and_wrapped(model, tmp_path, wrap):
    torch.save(wrap(model.state_dict()), tmp_path / "net.pth")
    assert same(load_weights(tmp_path / "net.pth"), dict(model.state_dict()))


def test_load_into_restores_all_and_does_without_batch_counts(model, tmp_path):
    state = {k: v + 1 for k, v in model.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "net.pth")
    load_into(model, tmp_path / "net.pth")
    assert same({k: v for k, v in model.state_dict().items() if "num_batches" not in k}, state)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_truncated_file(model, tmp_path, suffix, share):
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match=f"net{suffix} is"):
        load_weights(path)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\x00" * 100, b"version https://git-lfs\n"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_files(tmp_path, content, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=f"net{suffix} is"):
        load_weights(path)


def test_pickled_code_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    torch.save({"state_dict": Evil()}, tmp_path / "new.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("new.pth", "old.pth"):
        with pytest.raises(WeightsError, match="would run code"):
            load_weights(tmp_path / name)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.zeros(3)])
def test_pytorch_files_without_a_state(tmp_path, content):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="is not a state dict"):
        load_weights(tmp_path / "net.pth")


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match="there is no such weights file"):
        load_weights(tmp_path / "net.pth")


def test_weights_of_another_model_are_listed_and_nothing_is_loaded(model, tmp_path):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = {k: v + 1 for k, v in model.state_dict().items()}
    state["0.weight"] = torch.zeros(4, 3, 5, 5)
    del state["2.bias"]
    state |= {f"extra.{i}": torch.zeros(1) for i in range(5)}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(WeightsError) as caught:
        load_into(model, tmp_path / "net.pth")
    text = str(caught.value)
    assert "1 missing (2.bias)" in text
    assert "5 unknown (extra.0, extra.1, extra.2, ...)" in text
    assert "1 of another shape (0.weight)" in text
    assert "\n" not in text
    assert same(model.state_dict(), before)
