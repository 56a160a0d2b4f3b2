import numpy as np
import pytest

from msnvis import masks as mask_ops
from msnvis.merging.human_object import COMPANION_CLASSES, join_companions
from msnvis.structures import Track

CLASSES = ("person", "skateboard", "car")
PERSON, SKATEBOARD, CAR = range(3)


def track(id_: int, label: int, frames: range, left: int, score: float = 0.5) -> Track:
    """A bar of 10 columns from `left` on, 20 rows high."""
    mask = np.zeros((1, 20, 100), bool)
    mask[0, :, left : left + 10] = True
    rle = mask_ops.encode(mask)[0]
    evidence = np.eye(3, dtype=np.float32)[label] * score
    return Track(id_, label, score, dict.fromkeys(frames, rle), dict.fromkeys(frames, score), evidence)


def ids(tracks) -> list[int]:
    return [t.id for t in tracks]


def test_fragments_that_accompany_one_person_are_one_object():
    skater = track(1, PERSON, range(10), 40)
    fragments = [track(5, SKATEBOARD, range(6, 9), 46, 0.9), track(2, SKATEBOARD, range(0, 2), 36, 0.4)]
    joined = join_companions([skater, *fragments], CLASSES)
    assert ids(joined) == [1, 2]
    board = joined[1]
    assert list(board.rles) == [0, 1, 6, 7, 8] == list(board.frame_scores)
    assert board.label == SKATEBOARD
    assert board.score == pytest.approx((2 * 0.4 + 3 * 0.9) / 5)
    np.testing.assert_allclose(board.class_scores, [0, 0.7, 0], rtol=1e-6)
    assert board.rles[0] == fragments[1].rles[0] and board.rles[8] == fragments[0].rles[8]


def test_two_boards_at_the_same_time_are_two():
    tracks = [
        track(1, PERSON, range(10), 40),
        track(2, SKATEBOARD, range(0, 5), 42),
        track(3, SKATEBOARD, range(4, 6), 38),
        track(4, SKATEBOARD, range(7, 9), 42),
    ]
    joined = join_companions(tracks, CLASSES)
    assert {t.id: sorted(t.rles) for t in joined[1:]} == {2: [0, 1, 2, 3, 4, 7, 8], 3: [4, 5]}


def test_each_fragment_goes_to_the_person_that_it_is_with_the_most():
    tracks = [
        track(1, PERSON, range(10), 20),
        track(2, PERSON, range(10), 60),
        track(3, SKATEBOARD, range(0, 3), 22),
        track(4, SKATEBOARD, range(5, 8), 62),
    ]
    assert ids(join_companions(tracks, CLASSES)) == [1, 2, 3, 4]


def test_other_classes_and_objects_without_a_person_stay_apart():
    skater = track(1, PERSON, range(10), 40)
    cars = [track(2, CAR, range(0, 3), 42), track(3, CAR, range(5, 8), 42)]
    assert ids(join_companions([skater, *cars], CLASSES)) == [1, 2, 3]
    far = [track(2, SKATEBOARD, range(0, 3), 80), track(3, SKATEBOARD, range(5, 8), 80)]
    assert ids(join_companions([skater, *far], CLASSES)) == [1, 2, 3]
    assert ids(join_companions(far, CLASSES)) == [2, 3]


def test_margin_and_share_are_the_limits():
    # The person's box is 10 x 20, its diagonal 22.4; it reaches from 40 - 2.2 to 50 + 2.2.
    skater = track(1, PERSON, range(5), 40)
    beside = [track(2, SKATEBOARD, range(0, 2), 52), track(3, SKATEBOARD, range(3, 5), 52)]
    assert ids(join_companions([skater, *beside], CLASSES)) == [1, 2]
    assert ids(join_companions([skater, *beside], CLASSES, margin=0.08)) == [1, 2, 3]
    leaving = [track(2, SKATEBOARD, range(0, 2), 45), track(3, SKATEBOARD, range(4, 7), 45)]  # 1 of 3 frames
    assert ids(join_companions([skater, *leaving], CLASSES)) == [1, 2, 3]
    assert ids(join_companions([skater, *leaving], CLASSES, min_share=0.3)) == [1, 2]


def test_the_classes_of_the_paper_in_every_label_space():
    from msnvis.datasets.labels import label_space

    found = {name: COMPANION_CLASSES & set(label_space(name).classes) for name in ("ytvis2021", "coco")}
    assert {len(names) for names in found.values()} == {6}
