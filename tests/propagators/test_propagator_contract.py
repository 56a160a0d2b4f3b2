"""The contract of every registered propagator that needs no download: register one and it is tested."""

import numpy as np
import pytest

from msnvis import masks
from msnvis.errors import MsnvisError
from msnvis.propagators import Corrections, create_propagator, propagators

NAMES = [name for name, entry in propagators.entries().items() if entry.needs == "nothing"]
HEIGHT, WIDTH = 120, 160


@pytest.fixture(params=NAMES)
def make(request):
    return lambda: create_propagator(request.param)


def texture(seed, height=HEIGHT, width=WIDTH, low=0, high=255):
    """Smooth random texture, so that motion can be seen everywhere: RGB uint8."""
    coarse = np.random.default_rng(seed).uniform(low, high, (height // 5 + 2, width // 5 + 2, 3))
    return np.kron(coarse, np.ones((5, 5, 1)))[:height, :width].astype(np.uint8)


def square(x, y, side=40, height=HEIGHT, width=WIDTH):
    mask = np.zeros((height, width), bool)
    mask[max(0, y) : max(0, y + side), max(0, x) : max(0, x + side)] = True
    return mask


def scene(*corners, side=40, background_seed=0):
    """A dim textured background with a bright textured square at each corner ``(x, y)``."""
    image = texture(background_seed, high=110)
    for number, (x, y) in enumerate(corners):
        mask = square(x, y, side)
        rows, columns = np.nonzero(mask)
        image[mask] = texture(100 + number, side, side, low=120)[rows - y, columns - x]
    return image


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


class TestPropagator:
    def test_static_video_keeps_its_masks(self, make):
        propagator, image = make(), scene((20, 30), (90, 60))
        masks = {1: square(20, 30), 2: square(90, 60)}
        propagator.start(image, masks)
        for _ in range(10):
            carried = propagator.step(image)
        assert carried.keys() == masks.keys()
        assert all(iou(carried[id_], masks[id_]) > 0.97 for id_ in masks)

    @pytest.mark.parametrize(("dx", "dy"), [(3, 1), (-4, 0), (0, -2)])
    def test_moving_square_is_followed(self, make, dx, dy):
        propagator, x, y = make(), 60, 40
        propagator.start(scene((x, y)), {1: square(x, y)})
        for _ in range(10):
            x, y = x + dx, y + dy
            carried = propagator.step(scene((x, y)))
        assert iou(carried[1], square(x, y)) > 0.8

    def test_masks_are_bool_and_of_the_frame_size(self, make):
        propagator = make()
        propagator.start(scene((20, 30)), {1: square(20, 30)})
        mask = propagator.step(scene((20, 30)))[1]
        assert (mask.dtype, mask.shape) == (bool, (HEIGHT, WIDTH))

    def test_inputs_are_left_alone(self, make):
        propagator, image, mask = make(), scene((20, 30)), square(20, 30)
        propagator.start(image, {1: mask})
        propagator.step(image, Corrections({2: mask}))
        assert (image == scene((20, 30))).all() and (mask == square(20, 30)).all()

    def test_object_added_in_mid_video(self, make):
        propagator, image = make(), scene((20, 30), (90, 60))
        propagator.start(image, {1: square(20, 30)})
        assert propagator.step(image).keys() == {1}
        carried = propagator.step(image, Corrections({2: square(90, 60)}))
        assert carried.keys() == {1, 2}
        assert iou(carried[2], square(90, 60)) > 0.9 and iou(carried[1], square(20, 30)) > 0.9

    def test_forgotten_object_is_left_out(self, make):
        propagator, image = make(), scene((20, 30), (90, 60))
        propagator.start(image, {1: square(20, 30), 2: square(90, 60)})
        assert propagator.step(image, Corrections(forget=frozenset({1}))).keys() == {2}
        assert propagator.step(image).keys() == {2}

    def test_forgetting_an_unknown_id_is_harmless(self, make):
        propagator, image = make(), scene((20, 30))
        propagator.start(image, {1: square(20, 30)})
        assert propagator.step(image, Corrections(forget=frozenset({99}))).keys() == {1}

    def test_correction_replaces_the_mask(self, make):
        propagator, image = make(), scene((20, 30), (90, 60))
        propagator.start(image, {1: square(20, 30)})
        carried = propagator.step(image, Corrections({1: square(90, 60)}))
        assert iou(carried[1], square(90, 60)) > 0.9

    def test_ids_are_the_callers(self, make):
        ids = [0, -3, 2**40, 17]
        corners = [(5, 5), (90, 5), (5, 70), (90, 70)]
        masks = {id_: square(*corner) for id_, corner in zip(ids, corners, strict=True)}
        propagator, image = make(), scene(*corners)
        propagator.start(image, masks)
        carried = propagator.step(image)
        assert carried.keys() == set(ids)
        assert all(iou(carried[id_], masks[id_]) > 0.9 for id_ in ids)

    def test_each_object_is_independent_of_the_others(self, make):
        alone, together, image = make(), make(), scene((20, 30), (90, 60))
        alone.start(image, {1: square(20, 30)})
        together.start(image, {2: square(90, 60), 1: square(20, 30)})
        moved = scene((22, 30), (88, 60))
        np.testing.assert_array_equal(alone.step(moved)[1], together.step(moved)[1])

    def test_run_lengths_give_the_same_masks(self, make):
        arrays, rles = make(), make()
        for propagator in (arrays, rles):
            propagator.start(scene((20, 30), (90, 60)), {1: square(20, 30), 4: square(0, 0, 0)})
        image, new = scene((22, 31), (90, 60)), square(90, 60)
        expected = arrays.step(image, Corrections({2: new}, frozenset({7})))
        got = rles.step_rles(image, {2: masks.encode(new[None])[0]}, frozenset({7}))
        assert got == dict(zip(expected, masks.encode(list(expected.values())), strict=True))
        assert rles.step_rles(image, {}, frozenset({1})).keys() == {2, 4}

    def test_start_forgets_the_video_before(self, make):
        used, fresh = make(), make()
        used.start(scene((60, 60), background_seed=9), {1: square(60, 60), 5: square(10, 10)})
        for shift in range(3):
            used.step(scene((60 + shift, 60), background_seed=9))
        for propagator in (used, fresh):
            propagator.start(scene((20, 30)), {1: square(20, 30)})
        for x in (22, 24, 26):
            expected, got = fresh.step(scene((x, 30))), used.step(scene((x, 30)))
            assert got.keys() == expected.keys() == {1}
            np.testing.assert_array_equal(got[1], expected[1])

    def test_start_accepts_another_size(self, make):
        propagator = make()
        propagator.start(scene((20, 30)), {1: square(20, 30)})
        small = texture(1, 60, 70)
        propagator.start(small, {1: square(10, 10, 20, 60, 70)})
        assert propagator.step(small)[1].shape == (60, 70)

    def test_saved_state_goes_on_with_the_same_masks(self, make):
        first, second = make(), make()
        first.start(scene((20, 30), (90, 60)), {0: square(20, 30), -1: square(90, 60), 8: square(0, 0, 0)})
        first.step(scene((22, 30), (90, 58)))
        state = first.state_dict()
        assert all(isinstance(value, np.ndarray | int | float) for value in state.values())
        assert not any(isinstance(v, np.ndarray) and v.dtype == object for v in state.values())
        second.load_state_dict(state)
        for shift in (4, 6, 8):
            image = scene((20 + shift, 30), (90, 60 - shift))
            expected, got = first.step(image), second.step(image)
            assert got.keys() == expected.keys() == {0, -1, 8}
            for id_ in expected:
                np.testing.assert_array_equal(got[id_], expected[id_])

    def test_saved_state_is_a_copy(self, make):
        propagator, image = make(), scene((20, 30))
        propagator.start(image, {1: square(20, 30)})
        state = propagator.state_dict()
        before = {name: np.copy(value) for name, value in state.items()}
        propagator.step(scene((25, 30)), Corrections({2: square(0, 0)}))
        for name, value in before.items():
            np.testing.assert_array_equal(state[name], value)

    def test_state_before_the_start_can_be_restored(self, make):
        propagator = make()
        propagator.load_state_dict(make().state_dict())
        with pytest.raises(MsnvisError, match="start"):
            propagator.step(scene())

    def test_empty_mask_stays_empty(self, make):
        propagator, image = make(), scene((20, 30))
        propagator.start(image, {3: square(0, 0, 0)})
        carried = propagator.step(image)
        assert carried.keys() == {3} and not carried[3].any()

    def test_object_that_leaves_the_frame_becomes_empty(self, make):
        propagator, x = make(), 110
        propagator.start(scene((x, 40)), {1: square(x, 40)})
        for _ in range(12):
            x += 5
            carried = propagator.step(scene((x, 40)))
        assert carried.keys() == {1}
        assert not carried[1].any()

    def test_empty_object_comes_back_by_a_correction(self, make):
        propagator, image = make(), scene((20, 30))
        propagator.start(image, {1: square(0, 0, 0)})
        propagator.step(image)
        carried = propagator.step(image, Corrections({1: square(20, 30)}))
        assert iou(carried[1], square(20, 30)) > 0.9

    @pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2), (13, 17)])
    def test_tiny_frames(self, make, size):
        image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
        propagator = make()
        propagator.start(image, {1: np.ones(size, bool)})
        for _ in range(3):
            carried = propagator.step(image)
        assert carried[1].all() and carried[1].shape == size

    def test_no_objects(self, make):
        propagator, image = make(), scene()
        propagator.start(image, {})
        assert propagator.step(image) == {} and propagator.step(image, Corrections()) == {}

    def test_change_of_size_is_refused(self, make):
        propagator = make()
        propagator.start(scene((20, 30)), {1: square(20, 30)})
        with pytest.raises(MsnvisError, match=r"64x48.*160x120"):
            propagator.step(texture(0, 48, 64))

    def test_mask_of_another_size_is_refused(self, make):
        propagator = make()
        with pytest.raises(MsnvisError, match="object 1"):
            propagator.start(scene(), {1: np.ones((5, 5), bool)})
