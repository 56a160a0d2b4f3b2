"""Any dataset survives writing and reading, and no json brings a reader down."""

import copy
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from dataset_makers import datasets, write_json, ytvis_content
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msnvis.datasets.formats import read_dataset, write_dataset
from msnvis.datasets.video import DEFAULT_FPS
from msnvis.errors import InputError

FRAMES = Path("/frames")
quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def there_and_back(dataset, format):
    """`dataset` written and read again, frames as they were named."""
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(dataset, Path(folder) / "out", format)
        images = Path(folder) / "frames"
        images.mkdir()
        again = read_dataset(Path(folder) / "out", format, images=images)
        videos = [
            replace(video, frames=tuple(FRAMES / frame.relative_to(images) for frame in video.frames))
            for video in again.videos
        ]
    return replace(again, videos=videos)


@quick
@given(datasets())
def test_ytvis_there_and_back(dataset):
    named = replace(dataset, videos=[replace(v, name=v.frames[0].parent.name) for v in dataset.videos])
    assert there_and_back(named, "ytvis") == named


@quick
@given(datasets())
def test_coco_there_and_back(dataset):
    of_images = all(video.num_frames == 1 for video in dataset.videos)
    if of_images:  # named after their files, and without a clock
        videos = [
            replace(video, name=f"v{video.id}", frames=(FRAMES / f"v{video.id}.jpg",), fps=DEFAULT_FPS)
            for video in dataset.videos
        ]
    else:
        videos = [replace(video, name=f"v{video.id}") for video in dataset.videos]
    named = replace(dataset, videos=videos)
    assert there_and_back(named, "coco") == named


@quick
@given(datasets())
def test_coco_in_between_loses_nothing_of_ytvis(dataset):
    if any(video.num_frames > 1 for video in dataset.videos):
        named = replace(dataset, videos=[replace(v, name=f"v{v.id}") for v in dataset.videos])
        assert there_and_back(there_and_back(named, "coco"), "ytvis") == named


def paths(tree, path=()):
    """The places of all values in a json tree."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from paths(value, (*path, key))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 1, 2**31, 2**63, 10**30, 10**400])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["", "..", "/", "\0", "\ud800", "0" * 300]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "size", "counts"]), inner)
    ),
    max_leaves=5,
)


def mutated(data, tree):
    """`tree` with up to three values replaced or removed."""
    tree = copy.deepcopy(tree)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(paths(tree))))
        if not path:
            continue
        inner = tree
        for key in path[:-1]:
            inner = inner[key]
        if data.draw(st.booleans()):
            inner[path[-1]] = data.draw(ANYTHING)
        else:
            del inner[path[-1]]
    return tree


COCO = {
    "images": [{"id": 1, "video_id": 1, "frame_index": 0, "file_name": "a/0.jpg", "width": 6, "height": 4}],
    "videos": [{"id": 1, "name": "a", "fps": 6}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 1,
            "track_id": 2,
            "category_id": 1,
            "iscrowd": 0,
            "segmentation": {"size": [4, 6], "counts": [9, 2, 2, 2, 9]},
        },
        {"id": 2, "image_id": 1, "track_id": 3, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2]]},
    ],
}
LABELME = {
    "imageHeight": 4,
    "imageWidth": 6,
    "imagePath": "0.jpg",
    "shapes": [
        {"label": "a", "group_id": 1, "shape_type": kind, "points": [[0, 0], [2, 3]], "mask": "iVBORw0KGgo="}
        for kind in ("rectangle", "mask", "circle")
    ],
}


@pytest.mark.parametrize(
    ("format", "tree"), [("ytvis", ytvis_content()), ("coco", COCO), ("labelme", LABELME)]
)
def test_no_json_brings_a_reader_down(format, tree):
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        with tempfile.TemporaryDirectory() as folder:
            path = write_json(Path(folder) / "a.json", mutated(data, tree))
            path = path.parent if format == "labelme" else path
            try:
                lenient = read_dataset(path, format, lenient=True)
            except InputError as error:
                assert str(error)  # not of this format at all
                return
            if lenient.problems:
                with pytest.raises(InputError):
                    read_dataset(path, format)
            else:
                assert read_dataset(path, format) == lenient

    check()


def test_the_unbroken_trees_are_read(tmp_path):
    for format, tree in (("ytvis", ytvis_content()), ("coco", COCO)):
        assert read_dataset(write_json(tmp_path / f"{format}.json", tree), format).videos
    assert json.dumps(LABELME)


SHAPES = {
    "box": {"xtl": "0", "ytl": "0", "xbr": "3", "ybr": "3", "rotation": "10"},
    "ellipse": {"cx": "2", "cy": "2", "rx": "1", "ry": "1"},
    "polygon": {"points": "0,0;2,0;2,2"},
    "mask": {"rle": "1, 2, 1", "left": "0", "top": "0", "width": "2", "height": "2"},
}
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 3, 10**20])
TEXT = st.lists(NUMBERS, max_size=6).map(lambda n: ",".join(map(str, n))) | st.sampled_from(
    ["", ";", "1,1;", "x"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.sampled_from(sorted(SHAPES)))
def test_no_cvat_shape_brings_the_reader_down(data, kind):
    changed = {**SHAPES[kind], "frame": "0", "outside": "0"}
    changed[data.draw(st.sampled_from(sorted(changed)))] = data.draw(TEXT)
    attributes = " ".join(f'{key}="{value}"' for key, value in changed.items())
    text = (
        "<annotations><meta><task><size>3</size><labels><label><name>a</name></label></labels><original_size>"
        "<width>6</width><height>4</height></original_size></task></meta>"
        f'<track id="0" label="a"><{kind} {attributes}/></track></annotations>'
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "annotations.xml"
        path.write_text(text)
        dataset = read_dataset(path, "cvat", lenient=True)
    (video,) = dataset.videos
    assert len(video.tracks) + len(dataset.problems) >= 1
