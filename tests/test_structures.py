"""`VideoInstances` there and back in every format, and each format against what others say it is."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from msnvis import masks as mask_ops
from msnvis.errors import InputError, OutputError
from msnvis.io.formats.png import davis_palette
from msnvis.structures import UNNAMED, Detections, Track, VideoInstances

HEIGHT, WIDTH = 6, 8
few = settings(max_examples=25, deadline=None)


def block(x1, y1, x2, y2):
    mask = np.zeros((1, HEIGHT, WIDTH), bool)
    mask[0, y1:y2, x1:x2] = True
    return mask_ops.encode(mask)[0]


@pytest.fixture
def video():
    """Three frames: a dog in the first two, an unnamed object in all, overlapping it."""
    dog = Track(
        3,
        1,
        0.8,
        {0: block(0, 0, 4, 4), 1: block(1, 0, 5, 4)},
        {0: 0.9, 1: 0.7},
        np.array([0.1, 0.6], np.float32),
    )
    thing = Track(7, UNNAMED, 0.5, {i: block(3, 3, 6, 6) for i in range(3)}, {0: 0.4, 1: 0.95, 2: 0.15})
    return VideoInstances(
        "clip", (HEIGHT, WIDTH), np.array([0.0, 0.04, 0.1]), ("cat", "dog"), [dog, thing], (21, 22), (2,)
    )


@st.composite
def videos(draw):
    length = draw(st.integers(1, 4))
    corner = st.integers(0, 5)
    tracks = []
    for number in draw(st.lists(st.integers(1, 255), unique=True, max_size=3)):
        frames = draw(st.sets(st.integers(0, length - 1), min_size=1))
        rles = {}
        for index in sorted(frames):
            x, y = draw(corner), draw(corner)
            rles[index] = block(x, y, x + draw(st.integers(1, 3)), y + draw(st.integers(1, 3)))
        scores = {index: draw(st.floats(0, 1)) for index in rles}
        label = draw(st.sampled_from([UNNAMED, 0, 1]))
        evidence = np.array(draw(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2)), np.float32)
        tracks.append(Track(number, label, draw(st.floats(0, 1)), rles, scores, evidence))
    times = np.cumsum(draw(st.lists(st.floats(0.001, 1), min_size=length, max_size=length)))
    cuts = tuple(range(1, draw(st.integers(1, length))))
    return VideoInstances("clip", (HEIGHT, WIDTH), times, ("cat", "dog"), tracks, (21, 22), cuts)


def as_plain(video, *, ordered=True, without=()):
    """All there is to know about a video, comparable with ==."""
    tracks = [
        {
            "id": track.id,
            "label": track.label,
            "score": track.score,
            "rles": track.rles,
            "frame_scores": track.frame_scores,
            "class_scores": track.class_scores.tolist(),
        }
        for track in video.tracks
    ]
    for track in tracks:
        for name in without:
            track.pop(name, None)
    about = (video.name, video.size, video.timestamps.tolist(), video.classes, video.category_ids, video.cuts)
    return about, tracks if ordered else sorted(tracks, key=lambda track: track["id"])


def test_category_ids_count_from_one_when_not_given():
    assert VideoInstances("v", (1, 1), np.zeros(0), ("a", "b", "c")).category_ids == (1, 2, 3)


@pytest.mark.parametrize("ids", [(1,), (0, 1)])
def test_category_ids_must_fit(ids):
    with pytest.raises(ValueError, match="categor"):
        VideoInstances("v", (1, 1), np.zeros(0), ("a", "b"), category_ids=ids)


def test_from_frames_votes_on_the_class_and_averages_the_score():
    scores = [[0.9, 0.1], [0.2, 0.3], [0.2, 0.3]]
    mask = np.ones((1, 2, 2), bool)
    frames = [
        Detections.from_masks(mask, [s], [c], ids=[4]) for s, c in zip([0.3, 0.6, 0.9], scores, strict=True)
    ]
    [track] = VideoInstances.from_frames("v", frames, [0, 1, 2], ("cat", "dog")).tracks
    assert (track.id, track.label, sorted(track.rles)) == (4, 1, [0, 1, 2])
    assert track.score == pytest.approx(0.6)


def test_from_frames_needs_ids():
    with pytest.raises(ValueError, match="frame 0 have no ids"):
        VideoInstances.from_frames("v", [Detections.empty((2, 2), 1)], [0.0], ("cat",))


def test_no_masks_keep_the_number_of_classes():
    none = Detections.from_masks(np.zeros((0, 2, 3), bool), [], np.zeros((0, 4)))
    assert (len(none), none.size, none.class_scores.shape) == (0, (2, 3), (0, 4))
    assert Detections.from_masks(np.zeros((0, 2, 3), bool), [], []).class_scores.shape == (0, 0)


def test_frames_gives_each_frame_with_its_tracks(video):
    frames = list(video.frames())
    assert [frame.ids.tolist() for frame in frames] == [[3, 7], [3, 7], [7]]
    assert [frame.labels.tolist() for frame in frames] == [[1, UNNAMED], [1, UNNAMED], [UNNAMED]]
    np.testing.assert_allclose(frames[1].scores, [0.7, 0.95])
    again = VideoInstances.from_frames("clip", frames, video.timestamps, video.classes)
    assert [track.rles for track in again.tracks] == [track.rles for track in video.tracks]


# YouTube-VIS


@given(videos())
@few
def test_ytvis_restores_everything(video):
    restored = VideoInstances.from_ytvis(json.loads(json.dumps(video.to_ytvis())))
    assert as_plain(restored) == as_plain(video)


def test_ytvis_has_the_official_fields(video):
    data = video.to_ytvis()
    [entry] = data["videos"]
    assert (entry["height"], entry["width"], entry["length"], len(entry["file_names"])) == (6, 8, 3, 3)
    assert data["categories"] == [
        {"id": 21, "name": "cat"},
        {"id": 22, "name": "dog"},
        {"id": 0, "name": "object"},
    ]
    dog = data["annotations"][0]
    assert (dog["id"], dog["video_id"], dog["category_id"], dog["iscrowd"]) == (3, entry["id"], 22, 0)
    assert dog["bboxes"] == [[0, 0, 4, 4], [1, 0, 4, 4], None]
    assert dog["areas"] == [16, 16, None]
    assert dog["segmentations"][2] is None
    np.testing.assert_array_equal(
        coco_mask.decode(dog["segmentations"][1]), mask_ops.decode([block(1, 0, 5, 4)], (6, 8))[0]
    )


def test_ytvis_results_name_the_official_video_and_leave_out_the_unnamed(video):
    [result] = json.loads(json.dumps(video.to_ytvis_results(video_id=42)))
    assert result["video_id"] == 42
    assert result["category_id"] == 22
    assert result["score"] == 0.8
    assert [mask is None for mask in result["segmentations"]] == [False, False, True]
    assert result.keys() == {"video_id", "category_id", "score", "segmentations"}


def test_ytvis_scales_masks(video):
    data = video.to_ytvis(size=(12, 16))
    assert data["annotations"][0]["bboxes"][0] == [0, 0, 8, 8]
    assert (data["videos"][0]["height"], data["annotations"][0]["width"]) == (12, 16)


def ground_truth():
    """As the data set has it: uncompressed masks, no scores, several videos."""
    left_half = {"size": [2, 2], "counts": [0, 2, 2]}
    videos = [
        {"id": i, "height": 2, "width": 2, "length": 2, "file_names": [f"abc{i}/0.jpg", f"abc{i}/5.jpg"]}
        for i in (5, 6)
    ]
    annotation = {"id": 9, "video_id": 6, "category_id": 4, "iscrowd": 0, "segmentations": [left_half, None]}
    return {"videos": videos, "categories": [{"id": 4, "name": "fox"}], "annotations": [annotation]}


def test_ytvis_reads_the_data_sets_own_files(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(ground_truth()))
    video = VideoInstances.from_ytvis(path, video_id=6)
    [track] = video.tracks
    assert (video.name, video.classes, track.score, video.num_frames) == ("abc6", ("fox",), 1.0, 2)
    assert mask_ops.decode([track.rles[0]], (2, 2))[0].tolist() == [[True, False], [True, False]]
    assert not VideoInstances.from_ytvis(path, video_id=5).tracks


def changed(where, value):
    data = ground_truth()
    *way, last = where
    part = data
    for step in way:
        part = part[step]
    part[last] = value
    return data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (ground_truth(), r"none of its 2 videos \(5, 6\)"),
        (changed(["videos"], [{"id": 1}]), "lacks the field 'file_names'"),
        (changed(["videos"], [dict(ground_truth()["videos"][0], id=6, height=-2)]), "2 x -2 pixels"),
        (changed(["videos"], [dict(ground_truth()["videos"][1], length=10**15)]), "a video of 10+ frames"),
        (
            changed(["videos"], [dict(ground_truth()["videos"][1], length=3)]),
            "track 9.* 2 masks for 3 frames",
        ),
        (changed(["videos"], [dict(ground_truth()["videos"][1], timestamps=[0])]), "timestamps"),
        (changed(["videos"], 3), "cannot be used"),
    ],
)
def test_ytvis_refuses_in_one_sentence(data, reason):
    with pytest.raises(InputError, match=reason) as raised:
        VideoInstances.from_ytvis(data)
    assert "\n" not in str(raised.value)


def test_ytvis_names_the_track_and_frame_of_a_broken_mask():
    data = changed(["annotations", 0, "segmentations", 1], {"size": [2, 2], "counts": [99]})
    with pytest.raises(InputError, match=r"track 9.*frame 1.*cover 99 pixels of a frame of 4"):
        VideoInstances.from_ytvis(data, video_id=6)


@pytest.mark.parametrize(
    ("content", "reason"), [("{", "is not JSON"), ("[]", "no JSON object"), ("[" * 10**6, "nested|JSON")]
)
def test_ytvis_refuses_broken_files(tmp_path, content, reason):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"broken\.json.*({reason})"):
        VideoInstances.from_ytvis(path)


def test_ytvis_says_when_there_is_no_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        VideoInstances.from_ytvis(tmp_path / "none.json")


# COCO


@given(videos())
@few
def test_coco_restores_all_but_the_evidence(video):
    restored = VideoInstances.from_coco(json.loads(json.dumps(video.to_coco())))
    assert as_plain(restored, without=["class_scores"]) == as_plain(video, without=["class_scores"])


def test_coco_loads_with_pycocotools(video, tmp_path, capsys):
    from pycocotools.coco import COCO

    path = tmp_path / "coco.json"
    path.write_text(json.dumps(video.to_coco()))
    coco = COCO(str(path))
    [second] = [image for image in coco.dataset["images"] if image["frame_index"] == 1]
    dog, thing = coco.loadAnns(coco.getAnnIds(imgIds=[second["id"]]))
    assert (dog["track_id"], dog["category_id"], dog["bbox"], dog["area"]) == (3, 22, [1, 0, 4, 4], 16)
    np.testing.assert_array_equal(coco.annToMask(dog), mask_ops.decode([block(1, 0, 5, 4)], (6, 8))[0])
    assert (thing["track_id"], thing["category_id"], thing["score"]) == (7, 0, 0.95)


def test_coco_without_track_scores_takes_the_mean(video):
    data = video.to_coco()
    del data["tracks"]
    assert [track.score for track in VideoInstances.from_coco(data).tracks] == pytest.approx([0.8, 0.5])


def test_coco_needs_tracks_and_one_size(video):
    data = video.to_coco()
    del data["annotations"][0]["track_id"]
    with pytest.raises(InputError, match="annotation 1 lacks the field 'track_id'"):
        VideoInstances.from_coco(data)
    data["images"][0]["width"] = 9
    with pytest.raises(InputError, match="2 sizes"):
        VideoInstances.from_coco(data)


# PNG


def test_palette_is_the_one_of_pascal_voc():
    expected = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        4: (0, 0, 128),
        8: (64, 0, 0),
        255: (224, 224, 192),
    }
    assert {i: tuple(davis_palette()[i].tolist()) for i in expected} == expected


def test_png_maps_hold_ids_the_better_score_on_top(video, tmp_path):
    video.to_png(tmp_path / "masks")
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == [f"0000{i}.png" for i in range(3)]
    images = [Image.open(tmp_path / "masks" / f"0000{i}.png") for i in range(3)]
    assert {image.mode for image in images} == {"P"}
    assert images[0].getpalette()[:12] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]
    # The dog is surer in the first frame, the other object in the second.
    assert [np.array(image)[3, 3].item() for image in images] == [3, 7, 7]
    assert (np.array(images[0]) == 3).sum() == 16


def test_png_restores_disjoint_masks(video, tmp_path):
    del video.tracks[0].rles[0], video.tracks[0].rles[1]
    video.tracks[0].rles[2] = block(0, 0, 2, 2)
    video.tracks[0].frame_scores = {2: 1.0}
    video.to_png(tmp_path / "masks")
    restored = VideoInstances.from_png(tmp_path / "masks", video.timestamps)
    assert {t.id: t.rles for t in restored.tracks} == {t.id: t.rles for t in video.tracks}
    assert (restored.name, restored.size) == ("masks", video.size)


def test_png_refuses_ids_beyond_eight_bits(video, tmp_path):
    video.tracks[0].id = 256
    with pytest.raises(OutputError, match="track id 256"):
        video.to_png(tmp_path)


def test_png_reading_says_what_is_wrong(tmp_path):
    with pytest.raises(InputError, match="no PNG"):
        VideoInstances.from_png(tmp_path)
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "0.png")
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1\.png.*2x2"):
        VideoInstances.from_png(tmp_path)
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1\.png.*a picture"):
        VideoInstances.from_png(tmp_path)
    (tmp_path / "1.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"1\.png"):
        VideoInstances.from_png(tmp_path)


# MOTS


def test_mots_lines_are_official_and_disjoint(video):
    lines = [line.split() for line in video.to_mots().splitlines()]
    assert [line[:5] for line in lines] == [
        ["0", "7", "0", "6", "8"],
        ["0", "22003", "22", "6", "8"],
        ["1", "7", "0", "6", "8"],
        ["1", "22003", "22", "6", "8"],
        ["2", "7", "0", "6", "8"],
    ]
    masks = [coco_mask.decode({"size": [6, 8], "counts": line[5].encode()}) for line in lines]
    assert [int(mask.sum()) for mask in masks] == [8, 16, 9, 14, 9]
    assert (masks[0] + masks[1]).max() == (masks[2] + masks[3]).max() == 1


@given(videos())
@few
def test_mots_restores_what_it_can_hold(video):
    text = video.to_mots()
    restored = VideoInstances.from_mots(text, {21: "cat", 22: "dog"}, video.timestamps, "clip")
    assert restored.to_mots() == text
    assert [(t.id, t.label) for t in restored.tracks] == [
        (t.id, t.label)
        for t in sorted(video.tracks, key=lambda t: text.find(f" {video.category_id(t) * 1000 + t.id} "))
        if f" {video.category_id(t) * 1000 + t.id} " in text
    ]


def test_mots_lists_the_objects_of_a_frame_by_number():
    rle = mask_ops.encode(np.ones((1, 2, 2), bool))[0]
    corner = mask_ops.encode(np.eye(1, 4, dtype=bool).reshape(1, 2, 2))[0]
    tracks = [Track(2, 0, 1.0, {0: rle}, {0: 0.5}), Track(1, 0, 1.0, {0: corner}, {0: 0.9})]
    text = VideoInstances("clip", (2, 2), np.zeros(1), ("cat",), tracks).to_mots()
    assert [line.split()[1] for line in text.splitlines()] == ["1001", "1002"]


def test_mots_numbers_large_ids_within_the_class(video):
    video.tracks[0].id, video.tracks[1].id = 5000, 6000
    assert {line.split()[1] for line in video.to_mots().splitlines()} == {"22001", "1"}


def test_mots_has_room_for_999_of_a_class():
    tracks = [Track(i, 0, 1.0) for i in range(1, 1001)]
    video = VideoInstances("crowd", (2, 2), np.zeros(1), ("person",), tracks)
    with pytest.raises(OutputError, match="'crowd' has too many tracks of class 'person'"):
        video.to_mots()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 1001 1 2 2 0", "cover 0 pixels"),
        ("0 1001 1 2 2", "line 1"),
        ("0 5001 5 2 2 4", "no name"),
        ("0 1001 1 0 2 4", "2 x 0 pixels"),
        ("9999999999 1001 1 2 2 4", "a video of"),
    ],
)
def test_mots_refuses_broken_lines(line, reason):
    with pytest.raises(InputError, match=reason):
        VideoInstances.from_mots(line, {1: "person"})


# pandas and supervision


@given(videos())
@few
def test_pandas_restores_all_but_the_evidence(video):
    pytest.importorskip("pandas")
    restored = VideoInstances.from_pandas(video.to_pandas())
    assert as_plain(restored, ordered=False, without=["class_scores"]) == as_plain(
        video, ordered=False, without=["class_scores"]
    )


def test_pandas_table_reads_well(video):
    pytest.importorskip("pandas")
    table = video.to_pandas()
    assert list(table["track_id"]) == [3, 7, 3, 7, 7]
    assert list(table["class_name"]) == ["dog", "object", "dog", "object", "object"]
    row = table.iloc[2]
    assert row[["frame", "x1", "y1", "x2", "y2", "area", "category_id"]].tolist() == [1, 1, 0, 5, 4, 16, 22]
    assert (row["timestamp"], row["score"]) == (0.04, 0.7)


def test_pandas_rows_can_be_taken_out(video):
    pytest.importorskip("pandas")
    table = video.to_pandas()
    kept = VideoInstances.from_pandas(table[table["frame"] < 2])
    assert [sorted(track.rles) for track in kept.tracks] == [[0, 1], [0, 1]]
    table.attrs.clear()
    assert VideoInstances.from_pandas(table, video).cuts == (2,)
    with pytest.raises(ValueError, match="video="):
        VideoInstances.from_pandas(table)


def test_supervision_there_and_back(video):
    pytest.importorskip("supervision")
    frames = list(video.to_supervision())
    first = frames[0]
    assert first.tracker_id.tolist() == [3, 7]
    assert first.class_id.tolist() == [1, UNNAMED]
    assert first.data["class_name"].tolist() == ["dog", "object"]
    np.testing.assert_allclose(first.confidence, [0.9, 0.4])
    assert first.xyxy.tolist() == [[0, 0, 4, 4], [3, 3, 6, 6]]
    np.testing.assert_array_equal(first.mask[0], mask_ops.decode([block(0, 0, 4, 4)], (6, 8))[0])
    restored = VideoInstances.from_supervision(
        frames, video.size, video.timestamps, video.classes, "clip", (21, 22)
    )
    assert [(t.id, t.label, t.rles) for t in restored.tracks] == [
        (t.id, t.label, t.rles) for t in video.tracks
    ]
    assert [t.score for t in restored.tracks] == pytest.approx([0.8, 0.5])


def test_supervision_boxes_become_masks():
    supervision = pytest.importorskip("supervision")
    boxes = supervision.Detections(xyxy=np.array([[1.2, 0.0, 3.0, 2.4], [-5, 1, 99, 2]]))
    found = Detections.from_supervision(boxes, (4, 6), num_classes=2)
    assert found.boxes.tolist() == [[1, 0, 3, 2], [0, 1, 6, 2]]
    assert found.labels.tolist() == [UNNAMED, UNNAMED]
    assert found.ids is None


def test_structures_import_nothing_heavy():
    code = "import sys, msnvis.structures; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "supervision", "av"} & set(done.stdout.split())
