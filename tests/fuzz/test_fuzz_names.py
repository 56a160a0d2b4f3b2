"""No name inside a file leads out of the folder that results are written to."""

import json
import os
from pathlib import Path

import pytest
import squares
from command import msnvis
from fuzz_mutations import NAMES
from fuzz_readers import READERS

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
