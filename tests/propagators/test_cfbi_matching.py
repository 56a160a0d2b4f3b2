"""Matching against double loops, and convolutions of what was upsampled."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.propagators.cfbi.matching import (
    LOCAL_RADII,
    global_distances,
    least_of_others,
    local_distances,
    squash,
)
from msnvis.propagators.cfbi.upsampling import convolve_upsampled


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    pixels=st.integers(1, 40),
    counts=st.lists(st.integers(0, 25), min_size=1, max_size=4),
    tile=st.sampled_from([1, 7, 64, None]),
)
def test_global_distances_are_those_of_a_double_loop(seed, pixels, counts, tile):
    torch.manual_seed(seed)
    query, references = torch.randn(pixels, 5), [torch.randn(count, 5) for count in counts]
    expected = torch.full((len(counts), pixels), torch.inf)
    for k, reference in enumerate(references):
        for i in range(pixels):
            for r in reference:
                expected[k, i] = min(expected[k, i], (query[i] - r).square().sum())
    torch.testing.assert_close(global_distances(query, references, tile), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(2, 28), (1, 1), (15, 2)])
def test_local_distances_are_those_of_a_double_loop(height, width):
    torch.manual_seed(0)
    query, previous = torch.randn(2, 1, 4, height, width)
    slots = torch.randint(0, 3, (height, width))
    expected = torch.full((3, len(LOCAL_RADII), height, width), torch.inf)
    for y in range(height):
        for x in range(width):
            for v in range(height):
                for u in range(width):
                    distance = (query[0, :, y, x] - previous[0, :, v, u]).square().sum()
                    for index, radius in enumerate(LOCAL_RADII):
                        if max(abs(y - v), abs(x - u)) <= radius:
                            place = slots[v, u], index, y, x
                            expected[place] = min(expected[place], distance)
    torch.testing.assert_close(local_distances(query, previous, slots, 3), expected, atol=1e-4, rtol=1e-4)


def test_squashing_by_hand():
    distances = torch.tensor([[0.0, 2.0, torch.inf], [0.0, 1.0, -3.0]])
    got = squash(distances, torch.tensor([0.0, 0.5]))
    expected = torch.tensor([[0.0, 2.0, torch.inf], [0.5, 1.5, -2.5]]).div(2).tanh()  # 2 sigmoid(x) - 1
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_least_of_others_leaves_out_one_at_a_time(count):
    values = torch.randn(count, 4, 3, generator=torch.Generator().manual_seed(count))
    for k, got in enumerate(least_of_others(values)):
        others = [values[j] for j in range(count) if j != k] or [values[k]]
        assert torch.equal(got, torch.stack(others).amin(dim=0))


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    low=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    factor=st.integers(1, 4),
    mode=st.sampled_from(["bilinear", "bicubic"]),
)
def test_convolving_before_upsampling_is_convolving_after_it(seed, low, factor, mode):
    torch.manual_seed(seed)
    x, weight = torch.randn(2, 3, *low), torch.randn(4, 3, 3, 3)
    size = [(side - 1) * factor + 1 for side in low]
    large = F.interpolate(x, size=size, mode=mode, align_corners=True)
    expected = F.conv2d(large, weight, padding=1)
    torch.testing.assert_close(convolve_upsampled(x, weight, tuple(size), mode), expected, atol=1e-4, rtol=0)
