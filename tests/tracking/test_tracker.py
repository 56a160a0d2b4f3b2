"""The step from frame to frame, on rectangles and with a propagator whose every answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.errors import OptionError
from msnvis.propagators.base import Corrections, Propagator
from msnvis.selection import create_selector
from msnvis.structures import Detections
from msnvis.tracking.tracker import Tracker, TrackingOptions

HEIGHT, WIDTH = 40, 60
CAR, PERSON = np.eye(2)
RED, GREEN = (200, 0, 0), (0, 200, 0)
Box = tuple[int, int, int, int]


class Shift(Propagator):
    """Moves every mask by `dx` columns a frame; what leaves the frame is gone."""

    def __init__(self, dx: int = 0):
        self.dx = dx
        self.masks: dict[int, np.ndarray] = {}
        self.starts = 0
        self.corrections: list[Corrections] = []

    def start(self, image, masks):
        self.starts += 1
        self.masks = dict(masks)

    def step(self, image, corrections=None):
        corrections = corrections or Corrections()
        self.corrections.append(corrections)
        self.masks.update(corrections.masks)
        for id_ in corrections.forget:
            self.masks.pop(id_, None)
        for id_, mask in self.masks.items():
            self.masks[id_] = np.roll(mask, self.dx, axis=1)
            self.masks[id_][:, : self.dx] = False
        return dict(self.masks)

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def rectangle(box: Box) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def detections(*objects: tuple[Box, float] | tuple[Box, float, np.ndarray]) -> Detections:
    """Of ``(box, score)``, cars, or ``(box, score, class scores)``."""
    if not objects:
        return Detections.empty((HEIGHT, WIDTH), 2)
    masks = np.array([rectangle(box) for box, *_ in objects])
    classes = [rest[1] if len(rest) > 1 else CAR for _, *rest in objects]
    return Detections.from_masks(masks, [rest[0] for _, *rest in objects], classes)


def frame(*objects: tuple[Box, tuple[int, int, int]]) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for box, colour in objects:
        image[rectangle(box)] = colour
    return image


def tracker(dx: int = 0, selector: str = "score", **options) -> Tracker:
    return Tracker(Shift(dx), create_selector(selector), 2, TrackingOptions(**options))


def boxes(tracked: Detections) -> dict[int, list[float]]:
    return dict(zip(tracked.ids.tolist(), tracked.boxes.tolist(), strict=True))


NOTHING, GREY = detections(), frame()
A, B = (5, 5, 15, 15), (30, 20, 45, 30)


def test_ids_follow_objects_whatever_the_order_of_the_detections():
    follow = tracker()
    first = follow.step(GREY, detections((A, 0.9), (B, 0.8)))
    second = follow.step(GREY, detections((B, 0.95), (A, 0.6)))
    assert boxes(first) == boxes(second) == {1: list(A), 2: list(B)}


def test_only_detections_above_the_threshold_are_born_and_weak_ones_confirm():
    follow = tracker(score_threshold=0.5, association_score=0.2, max_unconfirmed=1)
    assert len(follow.step(GREY, detections((A, 0.49)))) == 0
    assert boxes(follow.step(GREY, detections((A, 0.5)))) == {1: list(A)}
    for _ in range(5):
        assert len(follow.step(GREY, detections((A, 0.2)))) == 1
    for expected in (1, 0):  # 0.19 is as good as nothing, and patience is one frame
        assert len(follow.step(GREY, detections((A, 0.19)))) == expected


@pytest.mark.parametrize(
    ("selector", "expected"), [("segmenter", (7, 5, 17, 15)), ("propagator", (6, 5, 16, 15))]
)
def test_the_selector_decides_and_the_chosen_mask_is_propagated_on(selector, expected):
    follow = tracker(dx=1, selector=selector)
    follow.step(GREY, detections((A, 0.9)))
    chosen = follow.step(GREY, detections(((7, 5, 17, 15), 0.9)))
    assert boxes(chosen) == {1: list(expected)}
    onward = follow.step(GREY, NOTHING)
    assert boxes(onward) == {1: [expected[0] + 1, 5, expected[2] + 1, 15]}


def test_propagator_is_corrected_only_where_the_segmenter_won():
    follow = tracker(selector="propagator")
    follow.step(GREY, detections((A, 0.9)))
    follow.step(GREY, detections((A, 0.9)))
    follow.step(GREY, detections((A, 0.9)))
    assert [list(c.masks) for c in follow.propagator.corrections] == [[1], []]


def test_score_decays_while_unconfirmed_and_a_weak_detection_costs_no_more():
    follow = tracker(score_decay=0.5)
    scores = [
        follow.step(GREY, found).scores[0]
        for found in (
            detections((A, 0.8)),
            NOTHING,
            NOTHING,
            detections((A, 0.9)),
            detections((A, 0.3)),
        )
    ]
    np.testing.assert_allclose(scores, [0.8, 0.4, 0.2, 0.9, 0.45], rtol=1e-6)


def test_patience_grows_with_confirmations_up_to_a_limit():
    def frames_alone(confirmations: int) -> int:
        follow = tracker(max_unconfirmed=5, frames_per_confirmation=2)
        for _ in range(confirmations):
            follow.step(GREY, detections((A, 0.9)))
        return sum(len(follow.step(GREY, NOTHING)) for _ in range(20))

    assert [frames_alone(n) for n in (1, 2, 3, 9)] == [2, 4, 5, 5]


def test_a_new_object_of_the_same_class_may_not_intersect_one_of_another_may():
    follow = tracker()
    follow.step(GREY, detections(((0, 0, 20, 20), 0.9)))
    overlapping = (16, 0, 26, 20)  # 40 % covered; IoU 80/520 with the car, so not even a rival for it
    found = [((0, 0, 20, 20), 0.9), (overlapping, 0.8, CAR), ((30, 30, 40, 40), 0.7, CAR)]
    assert list(boxes(follow.step(GREY, detections(*found)))) == [1, 2]
    found[1] = (overlapping, 0.8, PERSON)
    assert boxes(follow.step(GREY, detections(*found)))[3] == list(overlapping)


def test_two_tracks_that_fall_together_leave_the_one_that_is_confirmed():
    follow = tracker(selector="propagator", duplicate_iou=0.7)
    both = detections((A, 0.6), (B, 0.9, PERSON))
    for _ in range(2):
        assert follow.step(GREY, both).ids.tolist() == [1, 2]
    follow.propagator.masks = {1: rectangle((5, 5, 15, 14)), 2: rectangle(A)}
    assert follow.step(GREY, detections((A, 0.9))).ids.tolist() == [2]
    assert follow.step(GREY, NOTHING).ids.tolist() == [2]


def test_an_object_that_vanishes_comes_back_under_its_id_if_it_looks_the_same():
    edge, back, far = (48, 5, 58, 15), (46, 6, 56, 16), (2, 28, 12, 38)

    def returns(colour, box=back, wait=3, classes=CAR, **options) -> list[int]:
        follow = tracker(dx=20, **options)
        follow.step(frame((edge, RED)), detections((edge, 0.9)))
        for _ in range(wait):
            assert len(follow.step(GREY, NOTHING)) == 0
        return follow.step(frame((box, colour)), detections((box, 0.9, classes))).ids.tolist()

    assert returns(RED) == [1]
    assert returns(GREEN) == [2]
    assert returns(RED, box=far) == [2]
    assert returns(RED, box=far, reacquire_distance=10.0) == [1]
    assert returns(RED, classes=PERSON) == [2]
    assert returns(RED, classes=np.zeros(2)) == [1]  # an unnamed detection may be anything
    assert returns(RED, wait=5, max_lost=5) == [1]
    assert returns(RED, wait=6, max_lost=5) == [2]


def test_a_remnant_of_a_mask_is_no_mask():
    follow = tracker(dx=3, min_area_share=0.5)
    follow.step(GREY, detections(((WIDTH - 10, 5, WIDTH, 15), 0.9)))
    assert [len(follow.step(GREY, NOTHING)) for _ in range(3)] == [1, 0, 0]  # 70, 40, 10 of 100 pixels


@pytest.mark.parametrize(("growth", "masks"), [(4.0, [1, 1, 0]), (10.0, [1, 1, 1])])
def test_a_mask_that_spilled_over_what_was_detected_last_is_dropped_with_that(growth, masks):
    follow = tracker(selector="propagator", max_area_growth=growth)
    whole, part = (0, 0, 40, 20), (0, 0, 10, 16)  # 800 and 160 pixels
    found = [detections((whole, 0.9)), detections((part, 0.5)), NOTHING]
    assert [len(follow.step(GREY, f)) for f in found] == masks


def test_an_object_that_propagation_held_for_too_long_comes_back_under_its_id():
    follow = tracker(max_unconfirmed=1)
    image = frame((A, RED))
    counts = [len(follow.step(image, found)) for found in (detections((A, 0.9)), NOTHING, NOTHING, NOTHING)]
    assert counts == [1, 1, 0, 0]
    assert follow.step(image, detections((A, 0.9))).ids.tolist() == [1]
    assert len(follow.step(image, NOTHING)) == 1  # and is propagated again


def test_no_more_than_the_maximum_and_lost_objects_make_room():
    follow = tracker(dx=60, max_objects=2)
    found = detections(((0, 0, 9, 9), 0.9), ((10, 0, 19, 9), 0.8), ((20, 0, 29, 9), 0.7))
    assert follow.step(GREY, found).ids.tolist() == [1, 2]
    assert len(follow.step(GREY, NOTHING)) == 0  # both have left
    newcomers = detections(((0, 28, 9, 37), 0.9, PERSON), ((10, 28, 19, 37), 0.8, PERSON))
    assert follow.step(GREY, newcomers).ids.tolist() == [3, 4]
    follow.step(GREY, NOTHING)
    assert follow.propagator.corrections[-1].forget == {1, 2}


def test_a_cut_ends_everything():
    follow = tracker()
    follow.step(GREY, detections((A, 0.9)))
    after = follow.step(GREY, detections((A, 0.9)), cut=True)
    assert after.ids.tolist() == [2]
    assert follow.propagator.starts == 2 and follow.propagator.masks == {}
    assert follow.step(GREY, NOTHING).ids.tolist() == [2]


def test_class_scores_are_what_was_seen_so_far():
    follow = tracker()
    follow.step(GREY, detections((A, 0.9, np.array([0.8, 0.2]))))
    second = follow.step(GREY, detections((A, 0.9, np.array([0.0, 1.0]))))
    np.testing.assert_allclose(second.class_scores, [[0.4, 0.6]], rtol=1e-6)
    assert set(follow.votes) == {1}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("score_threshold", 1.5),
        ("max_objects", 0),
        ("max_lost", -1),
        ("max_unconfirmed", 2.5),
        ("reacquire_distance", -1.0),
        ("max_area_growth", 0.5),
        ("score_decay", float("nan")),
    ],
)
def test_senseless_options_are_refused_by_name(option, value):
    with pytest.raises(OptionError, match=option):
        TrackingOptions(**{option: value})


scenes = st.lists(
    st.lists(
        st.tuples(
            st.tuples(st.integers(0, 50), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20)),
            st.floats(0.1, 1),
            st.sampled_from([CAR, PERSON, np.zeros(2)]),
        ),
        max_size=6,
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(scenes, st.integers(0, 5), st.integers(1, 4), st.sets(st.integers(1, 7)))
def test_ids_are_unique_in_a_frame_few_enough_and_never_cross_a_cut(scene, dx, max_objects, cuts):
    follow = tracker(dx=dx, max_objects=max_objects, max_lost=2)
    shot_of: dict[int, int] = {}
    shot = 0
    for index, objects in enumerate(scene):
        found = detections(*(((x, y, x + w, y + h), score, label) for (x, y, w, h), score, label in objects))
        shot += index in cuts
        tracked = follow.step(GREY, found, cut=index in cuts)
        ids = tracked.ids.tolist()
        assert len(set(ids)) == len(ids) <= max_objects
        assert tracked.masks.any(axis=(1, 2)).all()
        assert all(shot_of.setdefault(id_, shot) == shot for id_ in ids)
        assert ((tracked.scores > 0) & (tracked.scores <= 1)).all()
