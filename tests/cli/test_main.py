"""The command as a whole: help, version, listings, and how wrong use is answered."""

import dataclasses
import inspect
import subprocess
import sys

import numpy as np
import pytest
import squares
from command import msnvis

import msnvis as package
from msnvis.cli.main import main
from msnvis.cli.run import run
from msnvis.cli.train import segmenter as train_segmenter_command
from msnvis.pipeline import VideoInstanceSegmenter
from msnvis.segmenters.training import TrainOptions
from msnvis.tracking import TrackingOptions


def test_version():
    outcome = msnvis("--version")
    assert (outcome.code, outcome.out) == (0, f"msnvis {package.__version__}\n")


def test_help_names_every_command():
    outcome = msnvis("--help")
    assert outcome.code == 0
    for command in ("run", "demo", "models", "info", "train"):
        assert f"\n  {command} " in outcome.out


def test_help_loads_no_network_library():
    code = (
        "import sys, msnvis.cli.main; from typer.main import get_command; get_command(msnvis.cli.main.app);"
        "print(sorted({'torch', 'cv2', 'av', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_models_lists_every_part():
    outcome = msnvis("models")
    assert outcome.code == 0
    for line in (
        ("segmenter", "compact"),
        ("segmenter", "precomputed"),
        ("segmenter", "torchvision:NAME"),
        ("propagator", "flow"),
        ("selector", "score"),
        ("selector", "propagator"),
        ("classifier", "efficientnet-lite0"),
        ("format", "ytvis"),
        ("labels", "ytvis2021"),
    ):
        assert any(tuple(row.split()[:2]) == line for row in outcome.out.splitlines()), line


def test_models_prints_the_costs_of_table_1_and_of_the_published_detectors():
    outcome = msnvis("models", "--cost")
    rows = {line.split()[0]: line.split()[1:] for line in outcome.out.splitlines()[1:]}
    assert rows["msn"] == ["1x8x256x256", "11.16", "2.22"]
    assert rows["selector-net"] == ["1x8x512x512", "11.71", "19.36"]
    # Published: 86, 107 and 145 M parameters, 745, 838 and 982 G.
    published = {"t": (86, 745), "s": (107, 838), "b": (145, 982)}
    for size, (parameters, macs) in published.items():
        shape, *counted = rows[f"swin-{size}-cascade"]
        assert shape == "1x3x800x1280"
        assert round(float(counted[0])) == parameters
        assert abs(float(counted[1]) - macs) < 2
    unknown = msnvis("models", "flow", "--cost")
    assert unknown.code == 2 and "msn, msn-lite, selector-net" in unknown.err


def test_info_says_what_a_video_is(tmp_path):
    clip = squares.write_clip(tmp_path / "clip.mp4", squares.frames())
    outcome = msnvis("info", clip)
    assert outcome.code == 0
    rows = dict(line.split(maxsplit=1) for line in outcome.out.splitlines()[1:])
    assert (rows["size"], rows["frames"], rows["rate"]) == ("80x48", "12", "10 fps")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], ["INPUT", "msnvis run --help"]),
        (["runn", "clip.mp4"], ["runn", "msnvis --help"]),
        (["run", "clip.mp4", "--directoin", "both"], ["--directoin", "msnvis run --help"]),
        (["run", "clip.mp4", "--stride", "two"], ["--stride", "integer"]),
        (["info", "nowhere.mp4"], ["nowhere.mp4 does not exist"]),
        (
            ["train", "segmenter", "--annotations", "a.json", "--images", "a", "--images", "b", "-o", "x"],
            ["--images 2 times"],
        ),
    ],
)
def test_wrong_use_is_one_sentence(arguments, words):
    outcome = msnvis(*arguments)
    assert outcome.code == 2
    assert outcome.err.startswith("msnvis: error: ")
    assert outcome.err.count("\n") == 1
    assert all(word in outcome.err for word in words)


def test_unexpected_errors_are_one_sentence_unless_debugging(monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("no\nluck")

    monkeypatch.setattr("msnvis.io.readers.open_source", fail)
    outcome = msnvis("info", "clip.mp4")
    assert outcome.code == 1
    assert outcome.err.startswith("msnvis: error: unexpected ZeroDivisionError: no luck (")
    with pytest.raises(ZeroDivisionError):
        msnvis("--debug", "info", "clip.mp4")


def test_defaults_are_those_of_the_library():
    library = inspect.signature(VideoInstanceSegmenter).parameters
    command = inspect.signature(run).parameters
    shared = command.keys() & library.keys()
    assert len(shared) >= 10
    assert {name: command[name].default for name in shared} == {
        name: library[name].default for name in shared
    }
    assert command["keep_alive"].default == TrackingOptions().max_lost


def test_training_defaults_are_those_of_the_library():
    library = {field.name: field.default for field in dataclasses.fields(TrainOptions)}
    command = inspect.signature(train_segmenter_command).parameters
    # A list that is not given is None on the command line.
    shared = (command.keys() & library.keys()) - {"output", "canvases", "short_sides"}
    assert len(shared) >= 8
    assert {name: command[name].default for name in shared} == {name: library[name] for name in shared}


def test_public_names_are_there_and_no_others():
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018
    found = package.Detections.from_masks(np.ones((1, 2, 2), bool), [0.5], [[1.0]])
    assert package.create_selector("score").prefer(np.zeros((2, 2, 3), np.uint8), found, found).shape == (1,)


def test_info_goes_on_after_a_bad_video(tmp_path):
    clip = squares.write_clip(tmp_path / "clip.mp4", squares.frames(3))
    outcome = msnvis("info", tmp_path / "gone.mp4", clip)
    assert outcome.code == 2
    assert "gone.mp4 does not exist" in outcome.err and outcome.out.startswith("clip.mp4")


def test_of_several_processes_the_first_tells_an_error_that_all_met(monkeypatch):
    def ended_by_the_launcher(seconds):
        raise SystemExit(15)

    monkeypatch.setattr("time.sleep", ended_by_the_launcher)
    told = {}
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        told[rank] = msnvis("run", "gone.mp4", "--direction", "sideways").err
    assert "sideways" in told["0"] and told["1"] == ""


def test_a_process_that_is_not_ended_tells_its_own_error(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    outcome = msnvis("run", "gone.mp4", "--direction", "sideways")
    assert outcome.code == 2 and "sideways" in outcome.err


def test_ctrl_c_before_the_command_has_begun(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("msnvis.cli.main.app", interrupted)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "msnvis: error: interrupted\n"
