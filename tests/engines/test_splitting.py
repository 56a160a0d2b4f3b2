"""What a job does with a long video, step by step, without any cluster."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import shots
import squares
from command import files_in, msnvis

from msnvis.cli.job import Job, make_job
from msnvis.engines.outcome import Outcome, PieceTask, Split, VideoTask
from msnvis.engines.schedule import Schedule
from msnvis.pieces import VideoPieces
from msnvis.store import WorkFolder, folder

FORMATS = ("ytvis", "mots")
OPTIONS = {"segmenter": "squares", "classifier": "none"}


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return shots.write(tmp_path_factory.mktemp("film") / "film.mp4")


def job(piece_frames: int | None = 8, **options) -> Job:
    more = {name: options.pop(name) for name in ("keep_intermediate",) if name in options}
    window = {"start": None}
    return make_job(
        {**OPTIONS, **options}, None, window, FORMATS, quiet=True, piece_frames=piece_frames, **more
    )


def outcomes(job: Job, *tasks: VideoTask, steps: list | None = None) -> Iterator[Outcome]:
    """As the workers of a cluster would, one step after the other."""
    schedule = Schedule(tasks)
    while schedule:
        step, _ = schedule.next()
        outcome = schedule.done(step, job(step))
        if steps is not None:
            steps.append(step.number if isinstance(step, PieceTask) else "video")
        if outcome:
            yield outcome


def contents(out: Path) -> dict[str, bytes]:
    """Everything but the record of the run, which tells of times."""
    return {name: (out / name).read_bytes() for name in files_in(out) if name != "run.json"}


@pytest.fixture(scope="module")
def whole(film, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    [outcome] = outcomes(job(None), VideoTask(str(film), out))
    assert outcome.status == "done"
    return out


def test_a_long_video_in_pieces_ends_like_a_whole_one(film, whole, tmp_path):
    steps: list = []
    [outcome] = outcomes(job(), VideoTask(str(film), tmp_path), steps=steps)
    assert steps == ["video", 0, 1, 2, 3, "video"]
    assert (outcome.status, outcome.frames, outcome.tracks) == ("done", shots.FRAMES, 8)
    assert contents(tmp_path) == contents(whole)  # nothing else is left, either
    records = [json.loads((out / "run.json").read_text()) for out in (tmp_path, whole)]
    for record in records:
        assert set(record.pop("seconds")) >= {"decode", "shots", "segment", "propagate", "merge", "write"}
    assert records[0] == records[1]
    [again] = outcomes(job(), VideoTask(str(film), tmp_path))
    assert again.status == "skipped"


@pytest.mark.parametrize(("piece_frames", "options"), [(24, {}), (8, {"shots": False}), (16, {})])
def test_what_is_short_or_has_no_cut_in_the_right_place_is_not_split(film, tmp_path, piece_frames, options):
    if piece_frames == 16:  # 33 frames, and the cuts 2 and 6 frames before their end
        film = squares.write_clip(tmp_path / "film.mp4", [*shots.images()[:13], *[shots.images()[13]] * 20])
    steps: list = []
    [outcome] = outcomes(job(piece_frames, **options), VideoTask(str(film), tmp_path / "out"), steps=steps)
    assert steps == ["video"] and outcome.status == "done"
    assert files_in(tmp_path / "out") == ["mots.txt", "run.json", "tracks.json"]


def test_a_video_that_reading_warns_of_is_not_split(film, tmp_path):
    torn = tmp_path / "torn.avi"
    squares.write_clip(torn, shots.images())
    os.truncate(torn, int(torn.stat().st_size * 0.9))
    steps: list = []
    [outcome] = outcomes(job(), VideoTask(str(torn), tmp_path / "out"), steps=steps)
    assert steps == ["video"] and outcome.status == "done" and "truncated" in outcome.warnings[0]


def begun(film: Path, out: Path, pieces: int, **options) -> None:
    """Leave what a run leaves that was killed when so many pieces were done."""
    work = job(**options)
    split = work(VideoTask(str(film), out))
    for piece in split.pieces[:pieces]:
        assert work(piece).status == "done"


def test_a_repeated_run_goes_on_with_the_pieces_that_are_missing(film, whole, tmp_path):
    begun(film, tmp_path, 3)
    steps: list = []
    # Other lengths of pieces do not matter: the plan is there.
    [outcome] = outcomes(job(20), VideoTask(str(film), tmp_path), steps=steps)
    assert steps == ["video", 3, "video"] and outcome.status == "done"
    assert contents(tmp_path) == contents(whole)


def test_restart_drops_the_pieces_and_what_a_run_over_the_whole_has_left(film, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "SECONDS", 0.0)
    begun(film, tmp_path, 2)
    steps: list = []
    task = VideoTask(str(film), tmp_path, restart=True)
    [outcome] = outcomes(job(), task, steps=steps)
    assert steps == ["video", 0, 1, 2, 3, "video"] and outcome.status == "done"
    with WorkFolder(tmp_path) as work:
        work.open({"input": "something else"})
        work.save({"stage": "first"})
    assert [outcome.status for outcome in outcomes(job(), task)] == ["done"]
    assert contents(tmp_path) == contents(whole)


def test_other_options_are_refused_and_what_is_done_is_kept(film, whole, tmp_path):
    begun(film, tmp_path, 2)
    [outcome] = outcomes(job(max_objects=3), VideoTask(str(film), tmp_path))
    assert outcome.status == "failed" and not outcome.is_ours
    assert "max_objects was 15 and is 3" in outcome.why and "--restart" in outcome.why
    steps: list = []
    assert [outcome.status for outcome in outcomes(job(), VideoTask(str(film), tmp_path), steps=steps)]
    assert steps == ["video", 2, 3, "video"]


def test_the_local_engine_does_not_drop_pieces_unasked(film, whole, tmp_path):
    begun(film, tmp_path, 1)
    command = ("run", film, "-o", tmp_path, "--segmenter", "squares", "--classifier", "none")
    options = [f"--format={name}" for name in FORMATS]
    outcome = msnvis(*command, *options)
    assert outcome.code == 2 and "holds pieces of film.mp4" in outcome.err and "--restart" in outcome.err
    assert msnvis(*command, *options, "--restart").code == 0
    assert contents(tmp_path) == contents(whole)


def test_an_interrupted_run_over_the_whole_is_not_split(film, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "SECONDS", 0.0)
    work = job()
    source_task = VideoTask(str(film), tmp_path)
    with WorkFolder(tmp_path) as kept:
        from msnvis.io.readers import open_source

        state = []

        def progress(event):
            state.append(event)
            if len(state) == 20:
                raise RuntimeError("power cut")

        with pytest.raises(RuntimeError):
            work.segmenter.run(open_source(film), work=kept, progress=progress)
    steps: list = []
    [outcome] = outcomes(work, source_task, steps=steps)
    assert steps == ["video"] and outcome.status == "done"
    assert json.loads((tmp_path / "run.json").read_text())["interruptions"] == 1
    assert contents(tmp_path) == contents(whole)


def test_kept_pieces_serve_other_formats(film, whole, tmp_path):
    [outcome] = outcomes(job(keep_intermediate=True), VideoTask(str(film), tmp_path))
    assert outcome.status == "done"
    assert [name for name in files_in(tmp_path) if "pieces" in name] == []
    steps: list = []
    [outcome] = outcomes(job(), VideoTask(str(film), tmp_path), steps=steps)
    assert steps == ["video"] and contents(tmp_path) == contents(whole)


def test_a_piece_on_which_another_run_works_fails_its_video_and_nothing_is_lost(film, whole, tmp_path):
    begun(film, tmp_path, 1)
    task = VideoTask(str(film), tmp_path)
    busy = tmp_path / ".msnvis" / "pieces" / "00002"
    with WorkFolder(busy):
        [outcome] = outcomes(job(), task)
        assert outcome.status == "failed" and "another run is writing to" in outcome.why
        [outcome] = outcomes(job(), VideoTask(str(film), tmp_path, restart=True))
        assert outcome.status == "failed" and "another run is writing to" in outcome.why
    steps: list = []
    [outcome] = outcomes(job(), task, steps=steps)
    assert outcome.status == "done" and steps == ["video", 2, 3, "video"]
    assert contents(tmp_path) == contents(whole)


def test_pieces_whose_plan_was_removed_are_told_of(film, tmp_path):
    work = job()
    split = work(VideoTask(str(film), tmp_path))
    assert isinstance(split, Split)
    VideoPieces(work.segmenter, None, tmp_path).drop()
    assert files_in(tmp_path) == []
    outcome = work(split.pieces[0])
    assert outcome.status == "failed" and "removed by another run; repeat the command" in outcome.why
