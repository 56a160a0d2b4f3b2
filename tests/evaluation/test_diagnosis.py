"""Diagnosis on videos small enough to see the answer: squares of 4x4 pixels on their own spots."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedTrack
from msnvis.evaluation.diagnosis import diagnose as diagnose_files
from msnvis.evaluation.diagnosis import diagnose_videos
from msnvis.evaluation.frames import PairedVideos, VideoTracks, frame_overlaps
from msnvis.evaluation.verdicts import ObjectVerdict, Span, TrackVerdict
from msnvis.structures import Track

CLASSES = ("cat", "dog")
CAT, DOG = 0, 1


def square(left: int, width: int = 4) -> mask_ops.RLE:
    mask = np.zeros((1, 8, 40), bool)
    mask[0, 2:6, left : left + width] = True
    return mask_ops.encode(mask)[0]


def on(left: int, frames: range, width: int = 4) -> dict[int, mask_ops.RLE]:
    return dict.fromkeys(frames, square(left, width))


def gt(number: int, rles: dict, label: int = CAT, crowd: bool = False) -> AnnotatedTrack:
    return AnnotatedTrack(number, label, rles, crowd)


def found(number: int, rles: dict, label: int = CAT, score: float = 0.5) -> Track:
    return Track(number, label, score, rles)


def diagnose(objects: list[AnnotatedTrack], tracks: list[Track], frames: int = 10):
    return diagnose_videos(PairedVideos(CLASSES, [VideoTracks("clip", frames, objects, tracks)]))


def only_object(*arguments):
    (diagnosis,) = diagnose(*arguments).objects
    return diagnosis


TEN = range(10)


def test_perfect_results_are_found_and_matched():
    diagnosis = diagnose(
        [gt(7, on(0, TEN)), gt(8, on(10, TEN), DOG)], [found(0, on(0, TEN)), found(1, on(10, TEN), DOG)]
    )
    assert diagnosis.object_counts()["found"] == 2
    assert diagnosis.track_counts()["matched"] == 2
    assert diagnosis.confusion() == {"cat": {"cat": 1}, "dog": {"dog": 1}}
    assert [item.spans for item in diagnosis.objects] == [[Span(0, 9, 0)], [Span(0, 9, 1)]]
    assert all(item.iou == 1 and item.coverage == 1 for item in diagnosis.objects)


def test_missed_object_and_false_positive():
    diagnosis = diagnose([gt(7, on(0, TEN))], [found(0, on(20, TEN), DOG, 0.9)])
    (item,), (track,) = diagnosis.objects, diagnosis.tracks
    assert (item.verdict.value, item.track, item.coverage, item.gaps) == (
        "missed",
        None,
        0,
        [Span(0, 9, None)],
    )
    assert (track.verdict.value, track.object, track.first, track.last) == ("false positive", None, 0, 9)
    assert diagnosis.confusion() == {"(nothing)": {"dog": 1}, "cat": {"(nothing)": 1}}


def test_confused_names_the_wrong_class():
    diagnosis = diagnose([gt(7, on(0, TEN))], [found(0, on(0, TEN), DOG)])
    assert diagnosis.objects[0].verdict.value == "confused"
    assert diagnosis.objects[0].track_category == "dog"
    assert diagnosis.tracks[0].verdict.value == "confused"
    assert diagnosis.tracks[0].object_category == "cat"
    assert diagnosis.confusion() == {"cat": {"dog": 1}}


def test_two_objects_that_swap_ids_at_half_time():
    left, right = on(0, TEN), on(20, TEN)
    tracks = [
        found(0, on(0, range(5)) | on(20, range(5, 10))),
        found(1, on(20, range(5)) | on(0, range(5, 10))),
    ]
    diagnosis = diagnose([gt(7, left), gt(8, right)], tracks)
    assert diagnosis.object_counts()["switched"] == 2
    first = next(item for item in diagnosis.objects if item.object == 7)
    assert first.spans == [Span(0, 4, 0), Span(5, 9, 1)]
    assert first.iou == pytest.approx(1 / 3)  # 5 of 10 + 10 - 5 frames
    assert diagnosis.track_counts()["partial"] == 2


def test_a_change_of_track_is_told_although_the_first_track_is_a_good_match():
    item = only_object([gt(7, on(0, TEN))], [found(0, on(0, range(8))), found(1, on(0, range(8, 10)))])
    assert (item.verdict.value, item.iou) == ("switched", pytest.approx(0.8))
    assert item.spans == [Span(0, 7, 0), Span(8, 9, 1)]


def test_an_object_whose_only_track_belongs_to_another_is_switched():
    track = found(0, on(0, range(5)) | on(20, range(5, 10)))
    diagnosis = diagnose([gt(7, on(0, range(4))), gt(8, on(20, range(5, 10)))], [track])
    by_id = {item.object: item for item in diagnosis.objects}
    assert by_id[8].verdict.value == "found"  # 5 of 10 frames
    assert (by_id[7].verdict.value, by_id[7].track) == ("switched", 0)


def test_gaps_make_an_object_fragmented_and_are_listed():
    item = only_object([gt(7, on(0, TEN))], [found(0, on(0, range(2, 5)) | on(0, range(7, 10)))])
    assert (item.verdict.value, item.coverage) == ("fragmented", pytest.approx(0.6))
    assert item.gaps == [Span(0, 1, None), Span(5, 6, None)]


def test_frames_in_which_the_object_is_away_are_no_gap():
    away = on(0, range(4)) | on(0, range(8, 10))
    item = only_object([gt(7, away)], [found(0, away)])
    assert (item.verdict.value, item.frames, item.spans) == ("found", 6, [Span(0, 9, 0)])


def test_a_mask_that_covers_but_does_not_match_is_poor():
    item = only_object([gt(7, on(0, TEN))], [found(0, on(0, TEN, width=1))])
    assert (item.verdict.value, item.iou, item.coverage) == ("poor mask", 0.25, 1)


def test_the_second_track_on_an_object_is_a_duplicate_whatever_its_class():
    tracks = [
        found(0, on(0, TEN)),
        found(1, on(0, TEN), DOG, 0.9),
        found(2, on(0, TEN, width=3), score=0.2),
    ]
    diagnosis = diagnose([gt(7, on(0, TEN))], tracks)
    assert diagnosis.objects[0].verdict.value == "found"
    assert [(item.track, item.verdict.value, item.object) for item in diagnosis.tracks] == [
        (1, "duplicate", 7),
        (2, "duplicate", 7),
        (0, "matched", 7),
    ]


def test_duplicates_that_outdo_each_other_by_turns_are_no_switch():
    tracks = [
        found(0, on(0, range(5)) | on(0, range(5, 10), width=3)),
        found(1, on(0, range(5), width=3) | on(0, range(5, 10))),
    ]
    item = only_object([gt(7, on(0, TEN))], tracks)
    assert (item.verdict.value, len(item.spans)) == ("found", 1)


def test_a_neighbour_that_leaks_does_not_cover():
    neighbour = on(0, TEN, width=6)  # 4 of its own pixels' columns and 2 of the next object
    diagnosis = diagnose([gt(7, on(0, TEN)), gt(8, on(4, TEN))], [found(0, neighbour)])
    assert {item.object: item.verdict.value for item in diagnosis.objects} == {7: "found", 8: "missed"}


def test_crowds_are_neither_missed_nor_false():
    diagnosis = diagnose([gt(7, on(0, TEN, width=12), crowd=True)], [found(0, on(0, TEN))])
    assert diagnosis.objects == []
    assert diagnosis.tracks[0].verdict.value == "crowd"


def test_empty_masks_count_as_absent():
    empty = mask_ops.encode(np.zeros((1, 8, 40), bool))[0]
    item = only_object([gt(7, on(0, TEN))], [found(0, dict.fromkeys(TEN, empty))])
    assert item.verdict.value == "missed"


def test_worst_first_and_json():
    objects = [gt(1, on(0, TEN)), gt(2, on(10, TEN)), gt(3, on(20, TEN))]
    diagnosis = diagnose(objects, [found(0, on(0, TEN)), found(1, on(10, TEN, width=1))])
    assert [item.object for item in diagnosis.objects] == [3, 2, 1]
    data = json.loads(json.dumps(diagnosis.to_dict()))
    assert data["summary"]["objects"] == {
        "missed": 1,
        "confused": 0,
        "switched": 0,
        "fragmented": 0,
        "poor mask": 1,
        "found": 1,
    }
    assert data["objects"][0]["spans"] == [{"first": 0, "last": 9, "track": None}]


def test_without_anything():
    assert diagnose([], []).objects == []
    assert diagnose([], [found(0, on(0, TEN))]).track_counts()["false positive"] == 1
    assert diagnose([gt(7, on(0, TEN))], []).object_counts()["missed"] == 1


SQUARES = st.dictionaries(st.integers(0, 5), st.integers(0, 12).map(square), max_size=6)
ITEMS = st.lists(st.tuples(SQUARES, st.integers(0, 1)), max_size=4)


@settings(max_examples=60, deadline=None)
@given(ITEMS, ITEMS)
def test_every_verdict_agrees_with_what_is_told_with_it(objects, tracks):
    diagnosis = diagnose(
        [gt(i, rles, label) for i, (rles, label) in enumerate(objects)],
        [found(i, rles, label) for i, (rles, label) in enumerate(tracks)],
        frames=6,
    )
    assert len(diagnosis.objects) == len(objects)
    assert len(diagnosis.tracks) == len(tracks)
    by_track = {item.track: item for item in diagnosis.tracks}
    for item in diagnosis.objects:
        seen = sorted(objects[item.object][0])
        uncovered = [frame for frame in seen if any(gap.first <= frame <= gap.last for gap in item.gaps)]
        assert item.frames == len(seen)
        assert item.coverage == pytest.approx(1 - len(uncovered) / len(seen) if seen else 0)
        if item.verdict is ObjectVerdict.FOUND:
            assert (by_track[item.track].verdict.value, by_track[item.track].object) == (
                "matched",
                item.object,
            )
        if item.verdict is ObjectVerdict.CONFUSED:
            assert by_track[item.track].verdict.value == "confused"
            assert item.category != item.track_category
    for item in diagnosis.tracks:
        good = item.verdict in (TrackVerdict.MATCHED, TrackVerdict.CONFUSED)
        assert not good or item.iou >= 0.5
        assert (item.object is None) == (item.verdict is TrackVerdict.FALSE_POSITIVE)


@settings(max_examples=20, deadline=None)
@given(ITEMS)
def test_the_ground_truth_itself_leaves_nothing_to_fix(objects):
    apart = [({f: square(10 * i) for f in rles}, label) for i, (rles, label) in enumerate(objects) if rles]
    diagnosis = diagnose(
        [gt(i, rles, label) for i, (rles, label) in enumerate(apart)],
        [found(i, rles, label) for i, (rles, label) in enumerate(apart)],
        frames=6,
    )
    assert diagnosis.object_counts()["found"] == diagnosis.track_counts()["matched"] == len(apart)


def test_frame_overlaps_count_pixels():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 3, 9, 7)) < 0.5
    objects = [gt(i, {0: rle}) for i, rle in enumerate(mask_ops.encode(first))]
    tracks = [found(i, {0: rle}) for i, rle in enumerate(mask_ops.encode(second))]
    (overlap,) = frame_overlaps(VideoTracks("clip", 1, objects, tracks))
    shared = (first[:, None] & second[None]).sum(axis=(2, 3))
    union = (first[:, None] | second[None]).sum(axis=(2, 3))
    assert (overlap.intersections == shared).all()
    assert np.array_equal(overlap.iou, shared / union)


def test_from_files(tmp_path):
    rle = {"size": [2, 2], "counts": "04"}
    annotations = {
        "videos": [{"id": 3, "name": "clip", "width": 2, "height": 2, "length": 2}],
        "categories": [{"id": 5, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [{"id": 9, "video_id": 3, "category_id": 5, "segmentations": [rle, rle]}],
    }
    results = [
        {"video_id": 3, "category_id": 2, "score": score, "segmentations": [rle, None]}
        for score in (0.2, 0.9)
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "truth.json").write_text(json.dumps(annotations))
    paths = tmp_path / "results.json", tmp_path / "truth.json"
    (item,) = diagnose_files(*paths, score_threshold=0.5).objects
    assert (item.video, item.object, item.category) == ("clip", 9, "dog")
    assert (item.verdict.value, item.track, item.track_category) == ("confused", 1, "cat")
    assert [track.verdict.value for track in diagnose_files(*paths).tracks] == ["confused", "duplicate"]
    (item,) = diagnose_files(*paths, class_agnostic=True).objects
    assert (item.verdict.value, item.category, item.gaps) == ("fragmented", "all", [Span(1, 1, None)])


def test_the_table_names_the_worst():
    objects = [gt(7, on(0, TEN)), gt(8, on(10, TEN)), gt(9, on(20, TEN), DOG)]
    tracks = [found(4, on(0, range(3))), found(5, on(0, range(4, 10))), found(6, on(10, TEN), DOG)]
    text = diagnose(objects, tracks).table(most=2)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "3 objects: 1 missed, 1 confused, 1 switched, 0 fragmented, 0 poor mask, 0 found"
    assert "missed clip 9 dog - - 0-9: - 0.0 0.0" in lines
    assert "confused clip 8 cat 6 dog 0-9: 6 100.0 100.0" in lines
    assert "objects (the worst 2 of 3)" in lines
    full = diagnose(objects, tracks).table()
    assert "0-2: 4, 3: -, 4-9: 5" in full


def test_a_perfect_result_has_a_short_table():
    text = diagnose([gt(7, on(0, TEN))], [found(0, on(0, TEN))]).table()
    assert len(text.splitlines()) == 3  # of objects, of tracks, and how these are named
