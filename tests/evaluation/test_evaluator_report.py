"""How an evaluation is told: as numbers, JSON, CSV, a table, and with confidence intervals."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from command import msnvis

from msnvis.evaluation import evaluate

CASES = json.loads(gzip.decompress((Path(__file__).parent / "golden" / "ytvis.json.gz").read_bytes()))
KEYS = ["mAP", "AP50", "AP75", "AR1", "AR10", "AR100", "APs", "APm", "APl"]


@pytest.fixture
def case():
    return CASES["area bounds"]


def test_dict_has_the_promised_keys():
    case = CASES["random 0"]
    report = evaluate(case["results"], case["truth"])
    content = json.loads(report.to_json())
    assert content == report.to_dict()
    assert {*KEYS, "per_category"} <= content.keys()
    assert all(content[key] == -1 or 0 <= content[key] <= 1 for key in KEYS)
    assert list(content["per_category"]) == ["class 1", "class 2", "class 3"]
    each = [values["AP50"] for values in content["per_category"].values()]
    assert content["AP50"] == pytest.approx(np.mean(each))
    assert len(set(each)) == 3


def test_csv_has_a_line_for_each_category():
    case = CASES["categories apart"]
    report = evaluate(case["results"], case["truth"])
    lines = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [line["category"] for line in lines] == ["all", *(f"class {i}" for i in range(1, 6))]
    assert float(lines[0]["mAP"]) == report.statistics["mAP"]
    assert float(lines[1]["AP75"]) == report.per_category["class 1"]["AP75"]
    assert lines[5]["mAP"] == ""  # no ground truth


def test_table_is_table_2_of_the_paper(case):
    report = evaluate(case["results"], case["truth"])
    lines = report.table("ours").splitlines()
    assert lines[0].split() == ["mAP", "AP", "AR"]
    assert lines[1].split() == ["50", "75", "1", "10"]
    row = [100 * report.statistics[key] for key in ("mAP", "AP50", "AP75", "AR1", "AR10")]
    assert lines[2].split() == ["ours", *(f"{value:.1f}" for value in row)]
    assert len(lines) == 3


def test_table_shows_categories_and_sizes_when_asked():
    case = CASES["random 1"]
    report = evaluate(case["results"], case["truth"], bootstrap=20)
    lines = report.table(sizes=True, per_category=True).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["results", "95", "95", "class", "class", "class"]
    assert lines[2].split()[-1] == "-"  # no large objects


def test_matches_say_which_object_a_track_stands_for():
    case = CASES["ties"]
    report = evaluate(case["results"], case["truth"])
    [item] = [m for m in report.matches if (m.video_id, m.category_id) == (1, 1)]
    # The best track lacks a frame and takes the last of two equal objects, the next best takes the other.
    assert item.matches[0, 0].tolist() == [1, 0, -1, -1, -1]
    assert item.objects.ids.tolist() == [1, 2]
    assert item.tracks.scores.tolist() == [0.75, 0.5, 0.5, 0.5, 0.5]
    assert item.correct[0, 0].tolist() == [True, True, False, False, False]
    assert item.wrong[0, 0].tolist() == [False, False, True, True, True]
    assert item.tracks.iou[1].tolist() == [1, 1]


def repeated(case, drawn):
    """The case with each video as often as it was drawn."""
    truth = {**case["truth"], "videos": [], "annotations": []}
    results = []
    for copy, number in enumerate(drawn, start=1):
        video = next(v for v in case["truth"]["videos"] if v["id"] == number)
        truth["videos"].append({**video, "id": copy})
        for entry in case["truth"]["annotations"]:
            if entry["video_id"] == number:
                truth["annotations"].append({**entry, "video_id": copy, "id": len(truth["annotations"]) + 1})
        results += [{**entry, "video_id": copy} for entry in case["results"] if entry["video_id"] == number]
    return results, truth


@pytest.mark.parametrize(("name", "agnostic"), [("random 0", False), ("crowd", False), ("no classes", True)])
def test_intervals_are_those_of_evaluating_each_sample_anew(name, agnostic):
    case = CASES[name]
    videos = [video["id"] for video in case["truth"]["videos"]]
    report = evaluate(case["results"], case["truth"], class_agnostic=agnostic, bootstrap=12, seed=3)
    counts = np.random.default_rng(3).multinomial(len(videos), np.full(len(videos), 1 / len(videos)), 12)
    samples = [
        evaluate(*repeated(case, np.repeat(videos, times)), class_agnostic=agnostic).statistics
        for times in counts
    ]
    for key, (low, high) in report.intervals.items():
        values = [sample[key] for sample in samples if sample[key] != -1]
        assert (low, high) == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-12)
    assert report.intervals.keys() == {key for key, value in report.statistics.items() if value != -1}
    assert len({high - low for low, high in report.intervals.values()}) > 3


def test_the_seed_decides_the_samples(case):
    def intervals(seed):
        return evaluate(case["results"], case["truth"], bootstrap=9, seed=seed).intervals

    assert intervals(1) == intervals(1) != intervals(2)


def test_without_samples_there_are_no_intervals(case):
    assert "intervals" not in evaluate(case["results"], case["truth"]).to_dict()


def test_an_annotation_that_nothing_can_match_is_told():
    case = CASES["id 0"]
    [note] = evaluate(case["results"], case["truth"]).notes
    assert "number annotations from 1" in note
    assert evaluate(CASES["ties"]["results"], CASES["ties"]["truth"]).notes == ()


class TestCommand:
    @pytest.fixture
    def files(self, tmp_path):
        case = CASES["random 2"]
        (tmp_path / "truth.json").write_text(json.dumps(case["truth"]))
        (tmp_path / "ours.json").write_text(json.dumps(case["results"]))
        return tmp_path

    def test_it_prints_the_table_and_writes_the_files(self, files):
        output = msnvis(
            "eval",
            files / "ours.json",
            "--annotations",
            files / "truth.json",
            "--json",
            files / "new" / "numbers.json",
            "--csv",
            files / "numbers.csv",
        )
        assert output.code == 0
        report = evaluate(files / "ours.json", files / "truth.json")
        assert output.out.rstrip("\n") == report.table("ours", sizes=True)
        assert json.loads((files / "new" / "numbers.json").read_text()) == report.to_dict()
        assert (files / "numbers.csv").read_text() == report.to_csv()

    def test_options_reach_the_evaluation(self, files):
        options = ("--class-agnostic", "--bootstrap", 5, "--seed", 4, "--json", files / "out.json")
        assert msnvis("eval", files / "ours.json", "-a", files / "truth.json", *options).code == 0
        report = evaluate(files / "ours.json", files / "truth.json", class_agnostic=True, bootstrap=5, seed=4)
        assert json.loads((files / "out.json").read_text()) == report.to_dict()

    def test_a_bad_file_is_one_sentence_and_nothing_is_written(self, files):
        (files / "ours.json").write_text("[3]")
        output = msnvis("eval", files / "ours.json", "-a", files / "truth.json", "--json", files / "out.json")
        assert output.code == 2
        assert output.err.count("\n") == 1
        assert "ours.json: entry 0: it is not an object; correct it" in output.err
        assert not (files / "out.json").exists()
