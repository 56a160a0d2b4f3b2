"""The network against the straightforward formulation, and its checkpoints against the official names."""

import math

import pytest
import torch
from cfbi_checkpoint import benchmark, official_shapes, random_checkpoint
from safetensors.torch import save_file

from msnvis.errors import TensorsError, WeightsError
from msnvis.propagators import create_propagator
from msnvis.propagators.cfbi import create_network
from msnvis.propagators.cfbi.checkpoint import load_cfbi
from msnvis.propagators.cfbi.ensembler import combine
from msnvis.propagators.cfbi.gates import GCT, Bottleneck

NAMES = {"resnet": "cfbi", "mobilenet": "cfbi-mobilenet"}


def test_the_list_of_tensors_is_the_official_one():
    shapes = official_shapes("resnet")
    trained = {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith("semantic_embedding.")  # the second time
        and not (name.startswith("feature_extracter.") and len(shape) == 1)  # frozen batch norms
    }
    assert len(shapes) == 761
    assert round(sum(map(math.prod, trained.values())) / 1e6, 2) == 66.05


@pytest.mark.parametrize("backbone", NAMES)
def test_the_network_has_each_official_tensor_once(backbone):
    shapes = official_shapes(backbone)
    own = {name: tuple(value.shape) for name, value in create_network(NAMES[backbone]).state_dict().items()}
    assert {name: shapes.get(name) for name in own} == own
    twins = ("seperate_conv.", "bn1.", "embedding_conv.", "bn2.")
    twins += tuple(
        f"feature_extracter.backbone.{part}."
        for part in ("low_level_features", "high_level_features", "feautre_8x", "feature_16x", "feature_32x")
    )
    assert {name for name in shapes if not name.startswith(twins)} == own.keys()


@pytest.mark.parametrize("backbone", NAMES)
def test_equal_to_the_straightforward_formulation(backbone):
    state = random_checkpoint(backbone)
    network = create_network(NAMES[backbone])
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    network.optimise()
    plain = benchmark.Straightforward(state)
    images = torch.randn(3, 1, 3, 65, 97, generator=torch.Generator().manual_seed(1))
    slots = torch.zeros(2, 17, 25, dtype=torch.int64)
    slots[0, 2:9, 3:12] = 1
    slots[1, 4:11, 5:14] = 1
    slots[1, 10:16, 15:22] = 2  # joins in the second frame
    with torch.inference_mode():
        expected, low = plain.embed(images[2])
        known = [(plain.embed(image)[0], labels) for image, labels in zip(images[:2], slots, strict=True)]
        logits = plain.logits((expected, low), known[1], known, 3)
        embedding, _ = network.embed(images[2])
        ours = [(network.embed(image)[0], labels) for image, labels in zip(images[:2], slots, strict=True)]
        got = network(*network.embed(images[2]), ours[1], ours, 3)
    torch.testing.assert_close(embedding, expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(got.softmax(dim=0), logits.softmax(dim=0), atol=1e-4, rtol=0)
    assert logits.std() > 0.1  # or nothing would have been compared


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_official_files_are_loaded(tmp_path, prefix, suffix):
    state = random_checkpoint("mobilenet")
    path = tmp_path / f"weights{suffix}"
    named = {prefix + name: value.clone() for name, value in state.items()}
    if suffix == ".pth":
        torch.save({"state_dict": named, "optimizer": {"state": {}}}, path)
    else:
        save_file(named, path)
    network = create_network("cfbi-mobilenet")
    load_cfbi(network, path)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_wrong_and_partial_files_are_refused_with_all_keys(tmp_path):
    state = random_checkpoint("mobilenet")
    path = tmp_path / "weights.pth"
    del state["fg_bias"], state["dynamic_seghead.IA3.IA.weight"]
    state["something"] = torch.zeros(1)
    state["bg_bias"] = torch.zeros(1)
    torch.save({"state_dict": state}, path)
    with pytest.raises(TensorsError, match="fg_bias") as refused:
        create_propagator("cfbi-mobilenet", weights=path)
    assert set(refused.value.missing) == {"fg_bias", "dynamic_seghead.IA3.IA.weight"}
    assert refused.value.unknown == ["something"] and refused.value.reshaped == ["bg_bias"]
    with pytest.raises(TensorsError, match=r"backbone\.conv1"):
        create_propagator("cfbi", weights=path)


def test_twins_that_differ_are_refused(tmp_path):
    state = random_checkpoint("mobilenet")
    state["embedding_conv.bias"] = state["embedding_conv.bias"] + 1
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"semantic_embedding\.3\.bias.*twice"):
        create_propagator("cfbi-mobilenet", weights=tmp_path / "weights.pth")


def test_gct_by_hand():
    """Energies 9 and 16, alpha 1 and 2: embeddings 3 and 8, root of their mean square sqrt(36.5)."""
    gct = GCT(2)
    gct.load_state_dict(
        {
            "alpha": torch.tensor([1.0, 2.0]).view(1, 2, 1, 1),
            "gamma": torch.tensor([0.5, -1.0]).view(1, 2, 1, 1),
            "beta": torch.tensor([0.0, 0.25]).view(1, 2, 1, 1),
        }
    )
    gate = gct(torch.tensor([[9.0, 16.0]]))[0]
    expected = [1 + math.tanh(3 * 0.5 / 36.5**0.5), 1 + math.tanh(-8 / 36.5**0.5 + 0.25)]
    torch.testing.assert_close(gate, torch.tensor(expected), atol=1e-4, rtol=0)


def test_parts_of_a_bottleneck_count_as_joined():
    torch.manual_seed(0)
    block = Bottleneck(12, 128, stride=2)
    x, weights = torch.randn(2, 12, 9, 7), torch.rand(2, 12)
    with torch.no_grad():
        block.GCT1.gamma.normal_()
        whole = block([x], weights)
        torch.testing.assert_close(block([x[:, :5], x[:, 5:]], weights), whole)
    assert whole.shape == (2, 128, 5, 4)


def test_sizes_inside_the_ensembler():
    """Quarter, eighth and sixteenth of an image of 65x97 pixels, by hand."""
    head = create_network("cfbi-mobilenet").dynamic_seghead
    seen = {}
    for number in range(1, 9):
        layer = head.get_submodule(f"layer{number}")
        layer.register_forward_hook(lambda _, __, out, number=number: seen.update({number: tuple(out.shape)}))
    parts = [torch.randn(2, channels, 17, 25) for channels in (100, 100, 100, 64)]
    with torch.inference_mode():
        own, rest = head(parts, torch.rand(2, 400), torch.randn(1, 24, 17, 25))
    quarter, eighth, sixteenth = (17, 25), (9, 13), (5, 7)
    assert [seen[number] for number in (1, 2)] == [(2, 256, *quarter)] * 2
    assert [seen[number] for number in (3, 4, 5)] == [(2, 512, *eighth)] * 3
    assert [seen[number] for number in (6, 7, 8)] == [(2, 512, *sixteenth)] * 3
    assert own.shape == rest.shape == (2, *quarter)


def test_the_background_is_where_every_object_says_so():
    own = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    rest = torch.tensor([50.0, 7.0, -4.0]).view(3, 1, 1)
    assert combine(own, rest).flatten().tolist() == [1 - 4, 2, 3]
    assert combine(own[:1], rest[:1]).flatten().tolist() == [1]
