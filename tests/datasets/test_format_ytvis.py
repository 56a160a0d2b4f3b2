import os

import numpy as np
import pytest
from dataset_makers import (
    COMPRESSED,
    RUNS,
    SQUARE,
    pixels,
    write_frames,
    write_image,
    write_json,
    ytvis_content,
)

from msnvis.datasets.formats import read_dataset, write_dataset
from msnvis.datasets.problems import DatasetError, count_by_kind
from msnvis.errors import InputError, OptionError, OutputError, UnknownPartError


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, **options):
        return read_dataset(write_json(tmp_path / "instances.json", content), "ytvis", **options)

    return write_and_read


def test_videos_tracks_and_every_kind_of_mask(read):
    dataset = read(ytvis_content())
    assert dataset.classes == ("person", "airplane")
    assert dataset.category_ids == (26, 1)
    first, second = dataset.videos
    assert (first.id, first.name, first.size, first.num_frames) == (3, "clip", (4, 6), 2)
    assert [(t.id, t.label, t.crowd, sorted(t.rles)) for t in first.tracks] == [
        (7, 1, False, [0]),
        (8, 0, True, [0, 1]),
    ]
    for track in first.tracks:
        assert all(np.array_equal(pixels(rle), SQUARE) for rle in track.rles.values())
    assert (second.name, second.tracks) == ("other", ())


def test_public_validation_sets_have_no_annotations(read):
    assert [v.tracks for v in read(ytvis_content() | {"annotations": None}).videos] == [(), ()]
    content = ytvis_content()
    del content["annotations"]
    assert len(read(content).videos) == 2


def test_sizes_of_masks_become_whole_numbers(read):
    content = ytvis_content()
    content["annotations"][1]["segmentations"] = [COMPRESSED | {"size": [4.0, 6.0]}, []]
    rles = read(content).videos[0].tracks[1].rles
    assert [type(side) for side in rles[0]["size"]] == [int, int]
    assert sorted(rles) == [0]  # nothing is not an empty mask


@pytest.mark.parametrize(
    ("file", "frames"),
    [
        ("train.json", "train/JPEGImages"),  # 2019
        ("train/instances.json", "train/JPEGImages"),  # 2021, 2022
        ("annotations_train.json", "train"),  # OVIS
        ("annotations/train.json", "JPEGImages"),
    ],
)
def test_frames_are_found_in_the_official_layouts(tmp_path, file, frames):
    content = ytvis_content()
    write_json(tmp_path / file, content)
    write_frames(tmp_path / frames, content)
    dataset = read_dataset(tmp_path / file, "ytvis", need_frames=True)
    images = list(dataset.videos[0].images())
    assert [image.shape for image in images] == [(4, 6, 3)] * 2
    assert [round(image.mean(), -1) for image in images] == [0, 10]


def test_frames_can_be_anywhere(read, tmp_path):
    content = ytvis_content()
    frames = write_frames(tmp_path / "elsewhere", content)
    dataset = read(content, images=frames, need_frames=True)
    assert dataset.videos[0].frames[1] == frames / "clip" / "00005.jpg"
    with pytest.raises(InputError, match="nowhere is not a folder"):
        read(content, images=tmp_path / "nowhere")


def test_missing_frames_are_told_only_where_frames_are_needed(read, tmp_path):
    content = ytvis_content()
    frames = write_frames(tmp_path / "JPEGImages", content)
    (frames / "clip" / "00005.jpg").unlink()
    assert len(read(content).videos) == 2
    with pytest.raises(DatasetError, match=r"1 of its 2 frames are missing, first .*00005.jpg"):
        read(content, need_frames=True)
    assert [v.id for v in read(content, need_frames=True, lenient=True).videos] == [4]


def test_a_frame_of_another_size_is_named_when_it_is_read(read, tmp_path):
    content = ytvis_content()
    write_frames(tmp_path / "JPEGImages", content)
    write_image(tmp_path / "JPEGImages" / "clip" / "00005.jpg", (8, 6))
    with pytest.raises(InputError, match=r"00005.jpg is 6x8 but video 'clip' is annotated as 6x4"):
        list(read(content).videos[0].images())


def change(*path_and_value):
    """A change of one value deep in the content."""
    *path, last, value = path_and_value

    def apply(content):
        inner = content
        for key in path:
            inner = inner[key]
        inner[last] = value

    return apply


ANNOTATION = ("annotations", 0)
VIDEO = ("videos", 0)
BROKEN = [
    (change(*ANNOTATION, "segmentations", [RUNS]), "annotation 7: it has 1 segmentations for the 2 frames"),
    (change(*ANNOTATION, "bboxes", [None] * 3), "annotation 7: it has 3 bboxes for the 2 frames"),
    (change(*ANNOTATION, "areas", []), "annotation 7: it has 0 areas for the 2 frames"),
    (
        change(*ANNOTATION, "height", 5),
        r"annotation 7: its height and width are \(5, 6\), those of .* \(4, 6\)",
    ),
    (change(*ANNOTATION, "category_id", 2), "annotation 7: its category_id 2 is none of the categories"),
    (change(*ANNOTATION, "category_id", "1"), "annotation 7: its 'category_id' is not a whole number"),
    (change(*ANNOTATION, "id", 8), "annotation 8: an earlier annotation has the same id"),
    (change(*ANNOTATION, "id", None), "annotation at place 0: its 'id' is not a whole number"),
    (change(*ANNOTATION, "video_id", 9), "annotation 7: its video 9 is not in the file"),
    (change(*ANNOTATION, "iscrowd", "no"), "annotation 7: its 'iscrowd' is neither 0 nor 1"),
    (change(*ANNOTATION, "segmentations", None), "annotation 7: its 'segmentations' is not a list"),
    (change("annotations", 0, "text"), "annotation at place 0: it is not an object"),
    (change(*ANNOTATION, "segmentations", 0, "size", [6, 4]), r"frame 0: a mask of size \[6, 4\] in a frame"),
    (change(*ANNOTATION, "segmentations", 0, "counts", [9, 2]), "frame 0: the runs cover 11 pixels .* of 24"),
    (change(*ANNOTATION, "segmentations", 0, "counts", "zz!"), "frame 0: 'counts' is not a COCO"),
    (change(*ANNOTATION, "segmentations", 0, [[0, 0, 1]]), "frame 0: a polygon is a list of at least three"),
    (change(*ANNOTATION, "segmentations", 0, [[0, 0, 1e9, 0, 1e9, 1e9]]), "leaves the frame of 6x4 by far"),
    (change("categories", 1, "id", 26), "category 26: an earlier category has the same id or name"),
]


@pytest.mark.parametrize(("apply", "text"), BROKEN)
def test_what_is_wrong_is_told_with_the_entry(read, apply, text):
    content = ytvis_content()
    apply(content)
    with pytest.raises(DatasetError, match=text) as raised:
        read(content)
    assert all(problem.file.endswith("instances.json") for problem in raised.value.problems)
    lenient = read(content, lenient=True)
    assert lenient.problems == raised.value.problems
    assert len(lenient.videos[0].tracks) < 2


BROKEN_VIDEOS = [
    (change(*VIDEO, "length", 3), "video 3: its length is 3, but it has 2 file names"),
    (change(*VIDEO, "file_names", []), "video 3: its 'file_names' are not a list of names"),
    (change(*VIDEO, "file_names", [1, 2]), "video 3: its 'file_names' are not a list of names"),
    (
        change(*VIDEO, "file_names", ["../../secret.jpg", "b.jpg"]),
        "video 3: the file name '../../secret.jpg'",
    ),
    (change(*VIDEO, "file_names", ["/etc/a.jpg", "b.jpg"]), "does not lie in the folder of the frames"),
    (change(*VIDEO, "width", 10**9), "video 3: a frame of 1000000000 x 4 pixels"),
    (change(*VIDEO, "height", 0), "video 3: a frame of 6 x 0 pixels"),
    (change(*VIDEO, "width", 6.5), "video 3: its 'width' is not a whole number"),
    (change(*VIDEO, "fps", float("nan")), "video 3: its 'fps' is no frame rate"),
]


@pytest.mark.parametrize(("apply", "text"), BROKEN_VIDEOS)
def test_a_bad_video_takes_its_annotations_along(read, apply, text):
    content = ytvis_content()
    apply(content)
    with pytest.raises(DatasetError, match=text):
        read(content)
    lenient = read(content, lenient=True)
    assert [video.id for video in lenient.videos] == [4]
    assert count_by_kind(lenient.problems) == "1 video and 2 annotations"
    assert "its video 3 itself has a problem" in str(lenient.problems[1])


def test_of_two_videos_with_one_id_the_first_counts(read):
    content = ytvis_content()
    content["videos"][1]["id"] = 3
    (video,) = read(content, lenient=True).videos
    assert (video.name, len(video.tracks)) == ("clip", 2)


def test_all_problems_are_counted_and_twenty_listed(read):
    content = ytvis_content()
    content["annotations"] = [{"id": number} for number in range(30)]
    with pytest.raises(DatasetError) as raised:
        read(content)
    lines = str(raised.value).splitlines()
    assert lines[0].endswith(
        "has 30 bad entries; correct them, or leave them out with --lenient (lenient=True):"
    )
    assert len(lines) == 22
    assert lines[-1].strip() == "and 10 more"
    assert len(raised.value.problems) == 30


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "lacks the field 'categories'"),
        ('{"categories": [], "videos": {}}', "'videos' is not a list"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_none_at_all_is_one_sentence(tmp_path, text, said):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as raised:
        read_dataset(path, "ytvis", lenient=True)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_an_unknown_format_are_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_dataset(tmp_path / "none.json", "ytvis")
    with pytest.raises(UnknownPartError, match="no dataset format is called 'ytvsi'; did you mean 'ytvis'"):
        read_dataset(tmp_path, "ytvsi")


@pytest.mark.parametrize("frames", ["copy", "link"])
def test_frames_come_along(read, tmp_path, frames):
    content = ytvis_content()
    write_frames(tmp_path / "JPEGImages", content)
    dataset = read(content)
    output = tmp_path / "out"
    write_dataset(dataset, output, "ytvis", frames=frames)
    again = read_dataset(output, "ytvis", need_frames=True)
    file = again.videos[0].frames[1]
    assert file == output / "JPEGImages" / "clip" / "00005.jpg"
    assert os.path.islink(file) is (frames == "link")
    assert np.array_equal(again.videos[0].image(1), dataset.videos[0].image(1))
    assert [video.tracks for video in again.videos] == [video.tracks for video in dataset.videos]


def test_writing_is_all_or_nothing_and_never_into_what_is_there(read, tmp_path):
    dataset = read(ytvis_content())
    with pytest.raises(InputError, match=r"00000.jpg is missing"):
        write_dataset(dataset, tmp_path / "out", "ytvis", frames="copy")
    assert [path.name for path in tmp_path.iterdir()] == ["instances.json"]
    with pytest.raises(OutputError, match="not an empty folder"):
        write_dataset(dataset, tmp_path, "ytvis")
    with pytest.raises(OptionError, match="not written as 'davis'"):
        write_dataset(dataset, tmp_path / "out", "davis")
    with pytest.raises(OptionError, match="none, link, copy, not 'move'"):
        write_dataset(dataset, tmp_path / "out", "ytvis", frames="move")


def test_names_from_strangers_stay_in_the_output(read, tmp_path):
    content = ytvis_content()
    write_frames(tmp_path / "JPEGImages", content)
    content["videos"][0]["name"] = "../../up"
    content["videos"][1]["name"] = ".."
    write_dataset(read(content), tmp_path / "a" / "b" / "out", "ytvis", frames="copy")
    folders = sorted(path.name for path in (tmp_path / "a" / "b" / "out" / "JPEGImages").iterdir())
    assert folders == [".._.._up", "video4"]


def test_whole_numbers_may_be_written_as_floats_and_flags_as_null(tmp_path):
    """As programs on tables write them."""
    content = ytvis_content()
    expected = read_dataset(write_json(tmp_path / "a.json", content), "ytvis")
    content["videos"][0] |= {"id": 3.0, "width": 6.0, "length": 2.0}
    content["annotations"][0] |= {"id": 7.0, "video_id": 3.0, "category_id": 1.0, "iscrowd": None}
    assert read_dataset(write_json(tmp_path / "b.json", content), "ytvis") == expected
    content["annotations"][0]["id"] = 7.5
    with pytest.raises(DatasetError, match="its 'id' is not a whole number"):
        read_dataset(write_json(tmp_path / "c.json", content), "ytvis")


def test_names_of_windows_files(tmp_path):
    content = ytvis_content()
    frames = write_frames(tmp_path / "JPEGImages", content)
    for video in content["videos"]:
        video["file_names"] = [name.replace("/", "\\") for name in video["file_names"]]
    dataset = read_dataset(write_json(tmp_path / "a.json", content), "ytvis", need_frames=True)
    assert [video.name for video in dataset.videos] == ["clip", "other"]
    assert dataset.videos[0].frames[1] == frames / "clip" / "00005.jpg"
