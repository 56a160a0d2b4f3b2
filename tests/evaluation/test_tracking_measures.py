"""HOTA, IDF1 and CLEAR against TrackEval, and on tracks whose numbers follow from their definitions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from msnvis import masks as mask_ops
from msnvis.datasets.video import AnnotatedTrack
from msnvis.errors import MissingExtraError
from msnvis.evaluation.frames import PairedVideos, VideoTracks
from msnvis.evaluation.tracking import evaluate_tracking, measure_tracking
from msnvis.structures import Track

GOLDEN = Path(__file__).parent / "golden" / "tracking.json"


def on(left: int, frames: range) -> dict[int, mask_ops.RLE]:
    mask = np.zeros((1, 8, 40), bool)
    mask[0, 2:6, left : left + 4] = True
    return dict.fromkeys(frames, mask_ops.encode(mask)[0])


@pytest.fixture
def trackers():
    return pytest.importorskip("trackers", reason="needs msnvis[tracking]")


TEN = range(10)
TWO_OBJECTS = [AnnotatedTrack(1, 0, on(0, TEN)), AnnotatedTrack(2, 0, on(20, TEN))]


def test_equal_to_trackeval(trackers):
    """See docs/diagnosis.md for how the golden file was made."""
    golden = json.loads(GOLDEN.read_text())
    report = evaluate_tracking(golden["results"], golden["annotations"]).to_dict()
    official = golden["official"]
    for ours, theirs in [
        (report["mean"], official["mean"]),
        (report["pooled"], official["pooled"]),
        *(
            (report["per_category"][name], official["per_category"][name])
            for name in official["per_category"]
        ),
    ]:
        assert ours == pytest.approx(theirs, abs=1e-12)
    assert report["per_category"].keys() == official["per_category"].keys()


def test_perfect_tracks(trackers):
    tracks = [Track(0, 0, 1.0, on(0, TEN)), Track(1, 0, 1.0, on(20, TEN))]
    pooled = measure_tracking(PairedVideos(["cat"], [VideoTracks("clip", 10, TWO_OBJECTS, tracks)])).pooled
    assert [pooled[name] for name in ("HOTA", "DetA", "AssA", "LocA", "IDF1", "MOTA", "MOTP")] == [1] * 7
    assert pooled["IDSW"] == pooled["Frag"] == 0


def test_two_objects_that_swap_ids_at_half_time(trackers):
    tracks = [
        Track(0, 0, 1.0, on(0, range(5)) | on(20, range(5, 10))),
        Track(1, 0, 1.0, on(20, range(5)) | on(0, range(5, 10))),
    ]
    pooled = measure_tracking(PairedVideos(["cat"], [VideoTracks("clip", 10, TWO_OBJECTS, tracks)])).pooled
    assert pooled["IDF1"] == 0.5
    assert pooled["IDSW"] == 2
    assert pooled["DetA"] == 1
    assert pooled["AssA"] == pytest.approx(1 / 3)  # each match: 5 frames of 10 + 10 - 5
    assert pooled["HOTA"] == pytest.approx(np.sqrt(1 / 3))


def test_classes_are_measured_apart_unless_they_are_ignored(trackers):
    golden = json.loads(GOLDEN.read_text())
    annotations = golden["annotations"]
    mistaken = [
        {**item, "category_id": 3 - item["category_id"], "score": 1.0}
        for item in annotations["annotations"]
        if item["category_id"] < 3
    ]
    annotations["annotations"] = [item for item in annotations["annotations"] if item["category_id"] < 3]
    assert evaluate_tracking(mistaken, annotations).pooled["HOTA"] < 0.5
    agnostic = evaluate_tracking(mistaken, annotations, class_agnostic=True)
    assert agnostic.pooled["HOTA"] == pytest.approx(1)
    assert agnostic.per_category.keys() == {"all"}


def test_weak_tracks_are_left_out_on_request(trackers):
    golden = json.loads(GOLDEN.read_text())
    nothing = evaluate_tracking(golden["results"], golden["annotations"], score_threshold=1.1)
    assert nothing.pooled["HOTA"] == 0


def test_nothing_at_all(trackers):
    report = measure_tracking(PairedVideos(["cat"], [VideoTracks("clip", 3, [], [])]))
    assert report.per_category == {}
    assert report.mean["HOTA"] == report.pooled["HOTA"] == 0


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(MissingExtraError, match=r"pip install msnvis\[tracking\]"):
        evaluate_tracking([], {"videos": [], "categories": [], "annotations": []})
