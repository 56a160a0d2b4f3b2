"""`msnvis run` after interruptions of every kind: real processes, ended by real signals and full disks."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import squares
from command import files_in
from killing import RunServer

from msnvis.store.folder import NAME, WorkFolder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")

FORMATS = ("ytvis", "coco", "mots", "png", "overlay", "summary")
PARTS = ("--segmenter", "squares", "--classifier", "none", *(f"--format={name}" for name in FORMATS))
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RunServer(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    images = squares.frames(26, size=(48, 96))
    images[13:] = [255 - image for image in images[13:]]  # a cut
    return squares.write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", images)


@pytest.fixture(scope="module")
def whole(server, clip, tmp_path_factory):
    """The results of a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    assert server.run(["run", clip, "-o", folder, *PARTS]) == 0, server.log.read_text()
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    """The results; ``run.json`` alone may differ."""
    return {name: (folder / name).read_bytes() for name in files_in(folder) if name != "run.json"}


def kill_at_random(server, command, rng, longest: float) -> tuple[signal.Signals | None, int]:
    """Begin a run and send it a signal after a while; gives that (None if it ended before) and its code."""
    chosen = rng.choice(SIGNALS)
    process = server.start(command)
    deadline, ended = time.monotonic() + rng.uniform(0, longest), False
    while time.monotonic() < deadline and not ended:
        time.sleep(0.002)
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
            ended = state == "Z"
        except OSError:
            ended = True
    if not ended:
        try:
            os.kill(process, chosen)
        except ProcessLookupError:
            ended = True
    return (None if ended else chosen), server.wait()


def survive(server, clip, whole, tmp_path, kills: int, seed: int) -> int:
    rng, survived, repeated, longest = random.Random(seed), 0, 0, 0.0
    while survived < kills:
        out = tmp_path / f"out{survived}"
        command = ["run", clip, "-o", out, *PARTS]
        started = time.monotonic()
        if not longest:
            server.run(["run", clip, "-o", tmp_path / "timed", *PARTS])
            longest = time.monotonic() - started
        code = None
        while code != 0:
            # The last allowed kill is followed by a run in peace.
            sent, code = (
                kill_at_random(server, command, rng, longest)
                if survived < kills
                else (None, server.run(command))
            )
            expected = {None: {0}, signal.SIGINT: {0, 130, -2}}.get(sent, {0, -(sent or 0)})
            assert code in expected, server.log.read_text()
            survived += sent is not None and code != 0
            repeated += code != 0
        assert contents(out) == whole
        shutil.rmtree(out)
    return repeated


def test_three_kills(server, clip, whole, tmp_path):
    assert survive(server, clip, whole, tmp_path, kills=3, seed=0) >= 3


@pytest.mark.slow
def test_sixty_kills(server, clip, whole, tmp_path):
    assert survive(server, clip, whole, tmp_path, kills=60, seed=1) >= 60


def test_ctrl_c_writes_what_is_done_and_the_same_command_goes_on(server, clip, whole, tmp_path):
    out = tmp_path / "out"
    command = ["run", clip, "-o", out, *PARTS]
    process = server.start(command)
    while not (out / NAME / "checkpoint").exists():
        time.sleep(0.005)
    os.kill(process, signal.SIGINT)
    assert server.wait() == 130
    log = server.log.read_text()
    assert "interrupted" in log and "the same command goes on" in log and "Traceback" not in log
    record = json.loads((out / "run.json").read_text())
    assert not record["complete"] and record["interruptions"] == 0
    assert set(contents(out)) > {"tracks.json", f"{NAME}/checkpoint", f"{NAME}/journal"}
    assert server.run(command) == 0
    assert contents(out) == whole
    record = json.loads((out / "run.json").read_text())
    assert record["complete"] and record["interruptions"] == 1 and record["frames"] == 26


@pytest.mark.parametrize("limit", [3_000, 6_000, 12_000])
def test_a_full_disk_is_told_and_the_same_command_goes_on_when_there_is_space(
    server, clip, whole, tmp_path, limit
):
    out = tmp_path / "out"
    command = ["run", clip, "-o", out, *PARTS]
    assert server.run(command, RLIMIT_FSIZE=limit) == 2
    log = server.log.read_text()
    assert "cannot be written" in log and "space" in log and "Traceback" not in log
    assert not any("partial" in name for name in files_in(out))
    assert server.run(command) == 0, server.log.read_text()
    assert contents(out) == whole


def test_another_run_in_the_folder_is_refused(server, clip, tmp_path):
    with WorkFolder(tmp_path / "out"):
        assert server.run(["run", clip, "-o", tmp_path / "out", *PARTS]) == 2
    assert "another run is writing to" in server.log.read_text()
    assert server.run(["run", clip, "-o", tmp_path / "out", *PARTS]) == 0


def test_another_input_or_other_options_are_refused_until_told_to_restart(server, clip, whole, tmp_path):
    out = tmp_path / "out"
    process = server.start(["run", clip, "-o", out, *PARTS])
    while not (out / NAME / "checkpoint").exists():
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    server.wait()
    left = contents(out)
    other = squares.write_clip(tmp_path / "other.mp4", squares.frames(6))
    for arguments, difference in (
        ([clip, "--max-objects", "3"], "options tracking max_objects was 15 and is 3"),
        ([clip, "--stride", "2"], "input stride was 1 and is 2"),
        ([clip, "--propagator", "flow", "--selector", "segmenter"], "parts selector name was score and is"),
        ([other], "input name was clip.mp4 and is other.mp4"),
    ):
        assert server.run(["run", *arguments, "-o", out, *PARTS]) == 2
        log = server.log.read_text()
        assert difference in log and "--restart" in log, log
        assert contents(out) == left
    assert server.run(["run", other, "-o", out, *PARTS, "--restart"]) == 0
    assert json.loads((out / "tracks.json").read_text())["videos"][0]["length"] == 6
    assert NAME not in os.listdir(out)
    assert server.run(["run", clip, "-o", tmp_path / "again", *PARTS]) == 0


def test_other_formats_from_what_was_kept(server, clip, whole, tmp_path):
    out = tmp_path / "out"
    command = ["run", clip, "-o", out, *PARTS[:4], "--keep-intermediate"]
    assert server.run([*command, "-f", "ytvis"]) == 0
    assert server.run([*command, "-f", "mots"]) == 0
    assert "forward: " not in server.log.read_text()  # nothing was tracked again
    assert {name: contents(out)[name] for name in ("tracks.json", "mots.txt")} == {
        name: whole[name] for name in ("tracks.json", "mots.txt")
    }
    assert (out / NAME / "journal").exists()
