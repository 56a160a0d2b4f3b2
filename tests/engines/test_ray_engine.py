"""`msnvis run --engine ray` on a real local Ray."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import shots
import squares
import torch
from command import files_in, msnvis

from msnvis.engines.ray_engine import RayOptions, _room, run_on_ray
from msnvis.errors import MissingExtraError, OptionError
from msnvis.store.checkpoint import read_checkpoint
from msnvis.video_run import DONE

HERE = Path(__file__).parent
FORMATS = ("ytvis", "coco", "mots", "png", "overlay", "summary")
OPTIONS = ("--classifier", "none", *(f"--format={name}" for name in FORMATS))


@pytest.mark.parametrize(
    "options",
    [{"workers": 0}, {"cpus": 0}, {"gpus": -1}, {"gpus": 1.5}, {"retries": -1}],
    ids=lambda options: str(options),
)
def test_impossible_workers_are_refused(options):
    with pytest.raises(OptionError):
        RayOptions(**options)


@pytest.mark.parametrize(
    ("cpus", "gpus", "workers"),
    [(1, 0, 12), (3, 0, 3), (1, 1, 2), (1, 0.5, 4), (1, 0.4, 4), (8, 0.25, 1), (1, 2, 1), (0.5, 0.25, 8)],
)
def test_how_many_workers_have_room(cpus, gpus, workers):
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 4.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    assert _room(nodes, cpus, gpus) == workers


@pytest.mark.parametrize(("cpus", "gpus"), [(9, 0), (1, 3), (5, 2.0001)])
def test_no_room(cpus, gpus):
    with pytest.raises(OptionError, match="ask for less"):
        _room([{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}], cpus, gpus)


def test_ray_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install msnvis\[ray\]"):
        next(run_on_ray(lambda: None, []))


def test_an_unknown_engine_is_told():
    outcome = msnvis("run", "x.mp4", "--engine", "spark")
    assert outcome.code == 2 and "no engine 'spark'" in outcome.err


@pytest.fixture(scope="module")
def ray_is_there(tmp_path_factory):
    """A Ray of two workers on this machine, whose processes know the parts of these tests."""
    ray = pytest.importorskip("ray")
    marker = tmp_path_factory.mktemp("marker") / "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(HERE.parent)]))
        patch.setenv("MSNVIS_TEST_MARKER", str(marker))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"worker_process_setup_hook": "ray_cluster.set_up"},
        )
        yield marker
        ray.shutdown()


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number, frames in enumerate((14, 26, 14, 14)):
        images = squares.frames(frames, size=(48, 96))
        images[9:] = [255 - image for image in images[9:]]  # a cut
        squares.write_clip(folder / f"{number}.mp4", images)
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """The results; ``run.json`` and ``runs.json`` tell of times, too."""
    names = [name for name in files_in(folder) if not name.endswith(("run.json", "runs.json"))]
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.slow
def test_a_lost_worker_changes_nothing(ray_is_there, videos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the workers know what names are relative to
    local = msnvis("run", videos, "-o", tmp_path / "local", "--segmenter", "squares", *OPTIONS)
    assert local.code == 2 and "broken.mp4" in local.err  # the others are done all the same
    command = ("run", videos, "-o", "ray", "--engine", "ray", "--segmenter", "doomed", *OPTIONS)
    outcome = msnvis(*command)
    assert outcome.code == 2, outcome.err
    assert int(ray_is_there.read_text()) != os.getpid()  # a worker was killed
    summary = json.loads((tmp_path / "ray" / "runs.json").read_text())
    assert [summary[name] for name in ("inputs", "done", "skipped", "failed")] == [5, 4, 0, 1]
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    records = [json.loads((tmp_path / "ray" / f"{k}" / "run.json").read_text()) for k in range(4)]
    assert sum(record["interruptions"] for record in records) == 1  # it went on from a checkpoint

    again = msnvis(*command)
    assert again.code == 2 and "4 skipped" in again.out
    assert msnvis(*command, "--restart").out.count("skipped") == 1


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return shots.write(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture(scope="module")
def brief(tmp_path_factory):
    """Too short to kill a worker."""
    return squares.write_clip(tmp_path_factory.mktemp("brief") / "brief.mp4", squares.frames(6))


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
def test_a_long_video_in_pieces_that_loses_a_worker(ray_is_there, film, brief, tmp_path, direction):
    ray_is_there.unlink(missing_ok=True)
    command = ("run", film, brief, *OPTIONS, "--direction", direction)
    local = msnvis(*command, "-o", tmp_path / "local", "--segmenter", "squares")
    assert local.code == 0, local.err
    options = ("--engine", "ray", "--segmenter", "doomed", "--piece-frames", "8")
    outcome = msnvis(*command, "-o", tmp_path / "ray", *options)
    assert outcome.code == 0, outcome.err
    assert ray_is_there.exists()  # a worker was killed
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    record = json.loads((tmp_path / "ray" / "film" / "run.json").read_text())
    assert record["frames"] == shots.FRAMES and record["interruptions"] == 1  # in the middle of a piece
    summary = json.loads((tmp_path / "ray" / "runs.json").read_text())
    assert [summary[name] for name in ("inputs", "done", "skipped", "failed")] == [2, 2, 0, 0]


@pytest.mark.slow
def test_a_piece_that_kills_every_worker_fails_its_video_alone(ray_is_there, film, brief, tmp_path):
    ray_is_there.unlink(missing_ok=True)
    command = ("run", film, brief, "-o", tmp_path / "ray", "--engine", "ray", *OPTIONS)
    options = ("--piece-frames", "8", "--worker-retries", "0", "--segmenter", "doomed")
    outcome = msnvis(*command, *options)
    assert outcome.code == 2 and "film.mp4: its worker was lost in attempt 1 of 1" in outcome.err
    assert "1 of 2 inputs failed" in outcome.err
    again = msnvis(*command, *options)
    assert again.code == 0 and "1 done, 1 skipped" in again.out


@pytest.mark.slow
def test_after_the_death_of_the_driver_only_missing_pieces_are_processed(
    ray_is_there, film, tmp_path, monkeypatch
):
    local, out, seen = tmp_path / "local", tmp_path / "ray", ray_is_there.with_name("seen")
    options = (*OPTIONS, "--segmenter", "unhurried")
    assert msnvis("run", film, "-o", local, "--segmenter", "squares", *OPTIONS).code == 0
    command = ("run", film, "-o", out, "--engine", "ray", "--piece-frames", "8", *options)
    driver = subprocess.Popen(
        [sys.executable, HERE / "ray_cluster.py", *command], env={**os.environ, "MSNVIS_TEST_PAUSE": "0.15"}
    )
    done = wait_for_pieces(out, 2)
    driver.kill()
    driver.wait()
    before = size_at_rest(seen)  # its workers outlive it for a moment
    assert before < shots.FRAMES  # it was killed on its way
    outcome = msnvis(*command)
    assert outcome.code == 0, outcome.err
    assert contents(out) == contents(local)
    assert len(seen.read_bytes()) - before <= shots.FRAMES - sum(shots.SHOTS[number] for number in done)


def size_at_rest(path: Path) -> int:
    """Bytes of a file that has stopped growing."""
    size = -1
    while size < (size := path.stat().st_size):
        time.sleep(3)
    return size


def wait_for_pieces(out: Path, count: int) -> list[int]:
    """Numbers of the pieces that are complete, as soon as there are so many."""
    for _ in range(600):
        checkpoints = sorted(out.glob(".msnvis/pieces/0*/.msnvis/checkpoint"))
        done = [path for path in checkpoints if read_checkpoint(path)["stage"] == DONE]
        if len(done) >= count:
            return [int(path.parts[-3]) for path in done]
        time.sleep(0.1)
    raise AssertionError("the pieces were not processed")


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_networks_give_the_same_bytes(ray_is_there, videos, tmp_path, threads):
    """Of PyTorch, the number of threads tells in the last digits."""
    images = [cv2.resize(image, (320, 192)) for image in squares.frames(6)]
    clip, twin = (squares.write_clip(tmp_path / f"{name}.mp4", images) for name in ("clip", "twin"))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        options = ("-f", "ytvis", "--labels", "any", "--score-threshold", "0.05")
        for engine in ("local", "ray"):
            outcome = msnvis("run", clip, twin, "-o", tmp_path / engine, "--engine", engine, *options)
            assert outcome.code == 0, outcome.err
    finally:
        torch.set_num_threads(before)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert json.loads((tmp_path / "ray" / "clip" / "tracks.json").read_text())["annotations"]


@pytest.mark.slow
def test_what_no_worker_can_load_is_told_once(ray_is_there, videos, tmp_path):
    outcome = msnvis("run", videos, "-o", tmp_path, "--engine", "ray", "--segmenter", "nothing")
    assert outcome.code == 2
    assert outcome.err.count("nothing") == 1 and "no segmenter is called 'nothing'" in outcome.err.lower()


@pytest.mark.slow
def test_more_than_the_cluster_has_is_refused(ray_is_there, videos, tmp_path):
    options = ("--engine", "ray", "--worker-gpus", "1", "--segmenter", "squares")
    outcome = msnvis("run", videos, "-o", tmp_path, *options)
    assert outcome.code == 2 and "no machine of the Ray cluster has" in outcome.err


@pytest.mark.slow
def test_a_video_that_kills_every_worker_fails_alone(ray_is_there, videos, tmp_path):
    tasks_file = tmp_path / "list.txt"
    tasks_file.write_text("\n".join(str(videos / f"{number}.mp4") for number in range(2)))
    ray_is_there.unlink(missing_ok=True)
    options = ("--engine", "ray", "--worker-retries", "0", "--segmenter", "doomed", *OPTIONS)
    outcome = msnvis("run", tasks_file, "-o", tmp_path / "out", *options)
    assert outcome.code == 2
    assert "its worker was lost in attempt 1 of 1" in outcome.err and "1 of 2 inputs failed" in outcome.err
