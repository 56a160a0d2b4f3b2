"""`msnvis run` on streams that drop out, and on inputs that give no frame or not all of them."""

import inspect
import json
import os
import re
import signal

import pytest
import squares
from command import files_in, msnvis
from dropping import dropping_server

from msnvis.cli.run import run
from msnvis.io.live import RECONNECT_SECONDS

PARTS = ("--segmenter", "squares", "--classifier", "none", "-f", "ytvis")


@pytest.fixture(autouse=True)
def parts():
    squares.register()


@pytest.fixture
def clip(tmp_path):
    return squares.write_clip(tmp_path / "clip.mpg", squares.frames(8))


def content(folder):
    return json.loads((folder / "tracks.json").read_text())


def test_a_stream_that_drops_out_has_a_cut_and_a_gap_there(clip, tmp_path):
    later = squares.write_clip(tmp_path / "later.mpg", squares.frames(12)[4:])
    answers = [clip.read_bytes(), None, later.read_bytes()]
    with dropping_server(answers) as (_, address):
        outcome = msnvis("run", address, "-o", tmp_path / "out", *PARTS, "-f", "overlay", "--reconnect", 2)
    assert outcome.code == 0, outcome.err
    assert "dropped out before frame 8" in outcome.err and "broke off after frame 15" in outcome.err
    video = content(tmp_path / "out")["videos"][0]
    [[frame, seconds]] = video["gaps"]
    assert frame == 8 and video["cuts"] == [8] and video["length"] == 16
    assert video["timestamps"][8] - video["timestamps"][7] == pytest.approx(seconds)
    for track in content(tmp_path / "out")["annotations"]:  # nobody is in both shots
        seen = [index for index, mask in enumerate(track["segmentations"]) if mask]
        assert max(seen) < 8 or min(seen) >= 8
    assert json.loads((tmp_path / "out" / "run.json").read_text())["gaps"] == video["gaps"]


def test_the_default_is_that_of_the_library():
    assert inspect.signature(run).parameters["reconnect"].default == RECONNECT_SECONDS


def test_patience_that_makes_no_sense_is_one_sentence(clip, tmp_path):
    outcome = msnvis("run", clip, "-o", tmp_path / "out", *PARTS, "--reconnect", "-1")
    assert outcome.code == 2 and "--reconnect" in outcome.err and not (tmp_path / "out").exists()


def test_ctrl_c_while_waiting_for_a_stream_ends_at_once_with_what_there_is(clip, tmp_path):
    press = lambda: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    with dropping_server([clip.read_bytes(), press]) as (server, address):
        outcome = msnvis("run", address, "-o", tmp_path / "out", *PARTS, "--reconnect", 3600)
        assert len(server.requests) == 2
    assert outcome.code == 130
    assert "was interrupted: 8 frames were processed" in outcome.err and "Traceback" not in outcome.err
    assert content(tmp_path / "out")["videos"][0]["length"] == 8


def test_a_start_behind_the_end_is_told_and_leaves_no_folder(clip, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    write_images(frames, [f"{number}.png" for number in range(8)])
    for given in (clip, frames):
        for start in ("8", "5s"):
            outcome = msnvis("run", given, "-o", tmp_path / "new" / "out", *PARTS, "--start", start)
            assert outcome.code == 2
            assert re.search("it has 8 frames|lies beyond the end", outcome.err)
            assert len(outcome.err.strip().splitlines()) == 1
            assert not (tmp_path / "new").exists()


def test_a_start_behind_the_end_of_a_stream_likewise(clip, tmp_path):
    with dropping_server([clip.read_bytes()]) as (_, address):
        options = ("--start", "8", "--reconnect", "0", "--direction", "forward")
        outcome = msnvis("run", address, "-o", tmp_path / "out", *PARTS, *options)
    assert outcome.code == 2
    assert "lies between start and end: it has 8 frames" in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_was_there_stays(clip, tmp_path):
    (tmp_path / "out").mkdir()
    assert msnvis("run", clip, "-o", tmp_path / "out", *PARTS, "--start", "8").code == 2
    assert (tmp_path / "out").is_dir() and files_in(tmp_path / "out") == []


@pytest.mark.parametrize("pattern", ["", "*"])
def test_a_folder_of_two_kinds_of_frames_is_told(tmp_path, pattern):
    frames = tmp_path / "frames"
    frames.mkdir()
    write_images(frames, ["1.jpg", "2.jpg", "3.jpg", "1.png", "2.png"])
    outcome = msnvis("run", os.path.join(frames, pattern), "-o", tmp_path / "out", *PARTS)
    assert outcome.code == 0
    assert "frames holds files of several kinds; the 3 .jpg are read, not 2 .png" in outcome.err
    assert content(tmp_path / "out")["videos"][0]["length"] == 3


def write_images(folder, names):
    from PIL import Image

    for name, image in zip(names, squares.frames(len(names)), strict=True):
        Image.fromarray(image).save(folder / name)
