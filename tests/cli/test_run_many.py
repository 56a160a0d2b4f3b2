"""`msnvis run` with many videos: what is done is skipped, what fails is told, all is in runs.json."""

import json
from pathlib import Path

import pytest
import squares
from command import msnvis

PARTS = ("--segmenter", "squares", "--classifier", "none", "-f", "ytvis")


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name, count in (("a", 3), ("b", 4), ("c", 5)):
        squares.write_clip(folder / f"{name}.mp4", squares.frames(count))
    return folder


def run(*inputs, out: Path, options: tuple = ()):
    """Outcome of the command, and status and further facts of each input by name."""
    outcome = msnvis("run", *inputs, "-o", out, *PARTS, *options)
    summary = json.loads((out / "runs.json").read_text())
    assert summary["done"] + summary["skipped"] + summary["failed"] == len(summary["outcomes"])
    assert summary["inputs"] == len(summary["outcomes"])
    return outcome, {Path(entry["input"]).name: entry for entry in summary["outcomes"]}


def statuses(entries: dict) -> str:
    return " ".join(entry["status"] for entry in entries.values())


def test_a_bad_video_stops_no_other_and_is_in_file_and_table(videos, tmp_path):
    (videos / "b.mp4").write_bytes(b"no video")
    outcome, entries = run(videos, out=tmp_path / "out")
    assert outcome.code == 2
    assert statuses(entries) == "done failed done"
    assert entries["c.mp4"]["frames"] == 5 and entries["c.mp4"]["tracks"] == 2
    assert entries["c.mp4"]["folder"] == str(tmp_path / "out" / "c") and entries["c.mp4"]["seconds"] > 0
    assert "b.mp4" in entries["b.mp4"]["why"] and entries["b.mp4"]["why"] in outcome.err
    assert "2 done, 0 skipped, 1 failed" in outcome.out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in outcome.out.splitlines()]
    assert [row[:3] for row in rows if row[0] in ("done", "failed")] == [
        ["failed", "", ""],  # what has to be looked at comes first
        ["done", "3", "2"],
        ["done", "5", "2"],
    ]


def test_what_is_done_is_skipped_until_something_differs(videos, tmp_path):
    out = tmp_path / "out"
    assert statuses(run(videos, out=out)[1]) == "done done done"
    before = (out / "a" / "tracks.json").stat().st_mtime_ns
    outcome, entries = run(videos, out=out)
    assert outcome.code == 0 and statuses(entries) == "skipped skipped skipped"
    assert (out / "a" / "tracks.json").stat().st_mtime_ns == before

    squares.write_clip(videos / "b.mp4", squares.frames(7))  # another video
    (out / "c" / "tracks.json").unlink()
    assert statuses(run(videos, out=out)[1]) == "skipped done done"
    assert statuses(run(videos, out=out, options=("--max-objects", "1"))[1]) == "done done done"
    assert statuses(run(videos, out=out)[1]) == "done done done"  # those were of other options
    assert statuses(run(videos, out=out, options=("-f", "mots"))[1]) == "done done done"
    assert statuses(run(videos, out=out, options=("-f", "mots", "--restart"))[1]) == "done done done"


@pytest.mark.parametrize(
    "damage",
    ["", "[]", "{}", "null", '{"complete": true}', "[" * 100_000],
    ids=["empty", "list", "no entries", "null", "few entries", "deep"],
)
def test_a_damaged_record_means_not_done(videos, tmp_path, damage):
    out = tmp_path / "out"
    run(videos, out=out)
    (out / "a" / "run.json").write_text(damage)
    assert statuses(run(videos, out=out)[1]) == "done skipped skipped"


def test_an_incomplete_run_is_not_done(videos, tmp_path):
    out = tmp_path / "out"
    run(videos, out=out)
    record = out / "a" / "run.json"
    record.write_text(record.read_text().replace('"complete": true', '"complete": false'))
    assert statuses(run(videos, out=out)[1]) == "done skipped skipped"


def test_a_manifest_names_the_folders(videos, tmp_path):
    manifest = tmp_path / "list.csv"
    manifest.write_text("input,output\nvideos/a.mp4,first\nvideos/gone.mp4\nvideos/c.mp4\n")
    outcome, entries = run(manifest, out=tmp_path / "out")
    assert outcome.code == 2 and statuses(entries) == "done failed done"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["c", "first", "runs.json"]


def test_an_input_alone_leaves_no_list_and_is_never_skipped(videos, tmp_path):
    for _ in range(2):
        outcome = msnvis("run", videos / "a.mp4", "-o", tmp_path / "out", *PARTS)
        assert outcome.code == 0 and "3 frames in" in outcome.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["run.json", "tracks.json"]
