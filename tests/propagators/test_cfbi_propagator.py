"""The propagator around the network: sizes, several passes, memory, overlapping masks."""

import numpy as np
import pytest
import torch
from cfbi_checkpoint import random_checkpoint

from msnvis.errors import OptionError
from msnvis.propagators import Corrections, create_propagator
from msnvis.propagators.cfbi import create_network
from msnvis.propagators.cfbi.memory import Frame, References
from msnvis.propagators.cfbi.passes import Pass, plan_passes
from msnvis.propagators.cfbi.propagator import CFBIPropagator

SIZE = (50, 70)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (4, *SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def network():
    network, state = create_network("cfbi-mobilenet"), random_checkpoint("mobilenet")
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    return network.optimise()


def make(network, scales=(1.0,), flip=False, max_references=3):
    return CFBIPropagator(network, scales, flip, 1040, max_references)


def box(x0, y0, x1, y1):
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


@pytest.mark.parametrize(
    ("size", "scales", "max_side", "expected"),
    [
        ((480, 854), (1.0,), 1040, [(481, 849)]),  # 853 / 16 = 53.3
        ((720, 1280), (1.0,), 1040, [(577, 1041)]),  # 585 x 1040: 584 / 16 = 36.5 goes to 36, 1039 to 65
        ((720, 1280), (1.0, 1.5), 800, [(449, 801), (673, 1201)]),  # 450 x 800 and 675 x 1200
        ((1, 9), (1.0,), 1040, [(1, 1)]),  # 8 / 16 goes to 0
    ],
)
def test_sizes_are_those_of_the_official_code(size, scales, max_side, expected):
    assert [look.size for look in plan_passes(size, scales, False, max_side)] == expected
    both = plan_passes(size, scales, True, max_side)
    assert [(look.size, look.flip) for look in both] == [(s, f) for s in expected for f in (False, True)]


def test_images_are_bgr_but_normalised_in_the_order_of_rgb():
    image = np.zeros((1, 17, 3), np.uint8)
    image[0, 0] = 255, 51, 0  # red, green, blue
    red, green, blue = 1.0, 0.2, 0.0
    expected = [(blue - 0.485) / 0.229, (green - 0.456) / 0.224, (red - 0.406) / 0.225]
    assert Pass((1, 17), False).prepare(image)[0, :, 0, 0].tolist() == pytest.approx(expected)
    assert Pass((1, 17), True).prepare(image)[0, :, 0, 16].tolist() == pytest.approx(expected)


def test_passes_are_averaged_and_what_they_decide_goes_back_to_each(network):
    """Two steps of four passes, against the network run by hand in each."""
    masks = {5: box(5, 5, 40, 30), -1: box(35, 25, 65, 45)}
    propagator = make(network, scales=(1.0, 1.5), flip=True)
    propagator.start(IMAGES[0], masks)
    labels = [np.where(masks[-1], 2, masks[5]).astype(np.int64)]  # the second is smaller: 600 of 875 pixels
    looks = [(size, flip) for size in ((49, 65), (81, 97)) for flip in (False, True)]
    for image in IMAGES[1:3]:
        carried = propagator.step(image)
        averages = torch.zeros(3, *SIZE)
        for size, flip in looks:
            look = Pass(size, flip)
            with torch.inference_mode():
                first, before = (
                    (network.embed(look.prepare(IMAGES[k]))[0], look.shrink(torch.from_numpy(labels[k])))
                    for k in (0, len(labels) - 1)
                )
                logits = network(*network.embed(look.prepare(image)), before, [first], 3)
            large = torch.nn.functional.interpolate(logits[None], SIZE, mode="bilinear", align_corners=True)
            large = large.softmax(dim=1)[0]
            averages += torch.flip(large, [2]) / 4 if flip else large / 4
        labels.append(averages.argmax(dim=0).numpy())
        for slot, id_ in enumerate(masks, start=1):
            np.testing.assert_array_equal(carried[id_], labels[-1] == slot)


def test_flipping_shrinks_the_mirrored_labels():
    slots = torch.arange(33 * 17).view(17, 33)
    expected = Pass((17, 33), False).shrink(slots.flip(1))
    assert torch.equal(Pass((17, 33), True).shrink(slots), expected) and expected.shape == (5, 9)


def test_the_smaller_mask_is_in_front(network):
    propagator = make(network)
    large, small = box(5, 5, 45, 40), box(10, 10, 20, 20)
    for masks in ({1: large, 2: small}, {2: small, 1: large}):
        propagator.start(IMAGES[0], masks)
        labels = propagator.state_dict()["label_maps"][0]
        assert len({*labels[small]}) == len({*labels[large & ~small]}) == 1
        assert labels[15, 15] != labels[30, 30]


def references(propagator):
    """The label maps that are remembered, with the callers' ids."""
    state = propagator.state_dict()
    names = dict(zip(state["labels"].tolist(), state["ids"].tolist(), strict=True))
    maps = state["label_maps"][: state["references"]]
    return [{names[label] for label in np.unique(labels).tolist() if label} for labels in maps]


def test_frames_in_which_objects_join_are_remembered(network):
    propagator = make(network)
    propagator.start(IMAGES[0], {})
    assert references(propagator) == []
    propagator.step(IMAGES[1], Corrections({7: box(5, 5, 40, 30)}))
    assert references(propagator) == [{7}]
    propagator.step(IMAGES[2], Corrections({7: box(0, 0, 30, 30)}))  # corrected, but known
    assert references(propagator) == [{7}]
    propagator.step(IMAGES[3], Corrections({8: box(40, 20, 60, 40), 9: box(0, 0, 0, 0)}))
    joined = references(propagator)
    assert len(joined) == 2 and 8 in joined[1] and 9 not in joined[1]
    carried = propagator.step(IMAGES[0], Corrections(forget=frozenset({7})))
    assert list(carried) == [8, 9] and not carried[9].any()


def test_a_correction_of_a_remembered_frame_is_remembered(network):
    propagator = make(network)
    propagator.start(IMAGES[0], {7: box(5, 5, 40, 30)})
    propagator.step(IMAGES[1], Corrections({8: box(40, 20, 60, 40), 7: box(0, 0, 20, 20)}))
    (labels,) = propagator.state_dict()["label_maps"][:1]
    assert (labels > 0).sum() == 20 * 20 + 20 * 20
    assert references(propagator) == [{7, 8}]


def frame(*labels):
    return Frame(np.zeros((1, 4, 3), np.uint8), np.array([labels], np.int32))


@pytest.mark.parametrize(
    ("live", "kept"),
    [
        ({1, 2, 3, 4}, [0, 1, 3]),  # only frame 2 shows nothing that no other shows
        ({2, 4}, [0, 2, 3]),  # neither 0 nor 1 is needed, and the first goes last
        ({3, 4}, [0, 1, 3]),  # frame 1 alone shows 3
    ],
)
def test_the_frame_that_is_needed_least_is_dropped(live, kept):
    frames = [frame(1, 0, 0, 0), frame(2, 3, 0, 0), frame(2, 0, 0, 0), frame(4, 2, 0, 0)]
    memory = References(3)
    for each in frames:
        memory.add(each, live)
    assert memory.frames == [frames[k] for k in kept]


def test_memory_does_not_exceed_its_capacity(network):
    propagator = make(network, max_references=2)
    propagator.start(IMAGES[0], {0: box(0, 0, 20, 20)})
    for k in range(1, 6):
        propagator.step(IMAGES[k % 4], Corrections({k: box(10 * k, 10, 10 * k + 15, 40)}))
        state = propagator.state_dict()
        assert state["references"] <= 2 and len(state["images"]) <= 3
    assert 5 in set().union(*references(propagator))


@pytest.mark.parametrize(
    "options", [{"scales": ()}, {"scales": (1.0, -1.0)}, {"max_side": 0}, {"max_references": 0}]
)
def test_options_that_make_no_sense_are_refused_before_weights_are_read(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        create_propagator("cfbi", weights="none.pth", **options)
