import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from msnvis.weights.int8 import dequantise, quantise
from msnvis.weights.state import load_into


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(3, 5), (4, 2, 3, 3), (1, 1)]))
def test_no_value_moves_by_more_than_half_a_step_of_its_channel(seed, shape):
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(shape, generator=generator) * torch.rand(shape[0], generator=generator).reshape(
        -1, *[1] * (len(shape) - 1)
    )
    back = dequantise(quantise({"w": value}))["w"]
    step = value.flatten(1).abs().amax(dim=1) / 127
    assert ((back - value).flatten(1).abs().amax(dim=1) <= step / 2 * 1.001).all()


def test_channels_of_zeros_and_what_is_not_a_matrix():
    state = {"w": torch.zeros(2, 3), "bias": torch.tensor([0.5, -2.0]), "count": torch.tensor(7)}
    small = quantise(state)
    assert small["w"].dtype == torch.int8 and small["bias"].dtype == torch.float16
    back = dequantise(small)
    assert set(back) == set(state)
    for name, value in state.items():
        assert torch.equal(back[name].to(value.dtype), value)


def test_a_model_reads_int8_weights_from_a_file(tmp_path):
    torch.manual_seed(0)
    saved, loaded = (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)) for _ in range(2))
    save_file(quantise(saved.state_dict()), tmp_path / "w.safetensors")
    load_into(loaded, tmp_path / "w.safetensors")
    x = torch.randn(1, 3, 9, 9)
    assert torch.allclose(saved.eval()(x), loaded.eval()(x), atol=0.02)
    assert not torch.equal(saved[0].weight, loaded[0].weight)
