"""Scenes put together by hand: whether masks are exactly what can be seen."""

import numpy as np
import pytest
from drawn_photos import SIZE, texture
from hypothesis import example, given, settings
from hypothesis import strategies as st

from msnvis import masks as mask_ops
from msnvis.datasets.coco import Annotation, ImageRecord
from msnvis.datasets.synthetic.degrade import Degradation
from msnvis.datasets.synthetic.motion import FIELD_NODES, Camera, Curve, ObjectMotion, apply, corners
from msnvis.datasets.synthetic.objects import PAD, Cutout, cut_out
from msnvis.datasets.synthetic.render import render
from msnvis.datasets.synthetic.scene import MovingObject, Scene, StandingObject
from msnvis.datasets.synthetic.sources import SourceObject

FRAMES = 9
RED, GREEN = 0, 1
CLEAN = Degradation(0.0, None, 0.0, 0.0, None, 0)
BLURRED = Degradation(0.8, None, 0.0, 0.0, None, 0)


def curve(*values):
    """Through values spread evenly over the video."""
    values = np.array(values if len(values) > 1 else values * 2, float)
    return Curve(np.linspace(0, FRAMES - 1, len(values)), values)


def still_camera():
    view = curve([0.5, 0.5, 0.9, 0, 0, 0])
    return Camera(SIZE, SIZE, view, curve([0, 0, 0]))


def square(side, channel, level=240):
    mask = np.zeros(SIZE, bool)
    mask[10 : 10 + side, 10 : 10 + side] = True
    photo = np.zeros((*SIZE, 3), np.uint8)
    photo[..., channel] = level
    record = ImageRecord("unused", SIZE[1], SIZE[0], (), frozenset())
    [rle] = mask_ops.encode(mask[None])
    source = SourceObject(record, Annotation((0, 0, 0, 0), 0, rle), None)
    return source, cut_out(source, photo)


def moving(side, channel, path, depth=(0.5,), pose=None, bend=0.0):
    source, cutout = square(side, channel)
    field = np.zeros((2, FIELD_NODES, FIELD_NODES, 2))
    field[1] = bend * np.random.default_rng(0).uniform(-1, 1, field.shape[1:])
    motion = ObjectMotion(
        cutout.size, 1.0, path, pose or curve([0] * 6), curve(*field), cut=None, follows=True
    )
    return MovingObject(source, cutout, motion, curve(*depth), mirrored=False)


def rendered(objects, degradation=CLEAN, camera=None, standing=(), photo=None):
    scene = Scene(
        frames=FRAMES,
        size=SIZE,
        background=None,
        photo=texture(2, 0) if photo is None else photo,
        camera=camera or still_camera(),
        standing=tuple(standing),
        moving=tuple(objects),
        degradation=degradation,
    )
    frames, masks = zip(*render(scene), strict=True)
    empty = mask_ops.encode(np.zeros((1, *SIZE), bool))[0]
    return frames, [mask_ops.decode([m or empty for m in per_frame], SIZE) for per_frame in masks]


def assert_exact(frame, mask, channel, level=240):
    """The mask is where at least half of the colour is; rounding to bytes leaves those near one half open."""
    share = frame[..., channel] / level
    clear = np.abs(share - 0.5) > 0.01
    np.testing.assert_array_equal(mask[clear], share[clear] >= 0.5)
    assert clear.mean() > 0.99


@pytest.mark.parametrize("degradation", [CLEAN, BLURRED], ids=["clean", "motion blur"])
def test_masks_are_where_the_colour_is(degradation):
    pose = curve([0, 0, 0, 0, 0, 0], [0.3, 1.2, 0.2, 0.2, 0.1, -0.1], [-0.2, 2, -0.2, 0, -0.1, 0.1])
    thing = moving(50, RED, curve([40, 30], [120, 80], [60, 70]), pose=pose, bend=4.0)
    frames, masks = rendered([thing], degradation)
    for frame, [mask] in zip(frames, masks, strict=True):
        assert mask.sum() > 1000
        assert_exact(frame, mask, RED)


def test_motion_blur_spreads_along_the_motion_only():
    frames, masks = rendered([moving(40, RED, curve([-60, 60], [220, 60]))], BLURRED)
    red = frames[4][..., RED]
    ramp_x = np.count_nonzero((red[60] > 12) & (red[60] < 228))
    ramp_y = np.count_nonzero((red[:, 80] > 12) & (red[:, 80] < 228))
    # 35 pixels a frame and a shutter open for 0.8 of it smear each of the two edges over 28 pixels.
    assert ramp_x == pytest.approx(56, abs=10)
    assert ramp_y <= 8
    assert masks[4][0].sum() == pytest.approx(38 * 38, rel=0.1)  # a pixel of each rim is cut away


def test_what_is_near_hides_what_is_far():
    far = moving(60, RED, curve([80, 60]), depth=(0.9,))
    near = moving(20, GREEN, curve([80, 60]), depth=(0.1,))
    frames, masks = rendered([near, far])
    for frame, [near_mask, far_mask] in zip(frames, masks, strict=True):
        assert not (near_mask & far_mask).any()
        assert near_mask.sum() == pytest.approx(18 * 18, rel=0.1)
        assert far_mask.sum() == pytest.approx(58 * 58 - 18 * 18, rel=0.05)
        assert_exact(frame, near_mask, GREEN)
        assert_exact(frame, far_mask, RED)


def test_something_wholly_hidden_has_no_mask():
    frames, masks = rendered(
        [moving(20, RED, curve([80, 60]), depth=(0.9,)), moving(60, GREEN, curve([80, 60]), depth=(0.1,))]
    )
    assert not masks[0][0].any()
    assert frames[0][60, 80].tolist() == [0, 240, 0]


def test_depths_that_cross_exchange_places_only_when_apart():
    apart = curve([40, 60], [40, 60], [120, 60])
    swapping = [
        moving(40, RED, curve([40, 60]), depth=(0.1, 0.9)),
        moving(40, GREEN, apart, depth=(0.9, 0.1)),
    ]
    _, masks = rendered(swapping)
    assert not masks[6][1][60, 40] and masks[2][0][60, 40]  # still behind although its depth is less by now
    back = curve([40, 60], [130, 60], [40, 60])
    _, masks = rendered([swapping[0], moving(40, GREEN, back, depth=(0.9, 0.1))])
    assert masks[0][0][60, 40] and masks[8][1][60, 40]  # went away behind, came back in front


def test_an_object_leaves_and_returns_with_its_index():
    _, masks = rendered(
        [moving(30, RED, curve([80, 60], [300, 60], [80, 60])), moving(30, GREEN, curve([30, 60]))]
    )
    seen = [bool(frame[0].any()) for frame in masks]
    assert seen[0] and seen[-1] and not seen[4]
    assert all(frame[1].any() for frame in masks)


def test_labelled_objects_of_the_background_move_with_it_and_can_be_in_front():
    mask = np.zeros(SIZE, bool)
    mask[40:80, 50:110] = True
    photo = texture(2, 0)
    photo[mask] = (240, 0, 0)
    [rle] = mask_ops.encode(mask[None])
    annotated = StandingObject(Annotation((50, 40, 110, 80), 0, rle), depth=0.5)
    view = curve([0.2, 0.3, 0.8, 0.05, 0.03, 0.02], [0.9, 0.8, 0.9, -0.05, 0, 0])
    camera = Camera(SIZE, SIZE, view, curve([0, 0, 0], [1, -1, 0.005]))
    others = [
        moving(24, GREEN, curve([80, 50]), depth=(0.9,)),
        moving(24, GREEN, curve([80, 90]), depth=(0.1,)),
    ]
    frames, masks = rendered(others, camera=camera, standing=[annotated], photo=photo)
    for frame, [standing, behind, before] in zip(frames, masks, strict=True):
        # OpenCV's warp of the photograph knows 32 places between two pixels, ours of the mask likewise.
        share = frame[..., RED] / 240
        # Where something green shows through its soft edge, red says nothing.
        clear = (np.abs(share - 0.5) > 0.1) & (frame[..., GREEN] == 0)
        np.testing.assert_array_equal(standing[clear], share[clear] >= 0.5)
        assert standing.sum() > 1000
        assert_exact(frame[70:], before[70:], GREEN)
        assert behind.sum() < 22 * 22 * 0.9
    assert not np.array_equal(masks[0][0], masks[-1][0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(120, 160), (64, 200), (300, 90)]))
@example(100, (120, 160))  # nearly the whole photograph, and a hand that shakes
def test_the_camera_never_looks_beyond_the_photograph(seed, photo):
    camera = Camera.draw(np.random.default_rng(seed), photo, SIZE, 40)
    for time in np.linspace(-0.4, 39.4, 40):
        seen = apply(np.linalg.inv(camera.from_photo(time)), corners(SIZE))
        assert (seen >= -0.5).all() and (seen <= np.array(photo[::-1]) + 0.5).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["left", "top", "right", "bottom"]))
def test_a_cut_side_is_never_seen(seed, side):
    rng = np.random.default_rng(seed)
    camera = Camera.draw(rng, SIZE, SIZE, 20)
    motion = ObjectMotion.draw(rng, (60, 40), 1.0, side, SIZE, 20)
    ends = {"left": [0, 3], "top": [0, 1], "right": [1, 2], "bottom": [3, 2]}[side]
    height, width = SIZE
    for time in range(20):
        x, y = apply(motion.to_frame(camera, time), corners((60, 40))[ends]).T
        beyond = {"left": x < 0, "top": y < 0, "right": x > width, "bottom": y > height}[side]
        assert beyond.all()


def test_a_cutout_keeps_nothing_of_its_old_place():
    """Red on green: no pixel of the cut-out is greenish, and its alpha is that of the shape."""
    mask = np.zeros(SIZE, bool)
    mask[30:80, 40:100] = True
    photo = texture(1, 0)
    photo[mask] = (240, 0, 0)
    [rle] = mask_ops.encode(mask[None])
    record = ImageRecord("unused", SIZE[1], SIZE[0], (), frozenset())
    cutout = cut_out(SourceObject(record, Annotation((0, 0, 0, 0), 0, rle), None), photo)
    assert cutout.size == (50 + 2 * PAD, 60 + 2 * PAD)
    assert cutout.rgba[..., 1:3].max() == 0
    np.testing.assert_allclose(cutout.rgba[..., 0] / 240, cutout.rgba[..., 3] / 255, atol=0.005)
    assert np.count_nonzero(cutout.rgba[..., 3] >= 128) == 48 * 58
    assert not cutout.rgba[[0, -1]].any() and not cutout.rgba[:, [0, -1]].any()


def test_mirroring_exchanges_the_cut_side():
    cutout = Cutout(np.zeros((4, 5, 4), np.uint8), 1.0, "left")
    assert cutout.mirrored().cut == "right"
    assert Cutout(cutout.rgba, 1.0, "bottom").mirrored().cut == "bottom"


def test_noise_and_light_are_as_strong_as_asked_for():
    grey = np.full((*SIZE, 3), 100, np.float32)
    noisy = [Degradation(0, None, 0, 5.0, None, 7).expose(grey.copy(), time) for time in (0, 1)]
    assert noisy[0].std() == pytest.approx(5, rel=0.1) and noisy[0].mean() == pytest.approx(100, abs=0.5)
    assert not np.array_equal(*noisy)
    light = curve(np.full((2, 2, 3), np.log(1.5)))
    assert (Degradation(0, light, 0, 0, None, 7).expose(grey.copy(), 3) == 150).all()


def test_compression_keeps_number_and_order_of_frames():
    frames = [np.full((*SIZE, 3), 10 + 12 * k, np.uint8) for k in range(20)]
    coded = list(Degradation(0, None, 0, 0, 23, 0).compress(iter(frames)))
    assert [round(frame.mean()) for frame in coded] == pytest.approx([10 + 12 * k for k in range(20)], abs=2)
    assert list(Degradation(0, None, 0, 0, 23, 0).compress(iter([]))) == []
