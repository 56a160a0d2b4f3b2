"""Run-length encodings and polygons of strangers: refused by a ValueError, or masks of exactly the frame."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msnvis import masks as mask_ops

SIZE = (7, 9)
#: Bytes that one short encoding may take.
MOST = 50 << 20
quick = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

#: Mostly what encoders write, with the characters beside it.
TEXT = st.one_of(
    st.binary(max_size=40),
    st.lists(st.integers(44, 115), max_size=40).map(bytes),
    st.lists(st.sampled_from(b"0123:PQo\x7f"), max_size=12).map(bytes),
)
NUMBERS = st.integers() | st.sampled_from([0, 1, 63, 64, -1, 2**31, 2**32, 2**62, 2**63, 2**64, 10**30])
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=6) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["size", "counts"]), inner, max_size=2)
    ),
    max_leaves=8,
)


def checked(segmentation, size):
    """The mask as pixels, or None where it was refused."""
    try:
        rle = mask_ops.from_json(segmentation, size)
    except ValueError as error:
        assert str(error)
        return None
    assert rle["size"] == list(size)
    (mask,) = mask_ops.decode([rle], size)
    assert mask_ops.areas([rle]) == [mask.sum()]
    assert mask_ops.encode(mask[None]) == [rle]  # canonical
    return mask


@quick
@given(TEXT)
def test_any_text_is_a_mask_or_refused(text):
    mask = checked({"size": list(SIZE), "counts": text}, SIZE)
    quick_readers = (
        lambda: mask_ops.strict_areas([{"size": list(SIZE), "counts": text}], SIZE),
        lambda: mask_ops.run_edges([text], SIZE, np.zeros(1, np.int32)),
    )
    for read in quick_readers:  # may refuse more, but never believe more
        try:
            read()
        except ValueError:
            continue
        assert mask is not None


@quick
@given(st.lists(NUMBERS, max_size=8))
def test_any_runs_are_a_mask_or_refused(counts):
    mask = checked({"size": list(SIZE), "counts": counts}, SIZE)
    if mask is None:
        assert min(counts, default=0) < 0 or sum(counts) != SIZE[0] * SIZE[1]
    else:
        assert mask.sum() == sum(counts[1::2])


@quick
@given(ANYTHING)
def test_anything_is_a_mask_or_refused(segmentation):
    mask = checked(segmentation, SIZE)
    assert mask is None or mask.shape == SIZE


@quick
@given(st.lists(st.lists(st.floats() | NUMBERS, max_size=10), max_size=3))
def test_any_polygons_are_a_mask_or_refused(polygons):
    mask = checked(polygons, SIZE)
    assert mask is None or mask.shape == SIZE


@pytest.mark.parametrize(
    "size", [(16384, 8192), (1, 1 << 27), (100_000, 100_000), (10**9, 10**9), (2**62, 4)]
)
@pytest.mark.parametrize(
    "counts",
    [b"PPPPPPPPPPPPP4", b"ooooooo0", "0" * 40, b"1", [1 << 27], [10**18], [0, 100_000**2], [2**63, -1]],
)
def test_a_few_bytes_do_not_take_gigabytes(size, counts):
    tracemalloc.start()
    try:
        mask_ops.from_json({"size": list(size), "counts": counts}, size)
    except ValueError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MOST


def test_polygons_of_enormous_frames_are_refused():
    for size in ((100_000, 100_000), (10**9, 10**9)):
        with pytest.raises(ValueError, match="at most"):
            mask_ops.from_json([[0, 0, 9, 0, 9, 9]], size)
    with pytest.raises(ValueError, match="leaves the frame"):
        mask_ops.from_json([[0, 0, 1e18, 0, 9, 9]], SIZE)
    with pytest.raises(ValueError, match="longer than"):
        mask_ops.from_json([[0, 0, 1 << 24, 0] * 4], (4, 1 << 24))
