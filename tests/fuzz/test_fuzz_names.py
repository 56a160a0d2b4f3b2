"""No name inside a file leads out of the folder that results are written to, or that a dataset is in."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import squares
from command import msnvis
from fuzz_mutations import NAMES
from fuzz_readers import READERS, SIZE, save_map
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msnvis import masks as mask_ops
from msnvis.datasets.coco import read_coco
from msnvis.datasets.formats import read_dataset
from msnvis.errors import InputError
from msnvis.io.addresses import network_name
from msnvis.io.names import file_name
from msnvis.io.readers import open_source

DEVICES = ("CON", "nul.txt", "Aux", "lpt9.tar.gz", "COM1 .jpg")


@pytest.fixture
def inner(tmp_path):
    """A folder deep enough for ``../..`` to be seen, in which commands run."""
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outer"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["inner"]


def write_dataset(folder, reader, change=None):
    """The valid input of a reader, its json changed by `change`."""
    for name, data in READERS[reader].make().items():
        if change and name.endswith(".json"):
            content = json.loads(data)
            change(content)
            data = json.dumps(content).encode()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("text", [*NAMES, *DEVICES])
def test_any_name_becomes_one_of_a_file(tmp_path, text):
    name = file_name(text, "else")
    assert name and name not in (".", "..") and not set(name) & set('/\\:*?"<>|\0')
    assert name.split(".")[0].rstrip().upper() not in {"CON", "NUL", "AUX", "LPT9", "COM1"}
    assert not name.endswith((".", " "))
    (tmp_path / name).touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("frames", ["none", "copy", "link"])
@pytest.mark.parametrize("name", [*NAMES, "{folder}/escaped"])
def test_names_of_videos_stay_in_the_folder(inner, name, frames):
    def rename(content):
        for video in content["videos"]:
            video["name"] = name.format(folder=inner.parent)

    write_dataset(inner / "set", "dataset ytvis", rename)
    how = "--from", "ytvis", "--to", "ytvis", "-o", inner / "out", "--frames", frames
    outcome = msnvis("convert", inner / "set", *how)
    if name == "\ud800":
        assert outcome.code == 2
    else:
        assert outcome.code == 0, outcome.err
        assert len(list((inner / "out" / "JPEGImages").glob("*"))) == (0 if frames == "none" else 2)
    assert sorted(path.name for path in inner.iterdir()) == ["out", "set"][outcome.code // 2 :]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_frames_stay_in_the_folder(inner, name):
    def rename(content):
        content["videos"][0]["file_names"][0] = name

    write_dataset(inner / "set", "dataset ytvis", rename)
    how = "--from", "ytvis", "--to", "ytvis", "-o", inner / "out", "--frames", "copy"
    outcome = msnvis("convert", inner / "set", *how)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert [path.name for path in inner.iterdir()] == ["set"]


def test_names_of_cvat_tasks_stay_in_the_folder(inner):
    write_dataset(inner / "set", "dataset cvat")
    annotations = inner / "set" / "annotations.xml"
    annotations.write_text(annotations.read_text().replace("<name>clip<", "<name>../../escaped<"))
    how = "--from", "cvat", "--to", "ytvis", "-o", inner / "out", "--frames", "copy"
    assert msnvis("convert", inner / "set", *how).code == 0
    assert [path.name for path in (inner / "out" / "JPEGImages").iterdir()] == [".._.._escaped"]


def test_inputs_with_odd_names_get_folders_of_their_own_in_the_output(inner):
    """Without their endings, these files are called ``..``, ``.`` and nothing."""
    clips = [squares.write_clip(inner / name, squares.frames(2)) for name in ("a.mp4", "b.mp4", "c.mp4")]
    odd = [clip.rename(inner / name) for clip, name in zip(clips, ("...mp4", "..mp4", " .mp4"), strict=True)]
    parts = "--segmenter", "squares", "--classifier", "none", "-f", "ytvis"
    outcome = msnvis("run", *odd, "-o", inner / "out", *parts)
    assert outcome.code == 0, outcome.err
    made = sorted(path.relative_to(inner / "out").parts for path in (inner / "out").rglob("tracks.json"))
    assert len(made) == 3 and all(len(parts) == 2 for parts in made)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://host/..", "stream"),
        ("http://host/a/../..", "stream"),
        ("rtsp://user:word@host:554/", "host_554"),
        ("http://host/..\\..\\x?a=b", ".._.._x"),
        ("http://host/" + "x" * 500, "x" * 100),
    ],
)
def test_addresses_are_named_after_their_last_part(address, name):
    assert network_name(address) == name


def test_a_source_is_never_called_after_a_folder_above(tmp_path):
    clip = squares.write_clip(tmp_path / "a.mp4", squares.frames(2)).rename(tmp_path / "...mp4")
    assert open_source(clip).name == "video"


STEPS = st.sampled_from(["..", ".", "a", "~", "C:", "", "left", "bear", "stranger.png", "img0", "m1.png"])
PATHS = st.tuples(
    st.sampled_from(["", "/", "{top}/", "{top}\\a\\"]),
    st.lists(STEPS, max_size=4),
    st.sampled_from("/\\"),
    st.sampled_from(["stranger", "00000"]),
)
#: Reader, file with names, one of them, and its ending.
NAMED = [
    ("dataset ytvis", "instances.json", "left/00000.png", ".png"),
    ("dataset coco", "instances.json", "left/00000.png", ".png"),
    ("dataset labelme", "000.json", "000.png", ".png"),
    ("dataset openimages", "train-annotations.csv", "img0", ""),
    ("dataset openimages", "train-annotations.csv", "m0.png", ".png"),
    ("dataset davis", "ImageSets/train.txt", "bear", ""),
]


@pytest.mark.parametrize(("reader", "file", "old", "ending"), NAMED, ids=[f"{n[0]} {n[2]}" for n in NAMED])
def test_no_name_in_a_dataset_leads_out_of_its_folder(tmp_path, reader, file, old, ending):
    """Around it lie images, as masks all white, and folders of them, which could be read and copied."""
    folder, format = tmp_path / "a" / "b" / "set", reader.split()[1]
    write_dataset(folder, reader)
    whole = (folder / file).read_text()
    assert old in whole
    for above in (tmp_path, tmp_path / "a"):  # one folder up frames are looked for, as in official layouts
        for name in ("stranger.png", "stranger.jpg", "stranger/00000.png"):
            save_map(above / name, np.full(SIZE, 255, np.uint8))
    path = folder if format == "labelme" else folder / file

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(PATHS)
    def check(drawn):
        start, steps, between, last = drawn
        name = start.format(top=tmp_path) + between.join([*steps, last]) + ending
        (folder / file).write_text(whole.replace(old, json.dumps(name)[1:-1] if "json" in file else name))
        try:
            found = read_dataset(path, format, lenient=True)
        except InputError:
            return
        frames = [frame for video in found.videos for frame in video.frames]
        assert all(Path(os.path.normpath(frame)).is_relative_to(folder) for frame in frames)
        tracks = [track for video in found.videos for track in video.tracks]
        areas = mask_ops.areas([rle for track in tracks for rle in track.rles.values()])
        assert SIZE[0] * SIZE[1] not in areas

    check()


@pytest.mark.parametrize("name", ["../stranger.jpg", "/stranger.jpg", "a/../../stranger.jpg"])
def test_no_name_among_images_to_train_on_leads_out_of_their_folder(tmp_path, name):
    write_dataset(tmp_path, "training images", lambda content: content["images"][0].update(file_name=name))
    with pytest.raises(InputError, match="does not lie in the folder of the frames"):
        read_coco(tmp_path / "coco.json", tmp_path)
