import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis.errors import OptionError
from msnvis.merging.directions import (
    BACKWARD,
    FORWARD,
    DirectionMatcher,
    MergingOptions,
    limit_objects,
    merge_directions,
    number_objects,
)
from msnvis.selection import create_selector
from msnvis.store import RunStore
from msnvis.structures import Detections, Track

SIZE = (20, 60)
IMAGE = np.zeros((*SIZE, 3), np.uint8)
#: id -> ``(left, right)`` columns of a bar of the frame's height, or ``(left, right, score)``
Bars = dict[int, tuple]


def bars(objects: Bars) -> Detections:
    if not objects:
        found = Detections.empty(SIZE, 1)
        found.ids = np.zeros(0, np.int64)
        return found
    masks = np.zeros((len(objects), *SIZE), bool)
    for mask, (left, right, *_) in zip(masks, objects.values(), strict=True):
        mask[:, left:right] = True
    scores = [rest[0] if rest else 0.5 for _, _, *rest in objects.values()]
    return Detections.from_masks(masks, scores, np.ones((len(objects), 1)), list(objects))


def merge(forward: list[Bars], backward: list[Bars], selector: str = "score", **options) -> list[Track]:
    """Each list has one entry a frame."""
    matcher = DirectionMatcher(create_selector(selector), MergingOptions(**options))
    stores = RunStore().tracked
    for direction, frames in ((FORWARD, forward), (BACKWARD, backward)):
        for index, objects in enumerate(frames):
            stores[direction][index] = bars(objects)
    for index in reversed(range(min(len(forward), len(backward)))):
        matcher.add(index, IMAGE, bars(forward[index]), bars(backward[index]))
    nodes = [
        (direction, id_)
        for direction, frames in ((FORWARD, forward), (BACKWARD, backward))
        for id_ in sorted(set().union(*frames))
    ]
    numbers = number_objects(matcher.join(nodes))
    return merge_directions(stores[FORWARD], stores[BACKWARD], matcher, numbers)


def columns(track: Track) -> dict[int, tuple[int, int]]:
    """Frame index -> left and right of the bar."""
    frame = Detections(SIZE, list(track.rles.values()), np.zeros(0), np.zeros((0, 0)))
    return dict(zip(track.rles, [(int(x1), int(x2)) for x1, _, x2, _ in frame.boxes], strict=True))


def test_the_example_of_the_paper_an_object_first_detected_in_mid_video():
    late, early = [{}, {}, {1: (0, 10)}, {1: (0, 10)}], [{1: (0, 10)}] * 3 + [{}]
    (track,) = merge(late, early)
    assert track.id == 1 and sorted(track.rles) == [0, 1, 2, 3]


def test_one_associated_frame_is_enough_and_none_is_not():
    forward, backward = [{1: (0, 10)}, {1: (0, 10)}, {}], [{}, {7: (2, 10)}, {7: (4, 14)}]
    assert [sorted(track.rles) for track in merge(forward, backward)] == [[0, 1, 2]]
    apart = merge(forward, backward, join_iou=0.8)
    assert [(track.id, sorted(track.rles)) for track in apart] == [(1, [0, 1]), (2, [1, 2])]


def test_hungarian_within_the_frame_keeps_neighbours_apart():
    frames = [{1: (0, 10), 2: (8, 18)}] * 3
    swapped = [{5: (8, 18), 6: (0, 10)}] * 3
    tracks = merge(frames, swapped, join_iou=0.0)
    assert [columns(track)[0] for track in tracks] == [(0, 10), (8, 18)]


@pytest.mark.parametrize(("selector", "expected"), [("segmenter", (0, 10)), ("propagator", (0, 12))])
def test_selector_decides_where_both_have_a_mask(selector, expected):
    (track,) = merge([{1: (0, 10, 0.4)}], [{1: (0, 12, 0.8)}], selector)
    assert columns(track) == {0: expected}


def test_the_score_is_the_mean_of_the_chosen_masks_scores():
    (track,) = merge([{1: (0, 10, 0.9)}, {1: (0, 10, 0.2)}], [{1: (0, 11, 0.5)}, {1: (0, 11, 0.6)}])
    assert track.frame_scores == pytest.approx({0: 0.9, 1: 0.6})
    assert track.score == pytest.approx(0.75)
    assert columns(track) == {0: (0, 10), 1: (0, 11)}


def test_two_forward_fragments_are_joined_through_one_backward_track():
    forward = [{1: (0, 10)}, {1: (0, 10)}, {}, {2: (0, 10)}]
    (track,) = merge(forward, [{9: (0, 10)}] * 4)
    assert track.id == 1 and sorted(track.rles) == [0, 1, 2, 3]


def test_a_drifting_track_does_not_chain_two_objects_together():
    """The backward track is on the left object, then slides onto the right one."""
    forward = [{1: (0, 10), 2: (30, 40)}] * 5
    backward = [{9: (0, 10)}] * 3 + [{9: (30, 40)}] * 2
    tracks = merge(forward, backward)
    assert [track.id for track in tracks] == [1, 2]
    assert columns(tracks[1]) == dict.fromkeys(range(5), (30, 40))


def test_tracks_that_disagree_in_most_of_their_common_frames_stay_apart():
    forward = [{1: (0, 10)}] + [{1: (0, 10)}] * 4
    backward = [{1: (0, 10)}] + [{1: (30, 40)}] * 4
    assert len(merge(forward, backward, min_agreement=0.3)) == 2
    assert len(merge(forward, backward, min_agreement=0.1)) == 1


def test_frames_in_which_one_side_is_unsure_count_little():
    forward = [{1: (0, 10, 0.9)}] + [{1: (0, 10, 0.02)}] * 4  # lost, and only propagated on
    backward = [{1: (0, 10, 0.9)}] + [{1: (30, 40, 0.9)}] * 4
    (track,) = merge(forward, backward, min_agreement=0.3)
    assert columns(track) == {0: (0, 10), **dict.fromkeys(range(1, 5), (30, 40))}


def test_tracks_that_are_refused_do_not_cover_the_same_pixels_twice():
    forward = [{1: (0, 10)}] * 4
    backward = [{1: (0, 10)}, *[{1: (30, 40, 0.3)}] * 3]
    first, second = merge(forward, backward, min_agreement=0.5)
    assert sorted(first.rles) == [0, 1, 2, 3] and sorted(second.rles) == [1, 2, 3]


def test_the_rest_of_a_track_that_mostly_repeats_another_goes_too():
    forward = [{1: (0, 10)}] * 5 + [{}]
    backward = [{1: (0, 10)}, {1: (0, 10), 2: (0, 10)}, {2: (0, 10)}, {2: (0, 10)}, {2: (0, 10)}, {2: (0, 9)}]
    first, *others = merge(forward, backward)  # backward 1 and 2 are in the same frame, so only one is joined
    assert first.id == 1 and sorted(first.rles) == [0, 1, 2, 3, 4, 5] and others == []


def test_equal_masks_do_not_bother_the_selector():
    class Forbidden:
        def prefer(self, image, first, second):
            raise AssertionError("asked")

    matcher = DirectionMatcher(Forbidden())
    assert matcher.add(0, IMAGE, bars({1: (0, 10)}), bars({4: (0, 10), 5: (20, 30)})) == {4}
    with pytest.raises(AssertionError, match="asked"):
        matcher.add(1, IMAGE, bars({1: (0, 10)}), bars({4: (0, 11)}))


def test_one_direction_alone_is_passed_through():
    frames = [{1: (0, 10)}, {1: (1, 11), 2: (30, 40)}]
    expected = [{0: (0, 10), 1: (1, 11)}, {1: (30, 40)}]
    assert [columns(track) for track in merge(frames, [])] == expected
    assert [columns(track) for track in sorted(merge([], frames), key=lambda t: min(t.rles))] == expected


def test_the_best_tracks_stay_when_a_frame_holds_too_many():
    def track(id_, score, frames):
        return Track(id_, 0, score, dict.fromkeys(frames), dict.fromkeys(frames, score))

    tracks = [track(1, 0.5, [0, 1]), track(2, 0.9, [1, 2]), track(3, 0.7, [1]), track(4, 0.1, [2])]
    assert [kept.id for kept in limit_objects(tracks, 2)] == [2, 3, 4]
    assert limit_objects(tracks, 9) == tracks


def test_senseless_options_are_refused():
    with pytest.raises(OptionError, match="join_iou"):
        MergingOptions(join_iou=-0.1)


frames = st.dictionaries(
    st.integers(1, 4),
    st.tuples(st.integers(0, 40), st.integers(1, 15), st.floats(0.1, 1)).map(
        lambda t: (t[0], t[0] + t[1], t[2])
    ),
    max_size=4,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(frames, frames), min_size=1, max_size=6), st.sampled_from([0.0, 0.5]))
def test_joined_tracks_never_overlap_with_themselves_and_nothing_is_invented(scene, join_iou):
    forward, backward = [first for first, _ in scene], [second for _, second in scene]
    matcher = DirectionMatcher(create_selector("score"), MergingOptions(join_iou=join_iou))
    for index, (first, second) in enumerate(scene):
        matcher.add(index, IMAGE, bars(first), bars(second))
    nodes = [(FORWARD, i) for i in set().union(*forward)] + [(BACKWARD, i) for i in set().union(*backward)]
    groups = matcher.join(nodes)
    assert sorted(node for group in groups for node in group) == sorted(nodes)
    for group in groups:
        for index in range(len(scene)):
            assert sum(direction == FORWARD and id_ in forward[index] for direction, id_ in group) <= 1
            assert sum(direction == BACKWARD and id_ in backward[index] for direction, id_ in group) <= 1
    merged = merge(forward, backward, join_iou=join_iou)
    assert len({track.id for track in merged}) == len(merged)
    for index, (first, second) in enumerate(scene):
        given_masks = [rle["counts"] for objects in (first, second) for rle in bars(objects).rles]
        assert all(track.rles[index]["counts"] in given_masks for track in merged if index in track.rles)
