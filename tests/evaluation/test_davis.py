"""J and F against the official code, against definitions written out slowly, and on shapes done by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from msnvis.errors import InputError
from msnvis.evaluation.boundaries import Shape, radius
from msnvis.evaluation.davis import evaluate_davis, read_names

GOLDEN = Path(__file__).parent / "golden"


def write(folder: Path, maps) -> None:
    folder.mkdir(parents=True)
    for frame, labels in enumerate(maps):
        Image.fromarray(np.asarray(labels, np.uint8)).save(folder / f"{frame:05d}.png")


def folders(tmp_path: Path, truth: dict, results: dict) -> tuple[Path, Path]:
    for kind, sequences in (("truth", truth), ("results", results)):
        for name, maps in sequences.items():
            write(tmp_path / kind / name, maps)
    return tmp_path / "results", tmp_path / "truth"


def square(left: int, value: int = 1) -> np.ndarray:
    labels = np.zeros((60, 80), np.uint8)
    labels[20:30, left : left + 10] = value
    return labels


@pytest.mark.parametrize("task", ["semi-supervised", "unsupervised"])
def test_equal_to_the_official_code(task, tmp_path):
    """See docs/diagnosis.md for how the golden files were made."""
    official = json.loads((GOLDEN / "davis.json").read_text())[task]
    stored = np.load(GOLDEN / "davis.npz")
    maps = {key.removeprefix(f"{task}/"): stored[key] for key in stored if key.startswith(task)}
    truth, results = (
        {key.split("/")[0]: value for key, value in maps.items() if key.endswith(kind)}
        for kind in ("truth", "result")
    )
    report = evaluate_davis(*folders(tmp_path, truth, results), task=task)
    assert report.summary() == pytest.approx(official["summary"], abs=1e-12)
    ours = sorted((row["Sequence"], row["J-Mean"], row["F-Mean"]) for row in report.rows())
    theirs = sorted((name.rsplit("_", 1)[0], j, f) for name, (j, f) in official["per_object"].items())
    assert [row[0] for row in ours] == [row[0] for row in theirs]
    assert np.allclose([row[1:] for row in ours], [row[1:] for row in theirs], rtol=0, atol=1e-12)


def slow_f(first: np.ndarray, second: np.ndarray, tolerance: int) -> float:
    """Every point of each outline looked up by its distance to every point of the other."""

    def outline(mask):
        height, width = mask.shape
        return [
            (y, x)
            for y in range(height)
            for x in range(width)
            if len({mask[b, a] for b in (y, min(y + 1, height - 1)) for a in (x, min(x + 1, width - 1))}) > 1
        ]

    def matched(points, others):
        return sum(any((y - v) ** 2 + (x - u) ** 2 <= tolerance**2 for v, u in others) for y, x in points)

    a, b = outline(first), outline(second)
    if not a or not b:
        return float(len(a) == len(b))
    precision, recall = matched(a, b) / len(a), matched(b, a) / len(b)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, (2, 9, 12), elements=st.integers(0, 1)), st.integers(1, 3))
def test_shapes_agree_with_their_definitions(masks, tolerance):
    first, second = (Shape(mask, tolerance) for mask in masks)
    assert first.boundary_f(second) == pytest.approx(slow_f(*masks, tolerance), abs=1e-12)
    union = (masks[0] | masks[1]).sum()
    assert first.jaccard(second) == ((masks[0] & masks[1]).sum() / union if union else 1)


def test_the_tolerance_of_davis_frames():
    assert [radius(size) for size in ((480, 854), (480, 910), (1080, 1920), (10, 10))] == [8, 9, 18, 1]


def test_a_perfect_result(tmp_path):
    truth = {"a": [square(10 + t) for t in range(6)], "b": [square(10, 1) + square(30, 2)] * 6}
    summary = evaluate_davis(*folders(tmp_path, truth, truth)).summary()
    assert [summary[name] for name in ("J&F-Mean", "J-Mean", "J-Recall", "F-Mean", "F-Recall")] == [1] * 5
    assert summary["J-Decay"] == summary["F-Decay"] == 0


def test_shifted_squares(tmp_path):
    truth, shifted = [square(10)] * 6, [square(15)] * 6
    report = evaluate_davis(*folders(tmp_path, {"a": truth}, {"a": shifted}))
    assert report.summary()["J-Mean"] == pytest.approx(1 / 3)  # 5 columns of 15
    assert report.summary()["J-Recall"] == 0


def test_decay_is_first_quarter_less_last(tmp_path):
    found = [square(10)] * 5 + [square(50)] * 5  # right, then away; frames 1 to 8 are judged
    report = evaluate_davis(*folders(tmp_path, {"a": [square(10)] * 10}, {"a": found}))
    assert report.objects[0].j.tolist() == [1] * 4 + [0] * 4
    assert report.summary()["J-Decay"] == 1
    assert report.summary()["J-Recall"] == 0.5


def test_the_ends_are_judged_on_request_and_in_the_unsupervised_task(tmp_path):
    found = [square(50), *[square(10)] * 4, square(50)]
    where = folders(tmp_path, {"a": [square(10)] * 6}, {"a": found})
    assert evaluate_davis(*where).summary()["J-Mean"] == 1
    assert evaluate_davis(*where, all_frames=True).summary()["J-Mean"] == pytest.approx(4 / 6)
    assert evaluate_davis(*where, task="unsupervised").summary()["J-Mean"] == pytest.approx(4 / 6)


def test_unsupervised_objects_may_have_any_numbers(tmp_path):
    truth, found = square(10, 1) + square(30, 2), square(10, 90) + square(30, 7) + square(60, 8)
    where = folders(tmp_path, {"a": [truth] * 4}, {"a": [found] * 4})
    assert evaluate_davis(*where, task="unsupervised").summary()["J&F-Mean"] == 1
    with pytest.raises(InputError, match=r"results.a has an object 7 that the ground truth does not have"):
        evaluate_davis(*where)


def test_a_single_object(tmp_path):
    where = folders(
        tmp_path, {"a": [square(10, 1) + square(20, 2)] * 4}, {"a": [square(10) + square(20)] * 4}
    )
    assert evaluate_davis(*where, single_object=True).summary()["J&F-Mean"] == 1
    assert evaluate_davis(*where).summary()["J-Mean"] == pytest.approx((0.5 + 0) / 2)


def test_binary_masks_of_davis_2016(tmp_path):
    where = folders(tmp_path, {"a": [square(10, 255)] * 4}, {"a": [square(10, 1)] * 4})
    assert evaluate_davis(*where).summary()["J&F-Mean"] == 1


def test_one_sequence_or_some(tmp_path):
    truth = {"a": [square(10)] * 4, "b": [square(10)] * 4}
    results, annotations = folders(tmp_path, truth, {"a": truth["a"], "b": [square(60)] * 4})
    assert evaluate_davis(results / "a", annotations / "a").summary()["J-Mean"] == 1
    assert evaluate_davis(results, annotations, sequences=["b"]).summary()["J-Mean"] == 0


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"b": [square(10)] * 4}, r"results.a.00001.png does not exist"),
        ({"a": [square(10)] * 2}, r"results.a.00002.png does not exist"),
        ({"a": [square(10)[:50]] * 4}, r"00001.png is 80x50 but the ground truth is 80x60"),
        ({"a": [np.dstack([square(10)] * 3)] * 4}, r"00001.png cannot be used: it is a picture \(RGB\)"),
    ],
)
def test_bad_results_are_one_sentence(found, sentence, tmp_path):
    results, annotations = folders(tmp_path, {"a": [square(10)] * 4}, found)
    with pytest.raises(InputError, match=sentence):
        evaluate_davis(results, annotations)


def test_names_from_image_sets(tmp_path):
    (tmp_path / "2017.txt").write_text("bear\n\ncamel\n")
    lines = [f"/JPEGImages/480p/{name}/{i:05d}.jpg /x" for name in ("bear", "camel") for i in range(2)]
    (tmp_path / "2016.txt").write_text("\n".join(lines))
    assert read_names(tmp_path / "2017.txt") == read_names(tmp_path / "2016.txt") == ["bear", "camel"]
    (tmp_path / "none.txt").touch()
    with pytest.raises(InputError, match=r"none.txt cannot be used: it names no sequences"):
        read_names(tmp_path / "none.txt")


def test_bad_annotations_are_one_sentence(tmp_path):
    results, annotations = folders(tmp_path, {"a": [square(10)] * 2}, {"a": [square(10)] * 2})
    with pytest.raises(InputError, match="has only 2 frames"):
        evaluate_davis(results, annotations)
    with pytest.raises(InputError, match="has no label maps of a sequence 'c'"):
        evaluate_davis(results, annotations, sequences=["c"])
    with pytest.raises(InputError, match="holds no folders of PNG label maps"):
        evaluate_davis(results, tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        evaluate_davis(results, tmp_path / "nowhere")
