"""What may be given as results and as ground truth, and what is refused with which words."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedTrack, AnnotatedVideo, VideoDataset
from msnvis.errors import InputError, OptionError
from msnvis.evaluation import evaluate
from msnvis.structures import UNNAMED, Track, VideoInstances

SIZE = (4, 6)


def rle(left, right):
    mask = np.zeros((1, *SIZE), bool)
    mask[0, :, left:right] = True
    return mask_ops.encode(mask)[0]


HALF, WHOLE = rle(0, 3), rle(0, 6)


def truth():
    """Two videos of two frames; in each a cat on the left half."""
    video = {"height": SIZE[0], "width": SIZE[1], "length": 2}
    half = mask_ops.to_json(HALF)
    return {
        "videos": [{"id": 1, "name": "one", **video}, {"id": 2, "name": "two", **video}],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": 1, "video_id": 1, "category_id": 7, "segmentations": [half, half]},
            {"id": 2, "video_id": 2, "category_id": 7, "segmentations": [half, None]},
        ],
    }


def results():
    half = mask_ops.to_json(HALF)
    return [
        {"video_id": 1, "category_id": 7, "score": 0.9, "segmentations": [half, half]},
        {"video_id": 2, "category_id": 7, "score": 0.8, "segmentations": [half, None]},
    ]


def instances(name, label=0, classes=("cat", "dog"), rles=None, score=0.5):
    rles = {0: HALF, 1: HALF} if rles is None else rles
    track = Track(1, label, score, rles, dict.fromkeys(rles, score), np.zeros(len(classes), np.float32))
    return VideoInstances(name, SIZE, np.arange(2) / 25, classes, [track])


def test_perfect_results():
    statistics = evaluate(results(), truth()).statistics
    assert statistics["mAP"] == pytest.approx(1)
    assert statistics["AR1"] == 1
    assert statistics["APm"] == -1


def test_no_results():
    """The official code fails here; nothing found is a recall and a precision of nothing."""
    statistics = evaluate([], truth()).statistics
    assert {statistics[name] for name in ("mAP", "AP50", "APs", "AR1", "AR100")} == {0}
    assert statistics["APl"] == -1


def test_no_ground_truth():
    empty = {**truth(), "annotations": []}
    assert set(evaluate(results(), empty).statistics.values()) == {-1}
    assert set(evaluate([], {"videos": [], "categories": [], "annotations": []}).statistics.values()) == {-1}


def test_results_from_a_file_are_those_from_a_list(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps(results()))
    (tmp_path / "truth.json").write_text(json.dumps(truth()))
    from_files = evaluate(tmp_path / "results.json", str(tmp_path / "truth.json"))
    assert from_files.to_dict() == evaluate(results(), truth()).to_dict()


def test_our_own_files_are_found_by_name(tmp_path):
    """In each the only video is number 1, and the classes have numbers of their own."""
    for name, rles in (("one", None), ("two", {0: HALF})):
        folder = tmp_path / name
        folder.mkdir()
        found = instances(name, label=1, classes=("bird", "cat"), rles=rles)
        (folder / "tracks.json").write_text(json.dumps(found.to_ytvis()))
    assert evaluate(tmp_path, truth()).statistics["mAP"] == pytest.approx(1)
    only_two = evaluate(tmp_path / "two" / "tracks.json", truth())
    assert only_two.statistics["AR1"] == 0.5
    assert [item.video_id for item in only_two.matches if item.correct.any()] == [2]


def test_instances_and_datasets_are_results_too():
    found = [instances("one"), instances("two", rles={0: HALF})]
    assert evaluate(found, truth()).statistics["mAP"] == pytest.approx(1)
    assert evaluate(found[0], truth()).statistics["AR1"] == 0.5
    frames = (Path("0.jpg"), Path("1.jpg"))
    dataset = VideoDataset(
        ("dog", "cat"),
        (9, 4),
        [
            AnnotatedVideo(1, "one", SIZE, frames, (AnnotatedTrack(1, 1, {0: HALF, 1: HALF}),)),
            AnnotatedVideo(2, "two", SIZE, frames, (AnnotatedTrack(2, 1, {0: HALF}),)),
        ],
    )
    assert evaluate(dataset, truth()).statistics["mAP"] == pytest.approx(1)
    against_dataset = evaluate(found, dataset)
    assert against_dataset.statistics["mAP"] == pytest.approx(1)
    assert against_dataset.categories == {4: "cat", 9: "dog"}


def test_what_has_no_name_counts_only_without_classes():
    found = [instances("one", label=UNNAMED), instances("two", label=UNNAMED, rles={0: HALF})]
    assert evaluate(found, truth()).statistics["AR1"] == 0
    assert evaluate(found, truth(), class_agnostic=True).statistics["AR1"] == 1


def test_without_classes_any_class_will_do():
    found = results()
    found[0]["category_id"], found[1]["category_id"] = 3, 12345
    assert evaluate(found, truth(), class_agnostic=True).statistics["AP50"] == pytest.approx(1)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": list(SIZE), "counts": [0, 12, 12]},
        {"size": list(SIZE), "counts": [0, 5, 0, 7, 12]},
        {"size": list(SIZE), "counts": mask_ops.to_json(HALF)["counts"]},
        [[0, 0, 3, 0, 3, 4, 0, 4]],
    ],
)
def test_any_encoding_of_a_mask_will_do(segmentation):
    found, wanted = results(), truth()
    found[0]["segmentations"][0] = segmentation
    wanted["annotations"][1]["segmentations"][0] = segmentation
    assert evaluate(found, wanted).statistics["mAP"] == pytest.approx(1)


def test_areas_are_believed():
    wanted = truth()
    wanted["annotations"][0]["areas"] = [None, 300.0**2]
    statistics = evaluate(results(), wanted).statistics
    assert (statistics["ARl"], statistics["ARs"]) == (1, 1)


def broken(entry=0, frame=None, **changes):
    found = results()
    if frame is not None:
        found[entry]["segmentations"][frame] = changes["mask"]
    else:
        found[entry].update(changes)
    return found


BAD_RESULTS = {
    "entry 1: its video_id 99 is none of the videos": broken(1, video_id=99),
    "entry 1: its category_id 99 is none of the categories": broken(1, category_id=99),
    "entry 0: its score is nan": broken(score=math.nan),
    "entry 0: its score is inf": broken(score=math.inf),
    "entry 0: its 'score' is not a number": broken(score="0.5"),
    "entry 0: it has 1 segmentations for the 2 frames": broken(segmentations=[None]),
    "entry 0: it has 3 segmentations for the 2 frames": broken(segmentations=[None] * 3),
    "entry 0: its 'segmentations' is not a list": broken(segmentations={"size": [4, 6], "counts": "0"}),
    r"entry 0: frame 1: a mask of size \[6, 4\]": broken(
        frame=1, mask={**mask_ops.to_json(HALF), "size": [6, 4]}
    ),
    "entry 0: frame 0: the runs cover": broken(frame=0, mask={"size": list(SIZE), "counts": "04"}),
    "entry 0: frame 0: 'counts' is not": broken(frame=0, mask={"size": list(SIZE), "counts": "P"}),
    "entry 0: frame 0: a segmentation is": broken(frame=0, mask="mask"),
    "entry 0: frame 0: a polygon is": broken(frame=0, mask=[[1, 2]]),
    "entry 1: it is not an object": [*results()[:1], 3],
    "entry 0: it lacks the field 'score'": [{k: v for k, v in results()[0].items() if k != "score"}],
}


@pytest.mark.parametrize("sentence", BAD_RESULTS)
def test_a_bad_entry_is_named(sentence, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(BAD_RESULTS[sentence]))
    with pytest.raises(InputError, match=f"results.json: {sentence}.*; correct it"):
        evaluate(file, truth())
    with pytest.raises(InputError, match=f"the results: {sentence}"):
        evaluate(BAD_RESULTS[sentence], truth())


def test_all_bad_entries_are_counted():
    with pytest.raises(InputError, match="has 25 bad entries") as caught:
        evaluate(broken(score=math.nan)[:1] * 25 + results(), truth())
    assert "entry 19" in str(caught.value)
    assert "and 5 more" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not JSON"),
        ("[{", "is not a JSON list .* after 0 entries"),
        ('[{"video_id": 1}', "is not a JSON list"),
        ("[] []", "is not a JSON list"),
        ("3", "holds no JSON object"),
        ("{}", "lacks the field 'videos'"),
        ("\ufffe\x00", "is not JSON"),
    ],
)
def test_what_is_no_results_file(text, sentence, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(InputError, match=f"results.json.*{sentence}"):
        evaluate(file, truth())


def test_missing_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json does not exist"):
        evaluate(tmp_path / "none.json", truth())
    with pytest.raises(InputError, match=r"none\.json does not exist"):
        evaluate([], tmp_path / "none.json")
    with pytest.raises(InputError, match=r"holds no tracks\.json"):
        evaluate(tmp_path, truth())


def test_our_own_files_may_not_be_of_something_else():
    with pytest.raises(InputError, match=r"its video 'three' .* is none of the videos"):
        evaluate(instances("three"), truth())
    with pytest.raises(InputError, match="track 1: its class 'bird' is none of the categories"):
        evaluate(instances("one", classes=("bird", "cat")), truth())
    longer = instances("one")
    longer.timestamps = np.arange(3) / 25
    with pytest.raises(InputError, match="track 1: it has 3 segmentations for the 2 frames"):
        evaluate(longer, truth())


def annotation(**changes):
    content = truth()
    content["annotations"][1].update(changes)
    return content


def with_entry(key, place, **changes):
    content = truth()
    content[key][place].update(changes)
    return content


#: A mask of another frame under the size of this one.
SHORT = {"size": list(SIZE), "counts": "04"}
BAD_TRUTHS = {
    "annotation 1: an earlier annotation has the same id": annotation(id=1),
    "annotation 2: its video_id 5 is none of the videos": annotation(video_id=5),
    "annotation 2: its category_id 5 is none of the categories": annotation(category_id=5),
    "annotation 2: it has 1 segmentations for the 2 frames": annotation(segmentations=[None]),
    "annotation 2: it has 3 areas for the 2 frames": annotation(areas=[1, 2, 3]),
    "annotation 2: its 'areas' are not": annotation(areas=[math.nan, 1]),
    "annotation 2: its 'iscrowd' is neither": annotation(iscrowd="yes"),
    "annotation 2: frame 1: a mask of size": annotation(
        segmentations=[None, {"size": [1, 1], "counts": "01"}]
    ),
    "annotation 2: frame 1: the runs cover 4 pixels": annotation(segmentations=[None, SHORT]),
    "annotation 2: frame 0: the runs cover 4 pixels": annotation(
        segmentations=[SHORT, None], areas=[4, None]
    ),
    "annotation 2: frame 1: the runs cover 6 pixels": annotation(
        segmentations=[None, {"size": list(SIZE), "counts": [1, 2, 3]}], areas=[None, 2]
    ),
    "annotation 2: frame 1: 'counts' is neither text": annotation(
        segmentations=[None, {"size": list(SIZE), "counts": [12.0, 12.0]}], areas=[None, 12]
    ),
    "annotation 2: frame 1: a run of negative length": annotation(
        segmentations=[None, {"size": list(SIZE), "counts": [-1, 25]}], areas=[None, 25]
    ),
    "annotation at place 1: its 'id' is not a whole number": annotation(id="2"),
    "video 1: an earlier video has the same id": with_entry("videos", 1, id=1),
    "video 2: a frame of 0 x 4": with_entry("videos", 1, width=0),
    "video 2: it has no frames": with_entry("videos", 1, length=0),
    "category 7: an earlier category has the same id": with_entry("categories", 1, id=7),
}


@pytest.mark.parametrize("sentence", BAD_TRUTHS)
def test_bad_annotations_are_named(sentence, tmp_path):
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(BAD_TRUTHS[sentence]))
    with pytest.raises(InputError, match=f"truth.json.*{sentence}"):
        evaluate([], file)


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_bad_masks_of_the_ground_truth_are_named_before_those_of_results(class_agnostic):
    """Whether a track is compared with them, cannot be, or there is none."""
    wanted = truth()
    for entry in wanted["annotations"]:
        entry.update(segmentations=[SHORT, None], areas=[4, None])
    for found in (results(), broken(frame=0, mask=SHORT), results()[:1], []):
        with pytest.raises(InputError, match=r"(?s)2 bad.*annotation 1: frame 0.*annotation 2: frame 0"):
            evaluate(found, wanted, class_agnostic=class_agnostic)


def test_inputs_are_left_as_they_were():
    """The official code writes into both."""
    found, wanted = results(), truth()
    before = copy.deepcopy((found, wanted))
    evaluate(found, wanted)
    assert (found, wanted) == before


def test_a_number_of_samples_below_0_is_refused():
    with pytest.raises(OptionError, match="bootstrap=-1"):
        evaluate(results(), truth(), bootstrap=-1)
