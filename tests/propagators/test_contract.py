"""The contract of a propagator, on all that are registered; `tiny_propagators` says how each is made."""

import numpy as np
import pytest
from tiny_propagators import FOLLOWING, SLOW, TINY

from msnvis import masks as mask_ops
from msnvis.errors import InputError, MsnvisError
from msnvis.propagators import Corrections, propagators
from msnvis.propagators.base import state_from_bytes, state_to_bytes

HEIGHT, WIDTH = 120, 160


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in TINY]
)
def make(request, tmp_path_factory):
    return TINY[request.param](tmp_path_factory.mktemp("weights"))


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


#: A video in which objects are added, corrected, forgotten and added again.
FRAMES = [scene((20 + 2 * k, 30), (90, 60 - 2 * k)) for k in range(7)]
FIRST = {4: square(20, 30)}
DECISIONS = [
    Corrections(),
    Corrections({-2: square(90, 58)}),
    Corrections({4: square(26, 32)}),
    Corrections({7: square(0, 0, 0)}, frozenset({4})),
    Corrections({4: square(28, 30)}),
    Corrections(forget=frozenset({-2, 7})),
]
IDS = [[4], [4, -2], [4, -2], [-2, 7], [-2, 7, 4], [4]]


def play(propagator):
    """The masks of all frames after the first."""
    propagator.start(FRAMES[0], FIRST)
    return [propagator.step(frame, decided) for frame, decided in zip(FRAMES[1:], DECISIONS, strict=True)]


def assert_same(got, expected):
    """Same ids in the same order and the same masks, in each frame."""
    assert [list(carried) for carried in got] == [list(carried) for carried in expected]
    for index, carried in enumerate(expected):
        for id_ in carried:
            message = f"object {id_}, frame {index + 1}"
            np.testing.assert_array_equal(got[index][id_], carried[id_], message)


def test_all_propagators_are_tested():
    families = [name for name in propagators.entries() if name.endswith(":")]
    tested = {next((family for family in families if name.startswith(family)), name) for name in TINY}
    assert tested == propagators.entries().keys()


@pytest.fixture(scope="module")
def played(make):
    """What a new propagator answers."""
    return play(make())


class TestContract:
    def test_ids_are_kept_and_in_the_order_given(self, played):
        assert [list(carried) for carried in played] == IDS

    def test_ids_are_only_names(self, make, played):
        names = {4: 0, -2: 2**40, 7: 3}
        propagator = make()
        propagator.start(FRAMES[0], {names[id_]: mask for id_, mask in FIRST.items()})
        got = []
        for frame, decided in zip(FRAMES[1:], DECISIONS, strict=True):
            renamed = {names[id_]: mask for id_, mask in decided.masks.items()}
            forget = frozenset(names[id_] for id_ in decided.forget)
            got.append(propagator.step(frame, Corrections(renamed, forget)))
        expected = [{names[id_]: mask for id_, mask in carried.items()} for carried in played]
        assert_same(got, expected)

    def test_masks_are_neither_empty_nor_full(self, played):
        """Else the other tests would compare nothing."""
        carried = [mask for masks in played for id_, mask in masks.items() if id_ != 7]
        assert len({mask.tobytes() for mask in carried}) > len(carried) / 2
        assert np.mean([0.001 < mask.mean() < 0.999 for mask in carried]) > 0.5

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

    def test_nothing_leaks_between_videos(self, make, played):
        used = make()
        other = texture(1, 60, 70)
        used.start(other, {4: square(10, 10, 20, 60, 70), 9: square(30, 20, 20, 60, 70)})
        used.step(other[::-1].copy(), Corrections({5: square(0, 0, 30, 60, 70)}))
        assert_same(play(used), played)
        assert_same(play(used), played)

    def test_saved_state_goes_on_with_the_same_masks(self, make):
        """Saved after each frame and restored in another propagator that has seen a whole video."""
        steps = [*zip(FRAMES[1:], DECISIONS, strict=True), (FRAMES[0], None), (FRAMES[1], None)]
        propagator, restored = make(), make()
        play(restored)
        propagator.start(FRAMES[0], FIRST)
        states, expected = [], []
        for frame, decided in steps:
            states.append(state_to_bytes(propagator.state_dict()))
            expected.append(propagator.step(frame, decided))
        for saved_after, data in enumerate(states):
            restored.load_state_dict(state_from_bytes(data))
            assert state_to_bytes(restored.state_dict()) == data
            later = [restored.step(frame, decided) for frame, decided in steps[saved_after:]]
            assert_same(later, expected[saved_after:])

    def test_saved_state_is_a_copy(self, make):
        propagator = make()
        propagator.start(FRAMES[0], FIRST)
        propagator.step(FRAMES[1])
        state = propagator.state_dict()
        before = state_to_bytes(state)
        propagator.step(FRAMES[2], Corrections({2: square(0, 0)}))
        assert state_to_bytes(state) == before

    def test_state_before_the_start_can_be_restored(self, make):
        propagator = make()
        propagator.load_state_dict(make().state_dict())
        with pytest.raises(MsnvisError, match="start"):
            propagator.step(scene())

    def test_state_does_not_grow_with_the_video(self, make):
        propagator, sizes = make(), []
        propagator.start(FRAMES[0], FIRST)
        for index in range(1, 61):
            corrections = Corrections({4: square(20 + 2 * (index % 5), 30)}) if index % 4 == 0 else None
            propagator.step(FRAMES[index % 5], corrections)
            sizes.append(len(state_to_bytes(propagator.state_dict())))
        assert max(sizes[40:]) <= 1.02 * max(sizes[20:40])

    def test_forgetting_an_unknown_id_is_harmless(self, make):
        propagator, image = make(), scene((20, 30))
        propagator.start(image, {1: square(20, 30)})
        assert propagator.step(image, Corrections(forget=frozenset({99}))).keys() == {1}

    def test_an_id_both_corrected_and_forgotten_is_forgotten(self, make):
        propagator = make()
        propagator.start(FRAMES[0], FIRST)
        assert propagator.step(FRAMES[1], Corrections({4: square(0, 0)}, frozenset({4}))) == {}

    def test_object_without_a_mask_stays_empty(self, make):
        propagator = make()
        propagator.start(FRAMES[0], {3: square(0, 0, 0)})
        carried = propagator.step(FRAMES[1])
        assert carried.keys() == {3} and not carried[3].any()

    def test_run_lengths_give_the_same_masks(self, make):
        arrays, rles = make(), make()
        for propagator in (arrays, rles):
            propagator.start(scene((20, 30), (90, 60)), {1: square(20, 30), 4: square(0, 0, 0)})
        image, new = scene((22, 31), (90, 60)), square(90, 60)
        expected = arrays.step(image, Corrections({2: new}, frozenset({7})))
        got = rles.step_rles(image, {2: mask_ops.encode(new[None])[0]}, frozenset({7}))
        assert got == dict(zip(expected, mask_ops.encode(list(expected.values())), strict=True))
        assert rles.step_rles(image, {}, frozenset({1})).keys() == {2, 4}

    def test_no_objects(self, make):
        propagator, image = make(), scene()
        propagator.start(image, {})
        assert propagator.step(image) == {} and propagator.step(image, Corrections()) == {}

    @pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2), (13, 17)])
    def test_tiny_frames(self, make, size):
        image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
        propagator = make()
        propagator.start(image, {1: np.ones(size, bool)})
        assert [propagator.step(image)[1].shape for _ in range(2)] == [size, size]

    def test_change_of_size_is_refused(self, make):
        propagator = make()
        propagator.start(scene((20, 30)), {1: square(20, 30)})
        with pytest.raises(MsnvisError, match=r"64x48.*160x120"):
            propagator.step(texture(0, 48, 64))

    def test_mask_of_another_size_is_refused(self, make):
        propagator = make()
        with pytest.raises(MsnvisError, match="object 1"):
            propagator.start(scene(), {1: np.ones((5, 5), bool)})


@pytest.mark.parametrize("make", FOLLOWING, indirect=True)
class TestFollowing:
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

    def test_object_added_in_mid_video(self, make):
        propagator, image = make(), scene((20, 30), (90, 60))
        propagator.start(image, {1: square(20, 30)})
        assert propagator.step(image).keys() == {1}
        carried = propagator.step(image, Corrections({2: square(90, 60)}))
        assert carried.keys() == {1, 2}
        assert iou(carried[2], square(90, 60)) > 0.9 and iou(carried[1], square(20, 30)) > 0.9

    def test_correction_replaces_the_mask(self, make):
        propagator, image = make(), scene((20, 30), (90, 60))
        propagator.start(image, {1: square(20, 30)})
        carried = propagator.step(image, Corrections({1: square(90, 60)}))
        assert iou(carried[1], square(90, 60)) > 0.9

    def test_each_object_is_independent_of_the_others(self, make):
        alone, together, image = make(), make(), scene((20, 30), (90, 60))
        alone.start(image, {1: square(20, 30)})
        together.start(image, {2: square(90, 60), 1: square(20, 30)})
        moved = scene((22, 30), (88, 60))
        np.testing.assert_array_equal(alone.step(moved)[1], together.step(moved)[1])

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
    def test_tiny_objects_stay(self, make, size):
        image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
        propagator = make()
        propagator.start(image, {1: np.ones(size, bool)})
        assert all(propagator.step(image)[1].all() for _ in range(3))


def test_a_broken_state_is_refused():
    data = state_to_bytes({"ids": np.arange(5)})
    for broken in (data[:-1], b"", b"nonsense", data + b"x"):
        with pytest.raises(InputError, match="broken"):
            state_from_bytes(broken)
