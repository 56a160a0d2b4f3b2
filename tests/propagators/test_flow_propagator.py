import numpy as np
import pytest

from msnvis.errors import OptionError
from msnvis.propagators import Corrections
from msnvis.propagators.colours import NUM_COLOURS, colour_evidence, colour_indices
from msnvis.propagators.flow import FlowPropagator


def noise(seed, height, width, low, high):
    """Texture of 6 pixel blocks: RGB uint8."""
    blocks = np.random.default_rng(seed).uniform(low, high, (height // 6 + 1, width // 6 + 1, 3))
    return np.kron(blocks, np.ones((6, 6, 1)))[:height, :width].astype(np.uint8)


def box(height, width, x0, y0, x1, y1):
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def paint(image, mask, texture):
    image = image.copy()
    image[mask] = texture[mask]
    return image


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def occlusion(x, height=120, width=200):
    """A green square at column `x` that passes behind a red bar: the image and the square's visible mask."""
    image = noise(0, height, width, 0, 90)
    hidden = box(height, width, 100, 0, 150, height)
    visible = box(height, width, x, 40, x + 40, 80) & ~hidden
    green = np.roll(noise(1, height, width, 150, 255), x, axis=1)
    green[..., [0, 2]] //= 3
    red = noise(2, height, width, 150, 255)
    red[..., 1:] //= 3
    return paint(paint(image, visible, green), hidden, red), visible


def test_a_mask_does_not_bleed_onto_what_covers_the_object():
    propagator = FlowPropagator()
    image, mask = occlusion(40)
    propagator.start(image, {1: mask})
    for x in range(43, 83, 3):
        image, mask = occlusion(x)
        carried = propagator.step(image)[1]
    assert mask.sum() < 0.6 * 40 * 40  # the square is well behind the bar by now
    assert iou(carried, mask) > 0.85
    assert (carried & ~mask)[:, 100:].sum() < 0.05 * mask.sum()


def test_a_vanished_object_is_held_for_keep_alive_frames():
    image = noise(0, 60, 80, 0, 255)
    propagator = FlowPropagator(keep_alive=3)
    propagator.start(image, {1: np.zeros((60, 80), bool), 2: box(60, 80, 10, 10, 40, 40)})
    for _ in range(3):
        carried = propagator.step(image)
        assert carried.keys() == {1, 2} and not carried[1].any()
    assert propagator.step(image).keys() == {2}


def test_a_correction_starts_the_count_anew():
    image, empty, mask = noise(0, 60, 80, 0, 255), np.zeros((60, 80), bool), box(60, 80, 10, 10, 40, 40)
    propagator = FlowPropagator(keep_alive=2)
    propagator.start(image, {1: empty})
    propagator.step(image)
    assert propagator.step(image, Corrections({1: mask}))[1].any()
    propagator.step(image, Corrections({1: empty}))
    assert propagator.step(image).keys() == {1}
    assert propagator.step(image) == {}


def test_keep_alive_0_forgets_at_once():
    image = noise(0, 60, 80, 0, 255)
    propagator = FlowPropagator(keep_alive=0)
    propagator.start(image, {1: np.zeros((60, 80), bool)})
    assert propagator.step(image) == {}


def test_holding_a_vanished_object_survives_saving():
    image, empty = noise(0, 60, 80, 0, 255), np.zeros((60, 80), bool)
    first, second = FlowPropagator(keep_alive=2), FlowPropagator(keep_alive=2)
    first.start(image, {1: empty})
    first.step(image)
    second.load_state_dict(first.state_dict())
    assert second.step(image).keys() == {1}
    assert second.step(image) == {}


@pytest.mark.parametrize(("height", "width"), [(361, 643), (100, 700)])
def test_flow_at_a_smaller_size_neither_shifts_nor_shrinks_masks(height, width):
    image = noise(0, height, width, 0, 100)
    mask = box(height, width, 101, 31, 204, 88)
    image = paint(image, mask, noise(1, height, width, 150, 255))
    propagator = FlowPropagator(max_side=300)
    propagator.start(image, {1: mask})
    for _ in range(20):
        carried = propagator.step(image)[1]
    assert iou(carried, mask) > 0.93
    centres = [np.argwhere(m).mean(axis=0) for m in (carried, mask)]
    np.testing.assert_allclose(centres[0], centres[1], atol=0.5)


def test_an_object_too_thin_for_the_flow_size_vanishes_quietly():
    image = noise(0, 400, 800, 0, 255)
    mask = box(400, 800, 300, 100, 301, 300)
    propagator = FlowPropagator(max_side=100)
    propagator.start(image, {1: mask})
    assert propagator.step(image)[1].shape == (400, 800)


def test_a_small_video_does_not_change_how_the_next_one_is_propagated():
    used, fresh = FlowPropagator(), FlowPropagator()
    small = noise(3, 40, 60, 0, 255)
    used.start(small, {1: box(40, 60, 10, 10, 30, 30)})
    used.step(np.roll(small, 2, axis=1))
    for propagator in (used, fresh):
        propagator.start(occlusion(40)[0], {1: occlusion(40)[1]})
    for x in range(43, 76, 3):
        used.step(occlusion(x)[0])
        fresh.step(occlusion(x)[0])
        np.testing.assert_array_equal(used.state_dict()["soft"], fresh.state_dict()["soft"])


def test_steps_can_be_turned_off():
    image, mask = occlusion(40)
    propagator = FlowPropagator(check_occlusion=False, use_colour=False, refine_edges=False)
    propagator.start(image, {1: mask})
    assert iou(propagator.step(image)[1], mask) > 0.99


@pytest.mark.parametrize("options", [{"preset": "best"}, {"max_side": 0}, {"keep_alive": -1}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        FlowPropagator(**options)


def test_colours_seen_more_in_the_object_speak_for_it():
    colours = np.array([[5, 5, 5, 9], [5, 9, 9, 9]], np.uint16)
    soft = np.array([[1, 1, 1, 1], [0, 0, 0, 0]], np.float32)
    evidence = colour_evidence(colours, soft)
    assert evidence[5] == pytest.approx(np.log(3), abs=1e-3)  # 3 of 4 inside, 1 of 4 outside
    assert evidence[9] == pytest.approx(-np.log(3), abs=1e-3)
    assert evidence[1000] == 0 and evidence.shape == (NUM_COLOURS,)


def test_evidence_without_surroundings_is_bounded():
    colours = np.full((4, 4), 7, np.uint16)
    evidence = colour_evidence(colours, np.ones((4, 4), np.float32))
    assert np.isfinite(evidence).all() and 0 < evidence[7] < 20


def test_colour_indices_differ_where_any_channel_does():
    image = np.array([[[0, 0, 0], [16, 0, 0], [0, 16, 0], [0, 0, 16], [15, 15, 15]]], np.uint8)
    indices = colour_indices(image)[0].tolist()
    assert len(set(indices[:4])) == 4 and indices[4] == indices[0]
    assert colour_indices(np.full((1, 1, 3), 255, np.uint8)).max() == NUM_COLOURS - 1
