"""Labelme and CVAT: what people draw by hand."""

import base64
import io

import numpy as np
import pytest
from dataset_makers import SQUARE, pixels, write_image, write_json
from PIL import Image

from msnvis.datasets.formats import read_dataset
from msnvis.datasets.formats.cvat_shapes import Shape, between
from msnvis.datasets.problems import DatasetError
from msnvis.errors import InputError

SQUARE_POINTS = [[2, 1], [4, 1], [4, 3], [2, 3]]


def shape(points=SQUARE_POINTS, **fields):
    return {"label": "cat", "points": points, "group_id": 1, "shape_type": "polygon", "flags": {}} | fields


def labelme(folder, index, shapes, **fields):
    content = {
        "version": "5.5.0",
        "shapes": shapes,
        "imagePath": f"{index:05d}.jpg",
        "imageData": None,
        "imageHeight": 4,
        "imageWidth": 6,
    }
    return write_json(folder / f"{index:05d}.json", content | fields)


def png(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_labelme_groups_are_tracks(tmp_path):
    labelme(tmp_path / "clip", 0, [shape(), shape(group_id=2, label="dog")])
    labelme(tmp_path / "clip", 10, [shape(group_id=2, label="dog")])
    labelme(tmp_path / "other", 0, [shape()])
    dataset = read_dataset(tmp_path, "labelme")
    assert (dataset.classes, dataset.category_ids) == (("cat", "dog"), (1, 2))
    clip, other = dataset.videos
    assert (clip.name, clip.num_frames, clip.frames[1]) == ("clip", 2, tmp_path / "clip" / "00010.jpg")
    assert [(t.id, t.label, sorted(t.rles)) for t in (*clip.tracks, *other.tracks)] == [
        (1, 0, [0]),
        (2, 1, [0, 1]),
        (3, 0, [0]),
    ]
    assert np.array_equal(pixels(clip.tracks[0].rles[0]), SQUARE)


def test_labelme_images_that_were_moved_with_their_json_are_found(tmp_path):
    """Labelme keeps the path of the computer that it ran on."""
    labelme(tmp_path, 0, [shape()], imagePath="..\\raw\\00000.jpg")
    write_image(tmp_path / "00000.jpg", (4, 6))
    (video,) = read_dataset(tmp_path, "labelme", need_frames=True).videos
    assert video.frames == (tmp_path / "00000.jpg",)


@pytest.mark.parametrize(
    "fields",
    [
        {"shape_type": "rectangle", "points": [[4, 3], [2, 1]]},
        {"shape_type": "mask", "points": [[2, 1], [3, 2]], "mask": png(np.ones((2, 2), bool))},
    ],
    ids=["rectangle", "mask"],
)
def test_labelme_shapes(tmp_path, fields):
    labelme(tmp_path, 0, [shape(**fields)])
    (video,) = read_dataset(tmp_path, "labelme").videos
    assert np.array_equal(pixels(video.tracks[0].rles[0]), SQUARE)


def test_a_labelme_circle_has_the_area_of_a_circle(tmp_path):
    circle = shape(shape_type="circle", points=[[50, 50], [50, 80]])
    labelme(tmp_path, 0, [circle], imageHeight=100, imageWidth=100)
    (video,) = read_dataset(tmp_path, "labelme").videos
    assert pixels(video.tracks[0].rles[0]).sum() == pytest.approx(np.pi * 30**2, rel=0.02)


def test_parts_of_a_labelme_group_are_one_mask(tmp_path):
    labelme(tmp_path, 0, [shape(), shape([[0, 0], [6, 0], [6, 1], [0, 1]])])
    (track,) = read_dataset(tmp_path, "labelme").videos[0].tracks
    expected = SQUARE.copy()
    expected[0] = True
    assert np.array_equal(pixels(track.rles[0]), expected)


def test_labelme_shapes_without_group(tmp_path):
    labelme(tmp_path, 0, [shape(group_id=None)])
    labelme(tmp_path, 1, [shape(group_id=None)])
    (track,) = read_dataset(tmp_path, "labelme").videos[0].tracks
    assert sorted(track.rles) == [0, 1]
    labelme(tmp_path, 1, [shape(group_id=None)] * 2)
    with pytest.raises(DatasetError, match=r"00001.json: shape at place 1: a second 'cat' in the frame"):
        read_dataset(tmp_path, "labelme")


def test_labelme_images_can_be_elsewhere(tmp_path):
    labelme(tmp_path / "json" / "clip", 0, [shape()], imagePath="..\\frames\\00000.jpg")
    write_image(tmp_path / "images" / "clip" / "00000.jpg", (4, 6), 30)
    dataset = read_dataset(tmp_path / "json", "labelme", images=tmp_path / "images", need_frames=True)
    assert dataset.videos[0].image(0).mean() == 30


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"shapes": [shape(shape_type="point")]}, "shape at place 0: a shape of type 'point' has no area"),
        ({"shapes": [shape([[0, 0], [1, 1]])]}, "a polygon is a list of at least three points"),
        ({"shapes": [shape([["a", 0], [1, 1]])]}, "its points are not a list of x, y"),
        ({"shapes": [shape(shape_type="circle")]}, "a circle of 4 points; it takes 2"),
        (
            {"shapes": [shape(shape_type="mask", points=[[2, 1], [3, 2]], mask="no")]},
            "its mask is not an image",
        ),
        ({"shapes": [shape(group_id="1")]}, "its 'group_id' is not a whole number"),
        ({"imageHeight": None}, "its 'imageHeight' is not a whole number"),
        ({"imagePath": "/etc/passwd"}, "its imagePath '/etc/passwd' is not an image"),
        ({"imageWidth": 7}, "its .height, width. are .4, 7., those of the first .4, 6."),
    ],
)
def test_bad_labelme_entries_are_told(tmp_path, fields, text):
    labelme(tmp_path, 0, [shape()])
    labelme(tmp_path, 1, **({"shapes": []} | fields))
    with pytest.raises(DatasetError, match=text):
        read_dataset(tmp_path, "labelme")
    assert len(read_dataset(tmp_path, "labelme", lenient=True).problems) == 1


def cvat(folder, tracks, *, size=5, extra=""):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "annotations.xml"
    path.write_text(
        f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <name>street</name>
      <size>{size}</size>
      <mode>interpolation</mode>
      {extra}
      <labels><label><name>car</name></label><label><name>cat</name></label></labels>
      <original_size><width>6</width><height>4</height></original_size>
    </task>
  </meta>
  {tracks}
</annotations>"""
    )
    return path


def box(frame, x, outside=0, keyframe=1):
    return (
        f'<box frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0" '
        f'xtl="{x}" ytl="1.00" xbr="{x + 2}" ybr="3.00" z_order="0"></box>'
    )


def mask(runs, left):
    return f'<mask frame="0" outside="0" rle="{runs}" left="{left}" top="0" width="2" height="2"></mask>'


def columns(track):
    """Frame -> the columns that the mask covers."""
    return {
        index: np.flatnonzero(pixels(rle).any(axis=0)).tolist() for index, rle in sorted(track.rles.items())
    }


def test_cvat_boxes_move_between_keyframes_until_they_are_outside(tmp_path):
    cvat(tmp_path, f'<track id="0" label="cat">{box(1, 0)}{box(3, 4)}{box(4, 4, outside=1)}</track>')
    dataset = read_dataset(tmp_path, "cvat")
    assert dataset.classes == ("car", "cat")
    (video,) = dataset.videos
    assert (video.name, video.size, video.num_frames) == ("street", (4, 6), 5)
    assert video.frames[3].name == "frame_000003.PNG"
    (track,) = video.tracks
    assert track.label == 1
    assert columns(track) == {1: [0, 1], 2: [2, 3], 3: [4, 5]}
    assert np.array_equal(pixels(track.rles[2]), SQUARE)


def test_the_last_shape_of_a_cvat_track_stays(tmp_path):
    cvat(tmp_path, f'<track id="0" label="cat">{box(2, 2)}</track>')
    (track,) = read_dataset(tmp_path, "cvat").videos[0].tracks
    assert columns(track) == {2: [2, 3], 3: [2, 3], 4: [2, 3]}


def test_frames_that_cvat_interpolated_are_taken_as_they_are(tmp_path):
    cvat(tmp_path, f'<track id="0" label="cat">{box(0, 0)}{box(1, 4, keyframe=0)}{box(2, 2)}</track>', size=3)
    (track,) = read_dataset(tmp_path, "cvat").videos[0].tracks
    assert columns(track) == {0: [0, 1], 1: [4, 5], 2: [2, 3]}


def test_cvat_masks_run_along_the_rows_of_their_box(tmp_path):
    mask = '<mask frame="0" outside="0" rle="1, 2, 1, 2" left="2" top="1" width="3" height="2"></mask>'
    cvat(tmp_path, f'<track id="0" label="cat">{mask}</track>', size=2)
    (track,) = read_dataset(tmp_path, "cvat").videos[0].tracks
    expected = np.zeros((4, 6), int)
    expected[1:3, 2:5] = [[0, 1, 1], [0, 1, 1]]
    assert np.array_equal(pixels(track.rles[0]), expected)
    assert track.rles[1] == track.rles[0]


def test_cvat_polygons_and_turned_ellipses(tmp_path):
    polygon = '<polygon frame="0" outside="0" points="2,1;4,1;4,3;2,3"></polygon>'
    ellipse = '<ellipse frame="0" outside="0" cx="3" cy="2" rx="1" ry="3" rotation="90"></ellipse>'
    cvat(tmp_path, f'<track label="cat">{polygon}</track><track label="car">{ellipse}</track>', size=1)
    first, second = read_dataset(tmp_path, "cvat").videos[0].tracks
    assert np.array_equal(pixels(first.rles[0]), SQUARE)
    assert columns(second) == {0: [0, 1, 2, 3, 4, 5]}
    assert not pixels(second.rles[0])[[0, 3]].any()


def test_polygons_are_matched_along_their_outline():
    square = Shape("polygon", np.array([[0, 0], [4, 0], [4, 4], [0, 4]], float))
    # The same square, 8 to the right, with a corner more in the middle of its first side.
    other = Shape("polygon", np.array([[8, 0], [10, 0], [12, 0], [12, 4], [8, 4]], float))
    half = between(square, other, 0.5)
    assert half.values[[0, -2, -1]].tolist() == [[4, 0], [8, 4], [4, 4]]
    ends = between(other, square, 1.0).values
    assert np.array_equal(np.unique(ends, axis=0), np.unique(square.values, axis=0))


def test_cvat_turns_the_shorter_way():
    first = Shape("box", np.array([0.0, 0, 4, 4]), angle=350)
    second = Shape("box", np.array([2.0, 0, 6, 4]), angle=10)
    half = between(first, second, 0.5)
    assert (half.angle % 360, half.values.tolist()) == (0, [1, 0, 5, 4])


def test_filtered_cvat_frames_keep_the_numbers_of_the_video(tmp_path):
    extra = "<start_frame>10</start_frame><stop_frame>14</stop_frame><frame_filter>step=2</frame_filter>"
    cvat(tmp_path, f'<track id="0" label="cat">{box(10, 0)}{box(14, 4)}</track>', size=3, extra=extra)
    (video,) = read_dataset(tmp_path, "cvat").videos
    assert [frame.name for frame in video.frames] == [f"frame_0000{number}.PNG" for number in (10, 12, 14)]
    assert columns(video.tracks[0]) == {0: [0, 1], 1: [2, 3], 2: [4, 5]}


def test_several_cvat_exports_and_their_images(tmp_path):
    for name in ("a", "b"):
        cvat(tmp_path / name, f'<track id="0" label="cat">{box(0, 0)}</track>', size=1)
        write_image(tmp_path / name / "images" / "frame_000000.png", (4, 6), 30)
    dataset = read_dataset(tmp_path, "cvat", need_frames=True)
    assert [[track.id for track in video.tracks] for video in dataset.videos] == [[1], [2]]
    assert dataset.videos[1].image(0).mean() == 30
    write_image(tmp_path / "a" / "images" / "frame_000001.png", (4, 6))
    with pytest.raises(DatasetError, match="images holds 2 images for 1 frames"):
        read_dataset(tmp_path, "cvat")


@pytest.mark.parametrize(
    ("track", "text"),
    [
        ('<track id="3" label="dog"></track>', "track 3: its label 'dog' is not among the labels"),
        (
            '<track id="3" label="cat"><points frame="0" points="1,1"/></track>',
            "frame 0: a points has no area",
        ),
        (f'<track id="3" label="cat">{box(1, 0)}</track>', "track 3: frame 1 is not in the video"),
        (f'<track id="3" label="cat">{box(0, 0)}{box(0, 1)}</track>', "it has two shapes in frame 0"),
        ('<track id="3" label="cat"><box frame="0"/></track>', "it lacks the field 'xtl'"),
        ('<track id="3" label="cat"><polygon frame="0" points="1,1;2"/></track>', "track 3: "),
        (f'<track id="3" label="cat">{mask("9", 0)}</track>', "its run lengths do not fill its box of 2x2"),
        (f'<track id="3" label="cat">{mask("4", 5)}</track>', "a mask of 2x2 at .5, 0. is not in the frame"),
    ],
)
def test_bad_cvat_tracks_are_told(tmp_path, track, text):
    cvat(tmp_path, f'<track id="0" label="cat">{box(0, 0)}</track>{track}', size=1)
    with pytest.raises(DatasetError, match=text):
        read_dataset(tmp_path, "cvat")
    assert len(read_dataset(tmp_path, "cvat", lenient=True).videos[0].tracks) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotations", "it is not XML"),
        ("<a/>", "it is not an export of CVAT"),
        ("<annotations><image id='0'/></annotations>", "export .CVAT for video 1.1."),
        ("<annotations><meta><project/></meta></annotations>", "export each of its tasks"),
        ("<annotations/>", "it describes no task"),
        ('<!DOCTYPE a [<!ENTITY b "cc">]><annotations>&b;</annotations>', "declares a document type"),
        (
            "<annotations><meta><task><size>999999999</size><original_size><width>6</width><height>4</height>"
            "</original_size></task></meta></annotations>",
            "a video of 999999999 frames",
        ),
    ],
)
def test_files_that_are_no_cvat_video(tmp_path, text, said):
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(InputError, match=said):
        read_dataset(tmp_path / "annotations.xml", "cvat")


def test_a_cvat_archive_is_to_be_unpacked(tmp_path):
    (tmp_path / "task.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="zip archive; unpack the export"):
        read_dataset(tmp_path / "task.zip", "cvat")
