import json

import numpy as np
import pytest
from dataset_makers import COMPRESSED, POLYGON, RUNS, SQUARE, pixels, write_image, write_json

from msnvis.datasets.formats import read_dataset, write_dataset
from msnvis.datasets.problems import DatasetError


def content(**changes):
    return {
        "images": [
            {"id": 5, "file_name": "a.jpg", "width": 6, "height": 4},
            {"id": 6, "file_name": "b.jpg", "width": 6, "height": 4},
        ],
        "categories": [{"id": 2, "name": "cat"}],
        "annotations": [annotation(1, 5, RUNS), annotation(2, 5, COMPRESSED), annotation(3, 6, POLYGON)],
        **changes,
    }


def annotation(number, image, segmentation, **changes):
    return {"id": number, "image_id": image, "category_id": 2, "segmentation": segmentation, **changes}


def frames(**changes):
    """The two images as frames of a video, the second one listed first."""
    videos = {"videos": [{"id": 1, "name": "clip", "fps": 5}]}
    images = [
        {"id": 6, "file_name": "clip/1.jpg", "width": 6, "height": 4, "video_id": 1, "frame_index": 1},
        {"id": 5, "file_name": "clip/0.jpg", "width": 6, "height": 4, "video_id": 1, "frame_index": 0},
    ]
    annotations = [
        annotation(1, 6, RUNS, track_id=9),
        annotation(2, 5, RUNS, track_id=9),
        annotation(3, 5, RUNS, track_id=4, iscrowd=1),
    ]
    return content(images=images, annotations=annotations) | videos | changes


@pytest.fixture
def read(tmp_path):
    def write_and_read(value, **options):
        return read_dataset(write_json(tmp_path / "instances.json", value), "coco", **options)

    return write_and_read


def test_images_are_videos_of_one_frame(read):
    dataset = read(content())
    assert [(v.id, v.name, v.num_frames, len(v.tracks)) for v in dataset.videos] == [
        (5, "a", 1, 2),
        (6, "b", 1, 1),
    ]
    tracks = [track for video in dataset.videos for track in video.tracks]
    assert [track.id for track in tracks] == [1, 2, 3]
    assert all(np.array_equal(pixels(track.rles[0]), SQUARE) for track in tracks)


def test_images_with_a_video_are_its_frames(read):
    (video,) = read(frames()).videos
    assert (video.name, video.fps, [path.name for path in video.frames]) == ("clip", 5.0, ["0.jpg", "1.jpg"])
    assert [(t.id, sorted(t.rles), t.crowd) for t in video.tracks] == [(9, [0, 1], False), (4, [0], True)]


def test_the_fields_of_cocovid_mean_the_same(read):
    text = json.dumps(frames()).replace("frame_index", "frame_id").replace("track_id", "instance_id")
    assert read(json.loads(text)) == read(frames())


def test_tracks_numbered_in_each_video_get_numbers_of_their_own(read):
    value = frames()
    value["images"][0]["video_id"] = 2
    dataset = read(value)
    assert [[track.id for track in video.tracks] for video in dataset.videos] == [[1], [2, 3]]


def test_frames_are_found_next_to_the_annotations_as_distributed(tmp_path):
    write_image(tmp_path / "val2017" / "a.jpg", (4, 6))
    write_image(tmp_path / "val2017" / "b.jpg", (4, 6))
    path = write_json(tmp_path / "annotations" / "instances_val2017.json", content())
    dataset = read_dataset(path, "coco", need_frames=True)
    assert dataset.videos[1].image(0).shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (content(annotations=[annotation(1, 7, RUNS)]), "annotation 1: its image 7 is not in the file"),
        (content(annotations=[annotation(1, 5, None)]), "annotation 1: it has no mask"),
        (content(annotations=[annotation(1, 5, RUNS), annotation(1, 5, RUNS)]), "track 1 already has a mask"),
        (content(images=[{"id": 5, "file_name": "a", "width": 6}]), "image 5: it lacks the field 'height'"),
        (content(annotations=[annotation(1, 5, RUNS, category_id=1)]), "category_id 1 is none"),
    ],
)
def test_what_is_wrong_with_images(read, value, text):
    with pytest.raises(DatasetError, match=text):
        read(value)
    assert read(value, lenient=True).problems


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"width": 8}, "video 1: its images have 2 sizes"),
        ({"frame_index": 0}, "video 1: two of its images have the same frame index"),
        ({"video_id": None}, "image 6: it has no video_id, but others have"),
        ({"id": 5}, "image 5: an earlier image has the same id"),
    ],
)
def test_what_is_wrong_with_frames(read, change, text):
    value = frames()
    value["images"][0] |= change
    with pytest.raises(DatasetError, match=text):
        read(value)


def test_a_track_cannot_change_its_class(read):
    value = frames(categories=[{"id": 2, "name": "cat"}, {"id": 3, "name": "dog"}])
    value["annotations"][1]["category_id"] = 3
    with pytest.raises(DatasetError, match="annotation 2: track 9 has another class in an earlier frame"):
        read(value)


def test_what_is_written_is_coco(read, tmp_path):
    write_dataset(read(frames()), tmp_path / "out", "coco")
    written = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert [(i["id"], i["video_id"], i["frame_index"], i["file_name"]) for i in written["images"]] == [
        (1, 1, 0, "clip/0.jpg"),
        (2, 1, 1, "clip/1.jpg"),
    ]
    first = written["annotations"][0]
    assert (first["bbox"], first["area"], first["track_id"]) == ([2, 1, 2, 2], 4, 9)
    assert sorted((a["image_id"], a["track_id"]) for a in written["annotations"]) == [(1, 4), (1, 9), (2, 9)]
