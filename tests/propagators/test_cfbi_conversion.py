"""`msnvis weights convert` on CFBI's checkpoints."""

import cfbi_checkpoint
import torch
from safetensors.torch import load_file

from msnvis.propagators.cfbi import create_network
from msnvis.propagators.cfbi.checkpoint import load_cfbi
from msnvis.weights.conversion import convert_weights


def test_converted_file_fills_the_network_with_the_same_numbers(tmp_path):
    state = cfbi_checkpoint.random_checkpoint("mobilenet")
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "a.pth")
    count = convert_weights("cfbi-mobilenet", tmp_path / "a.pth", tmp_path / "a.safetensors")
    converted = load_file(tmp_path / "a.safetensors")
    assert len(converted) == count
    networks = [create_network("cfbi-mobilenet") for _ in range(2)]
    for network, file in zip(networks, ("a.pth", "a.safetensors"), strict=True):
        load_cfbi(network, tmp_path / file)
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(first[name], value) for name, value in converted.items())
    # Every number of the checkpoint is there, under one of its names.
    kept = {value.double().sum().item() for value in converted.values()}
    assert {value.double().sum().item() for value in state.values()} <= kept
