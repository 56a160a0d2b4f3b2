"""Which videos inputs stand for, and where their results go."""

from pathlib import Path

import pytest

from msnvis.engines.manifest import is_manifest, read_manifest
from msnvis.engines.tasks import list_tasks
from msnvis.errors import InputError, OptionError

OUT = Path("results")


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return folder


def listed(*inputs, output: Path = OUT) -> list[tuple[str, str]]:
    """Names of the inputs and paths of the folders of their results."""
    tasks = list_tasks([str(given) for given in inputs], output)
    return [(Path(task.address).name, str(task.folder.relative_to(output))) for task in tasks]


def test_an_input_alone_has_the_folder_itself():
    [task] = list_tasks(["street.mp4"], OUT)
    assert (task.address, task.folder, task.is_one_of_many) == ("street.mp4", OUT, False)


def test_several_have_folders_of_their_own_whatever_their_case():
    inputs = ["a/x.mp4", "b/X.mov", "rtsp://me:secret@door/x?s=1", "0", "c/x-2.avi"]
    names = ["x", "X-2", "x-3", "camera0", "x-2-2"]
    assert [str(t.folder) for t in list_tasks(inputs, OUT)] == [f"results/{name}" for name in names]


def test_a_folder_of_videos_is_its_videos_in_natural_order(tmp_path):
    touch(tmp_path, "clip10.MP4", "clip9.mkv", "notes.md", ".hidden.mp4", "inner/other.mp4")
    assert listed(tmp_path) == [("clip9.mkv", "clip9"), ("clip10.MP4", "clip10")]


def test_a_folder_of_one_video_still_gives_it_a_folder(tmp_path):
    assert listed(touch(tmp_path, "a.mp4")) == [("a.mp4", "a")]


@pytest.mark.parametrize("names", [("0.png", "1.png"), ("0.png", "film.mp4"), ("notes.md",), ()])
def test_any_other_folder_is_left_to_the_reader(tmp_path, names):
    folder = touch(tmp_path, *names)
    assert [task.address for task in list_tasks([str(folder)], OUT)] == [str(folder)]


def test_globs_of_videos_frames_and_folders(tmp_path):
    touch(tmp_path, "a.mp4", "b.txt", "sub/c.mov", "frames/x/0.png", "frames/y/0.png")
    assert listed(tmp_path / "*") == [("a.mp4", "a"), ("frames", "frames"), ("sub", "sub")]
    assert listed(tmp_path / "**" / "*.m*") == [("a.mp4", "a"), ("c.mov", "c")]
    assert listed(tmp_path / "frames" / "*") == [("x", "x"), ("y", "y")]
    images = str(tmp_path / "frames" / "*" / "*.png")
    assert [task.address for task in list_tasks([images], OUT)] == [images]
    assert [task.address for task in list_tasks([str(tmp_path / "*.avi")], OUT)] == [str(tmp_path / "*.avi")]


def test_results_are_no_inputs(tmp_path):
    touch(tmp_path, "a.mp4", "out/a/overlay.mp4")
    assert listed(tmp_path / "**" / "*.mp4", output=tmp_path / "out") == [("a.mp4", "a")]


def test_manifests(tmp_path):
    touch(tmp_path, "videos/a.mp4", "videos/b.mp4")
    text, table = tmp_path / "list.txt", tmp_path / "list.csv"
    text.write_text("\ufeff# a comment\n\nvideos/a.mp4\tfirst\nvideos/a, b.mp4\nrtsp://door/1\n", "utf-8")
    assert read_manifest(text) == [
        (3, str(tmp_path / "videos/a.mp4"), "first"),
        (4, str(tmp_path / "videos/a, b.mp4"), None),
        (5, "rtsp://door/1", None),
    ]
    table.write_text('input,output\n"videos/a, b.mp4",second\n/abs/c.mp4\n')
    assert read_manifest(table) == [
        (2, str(tmp_path / "videos/a, b.mp4"), "second"),
        (3, "/abs/c.mp4", None),
    ]
    assert listed(text, table, "first.mp4") == [
        ("a.mp4", "first"),
        ("a, b.mp4", "a, b"),
        ("1", "1"),
        ("a, b.mp4", "second"),
        ("c.mp4", "c"),
        ("first.mp4", "first-2"),
    ]
    assert not is_manifest(str(tmp_path / "gone.txt")) and not is_manifest(str(tmp_path))


def test_a_folder_of_videos_in_a_manifest(tmp_path):
    touch(tmp_path, "videos/a.mp4", "videos/b.mp4")
    manifest = tmp_path / "list.csv"
    manifest.write_text("videos\n")
    assert listed(manifest) == [("a.mp4", "a"), ("b.mp4", "b")]
    manifest.write_text("videos,both\n")
    with pytest.raises(
        OptionError, match=r"line 1: .*videos holds 2 videos, which cannot all be called 'both'"
    ):
        listed(manifest)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "lists no inputs"),
        (b"input,output\n", "lists no inputs"),
        (b"a.mp4,../b\n", r"line 1: '\.\./b' cannot name a folder"),
        (b"a.mp4,..\n", "cannot name a folder"),
        (b"a.mp4,/etc\n", "cannot name a folder"),
        (b"a.mp4,one\nb.mp4,ONE\n", "line 2: 'ONE' is the name in line 1 already"),
        (b"a.mp4,b,c\n", "line 1: give one input"),
        (b",b\n", "line 1: give one input"),
        (b"\xff\xfe\n", "write it as UTF-8"),
        (b'"' + b"x" * 200_000 + b'"\n', "cannot be read as a list"),
    ],
)
def test_bad_manifests_are_told_by_line(tmp_path, text, message):
    file = tmp_path / "list.csv"
    file.write_bytes(text)
    with pytest.raises(InputError, match=message):
        read_manifest(file)


def test_two_manifests_with_one_name(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(f"{name}.mp4,same\n")
    with pytest.raises(OptionError, match="two manifests"):
        listed(tmp_path / "a.csv", tmp_path / "b.csv")


def test_thousands_of_equal_names():
    tasks = list_tasks([f"{number}/video.mp4" for number in range(3000)], OUT)
    assert len({task.folder for task in tasks}) == 3000 and tasks[-1].folder == OUT / "video-3000"
