"""`msnvis eval` with tracking measures, diagnosis and curves, and `msnvis eval-davis`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command import files_in, msnvis
from PIL import Image

from msnvis.evaluation import evaluate
from msnvis.evaluation.frames import pair_videos
from msnvis.evaluation.ground_truth import read_ground_truth
from msnvis.evaluation.results import load_results

FULL = {"size": [4, 6], "counts": [0, 24]}


@pytest.fixture
def files(tmp_path):
    """One cat in two frames; the results call it a dog, and have a weak second track."""
    truth = {
        "videos": [{"id": 1, "name": "clip", "width": 6, "height": 4, "length": 2}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"id": 7, "video_id": 1, "category_id": 1, "segmentations": [FULL, FULL]}],
    }
    found = [
        {"video_id": 1, "category_id": 2, "score": score, "segmentations": [FULL, FULL]}
        for score in (0.9, 0.1)
    ]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "results.json").write_text(json.dumps(found))
    return tmp_path / "results.json", "--annotations", tmp_path / "truth.json"


def test_help_shows_what_is_needed_without_braces():
    assert msnvis("eval", "--help").out.splitlines()[0] == "Usage: msnvis eval [OPTIONS] RESULTS"


def test_diagnosis_is_printed_and_written(files, tmp_path):
    outcome = msnvis("eval", *files, "--diagnose", tmp_path / "faults.json", "--min-score", "0.5")
    assert outcome.code == 0, outcome.err
    assert "1 objects: 0 missed, 1 confused" in outcome.out
    content = json.loads((tmp_path / "faults.json").read_text())
    assert content["confusion"] == {"cat": {"dog": 1}}
    assert content["summary"]["tracks"]["duplicate"] == 0
    assert content["objects"][0]["video"] == "clip"


def test_tracks_are_named_by_their_ids_where_the_results_have_them(files, tmp_path):
    """Results with ids 31 and 12 are told by these, without, or with the same one twice, by position."""
    results = json.loads(files[0].read_text())
    for ids, numbers in (((31, 12), "id"), ((31, 31), "position"), ((31, None), "position")):
        for entry, number in zip(results, ids, strict=True):
            entry["id"] = number
        files[0].write_text(json.dumps(results))
        outcome = msnvis("eval", *files, "--diagnose", tmp_path / "faults.json")
        content = json.loads((tmp_path / "faults.json").read_text())
        assert content["track_numbers"] == numbers
        assert {item["track"] for item in content["tracks"]} == ({31, 12} if numbers == "id" else {0, 1})
        assert content["objects"][0]["spans"][0]["track"] == (31 if numbers == "id" else 0)
        assert ("named by their ids" in outcome.out) == (numbers == "id")


def test_results_and_annotations_that_were_read_once_give_the_same(files, tmp_path):
    truth, results = read_ground_truth(files[2]), load_results(files[0])
    expected = evaluate(files[0], files[2]).to_json()
    files[0].unlink()
    files[2].unlink()
    assert evaluate(results, truth).to_json() == expected
    assert [len(video.tracks) for video in pair_videos(results, truth).videos] == [2]


def test_every_bad_entry_has_a_line(files):
    results = json.loads(files[0].read_text())
    results[0]["video_id"], results[1]["score"] = 9, "high"
    files[0].write_text(json.dumps(results))
    outcome = msnvis("eval", *files)
    assert outcome.code == 2
    first, *lines = outcome.err.splitlines()
    assert first.endswith("has 2 bad entries; correct them and evaluate again:")
    assert [line.split(": ", 1)[1] for line in lines] == [
        f"entry 0: its video_id 9 is none of the videos of {files[2]}",
        "entry 1: its 'score' is not a number",
    ]


def test_a_validation_set_without_annotations_is_explained(files):
    truth = json.loads(files[2].read_text())
    del truth["annotations"]
    files[2].write_text(json.dumps(truth))
    outcome = msnvis("eval", *files)
    assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)
    assert "whose ground truth is not published" in outcome.err


def test_tracking_measures_are_printed_and_written(files, tmp_path):
    pytest.importorskip("trackers", reason="needs msnvis[tracking]")
    options = ("--tracking", tmp_path / "tracking.json", "--class-agnostic", "--min-score", "0.5")
    outcome = msnvis("eval", *files, *options)
    assert outcome.code == 0, outcome.err
    assert "HOTA" in outcome.out
    assert json.loads((tmp_path / "tracking.json").read_text())["pooled"]["HOTA"] == pytest.approx(1)


def test_curves_are_drawn(files, tmp_path):
    pytest.importorskip("matplotlib", reason="needs msnvis[plots]")
    assert msnvis("eval", *files, "--curves", tmp_path / "curves.png").code == 0
    assert Image.open(tmp_path / "curves.png").format == "PNG"


def write_maps(folder, count):
    folder.mkdir(parents=True)
    labels = np.zeros((20, 30), np.uint8)
    labels[5:10, 5:10] = 1
    for frame in range(count):
        Image.fromarray(labels).save(folder / f"{frame:05d}.png")


def test_davis_folders(tmp_path):
    for name in ("bear", "camel"):
        write_maps(tmp_path / "truth" / name, 4)
    write_maps(tmp_path / "results" / "bear", 4)
    (tmp_path / "val.txt").write_text("bear\n")
    arguments = ("eval-davis", tmp_path / "results", "--annotations", tmp_path / "truth")
    outcome = msnvis(*arguments, "--sequences", tmp_path / "val.txt", "--json", tmp_path / "davis.json")
    assert outcome.code == 0, outcome.err
    assert outcome.out.split()[:7] == [f"{m}-{n}" for m, n in [("J&F", "Mean")]] + [
        f"{measure}-{name}" for measure in "JF" for name in ("Mean", "Recall", "Decay")
    ]
    content = json.loads((tmp_path / "davis.json").read_text())
    assert content["J&F-Mean"] == 1
    assert content["per_object"] == [{"Sequence": "bear", "Object": 1, "J-Mean": 1.0, "F-Mean": 1.0}]


def test_a_missing_sequence_is_one_sentence(tmp_path):
    write_maps(tmp_path / "truth" / "bear", 4)
    (tmp_path / "results").mkdir()
    outcome = msnvis(
        "eval-davis", tmp_path / "results", "-a", tmp_path / "truth", "--json", tmp_path / "x.json"
    )
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1
    assert "00001.png does not exist" in outcome.err
    assert files_in(tmp_path / "results") == []
    assert not (tmp_path / "x.json").exists()
