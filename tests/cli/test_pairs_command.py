"""`msnvis pairs` as users call it."""

import json

import cv2
import pytest
import squares
from command import msnvis

from msnvis import masks as mask_ops
from msnvis.selection.pair_store import PairStore
from msnvis.weights.files import weights_path


@pytest.fixture
def dataset(tmp_path):
    """The clip of two squares in the json of YouTube-VIS."""
    images = squares.frames(4)
    names = [f"clip/{index:05}.png" for index in range(len(images))]
    found = squares.SquareSegmenter().segment(images)
    (tmp_path / "JPEGImages" / "clip").mkdir(parents=True)
    for name, image in zip(names, images, strict=True):
        assert cv2.imwrite(str(tmp_path / "JPEGImages" / name), image[..., ::-1])
    video = {"id": 1, "width": 80, "height": 48, "length": len(images), "file_names": names}
    annotations = [
        {
            "id": number + 1,
            "video_id": 1,
            "category_id": number + 1,
            "segmentations": [mask_ops.to_json(detections.rles[number]) for detections in found],
        }
        for number in range(2)
    ]
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(squares.COLOURS)]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"videos": [video], "categories": categories, "annotations": annotations}))
    return path


def test_every_object_gives_a_pair_in_every_frame_after_its_first(dataset, tmp_path):
    outcome = msnvis("pairs", dataset, "-o", tmp_path / "pairs", "--segmenter", "squares", "--workers", 0)
    assert outcome.code == 0
    assert outcome.out == f"{tmp_path / 'pairs'}: 12 pairs of 1 videos\n"  # 2 objects, 3 frames, 2 directions
    assert len(PairStore(tmp_path / "pairs")) == 12


def test_weights_of_ones_own_reach_the_segmenter(dataset, tmp_path):
    """The shipped weights, by path, find what they find by name; broken ones are named."""
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights_path("compact").read_bytes())
    shards = []
    for name, options in (("shipped", ()), ("own", ("--segmenter-weights", own))):
        folder = tmp_path / name
        assert msnvis("pairs", dataset, "-o", folder, *options, "--workers", 0).code == 0
        shards.append((folder / "pairs-00000.safetensors").read_bytes())
    assert shards[0] == shards[1]

    own.write_bytes(b"no weights")
    outcome = msnvis("pairs", dataset, "-o", tmp_path / "broken", "--segmenter-weights", own, "--workers", 0)
    assert outcome.code == 2
    assert str(own) in outcome.err and "Traceback" not in outcome.err


@pytest.mark.parametrize("workers", [0, 1])
def test_a_part_that_cannot_be_made_is_told(dataset, tmp_path, workers):
    outcome = msnvis(
        "pairs", dataset, "-o", tmp_path / "pairs", "--segmenter", "compakt", "--workers", workers
    )
    assert outcome.code == 2
    assert "compakt" in outcome.err and "compact" in outcome.err and "Traceback" not in outcome.err


def test_flow_takes_no_weights(dataset, tmp_path):
    outcome = msnvis(
        "pairs", dataset, "-o", tmp_path / "pairs", "--propagator-weights", "flow.pt", "--workers", 0
    )
    assert outcome.code == 2
    assert "weights" in outcome.err and "Traceback" not in outcome.err


def test_weights_of_no_selector_are_refused(dataset, tmp_path):
    outcome = msnvis("pairs", dataset, "-o", tmp_path / "pairs", "--selector-weights", "msn", "--workers", 0)
    assert outcome.code == 2
    assert "none is named for the tracker to ask" in outcome.err
    assert not (tmp_path / "pairs").exists()


def test_the_tracker_can_be_asked_for_its_pairs(dataset, tmp_path):
    options = ("--segmenter", "squares", "--selector", "score", "--workers", 0)
    outcome = msnvis("pairs", dataset, "-o", tmp_path / "pairs", *options)
    assert outcome.code == 2 and "give the start segmenter" in outcome.err
    outcome = msnvis("pairs", dataset, "-o", tmp_path / "pairs", *options, "--start", "segmenter")
    assert outcome.out == f"{tmp_path / 'pairs'}: 12 pairs of 1 videos\n"
