"""From an mp4 to every format, on squares whose places are known."""

import json

import av
import numpy as np
import pytest
import squares
from command import msnvis
from PIL import Image
from pycocotools import mask as coco_mask

from msnvis import VideoInstances

COUNT, SIZE = 12, (48, 80)
#: class -> frame -> the pixels of its square
TRUTH = {
    name: [np.all(image == colour, axis=2) for image in squares.frames(COUNT, SIZE)]
    for name, colour in squares.COLOURS.items()
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folder of a run in both directions, in every format."""
    folder = tmp_path_factory.mktemp("results")
    clip = squares.write_clip(folder / "clip.mp4", squares.frames(COUNT, SIZE))
    formats = ("ytvis", "coco", "png", "mots", "overlay", "summary")
    options = [word for name in formats for word in ("--format", name)]
    outcome = msnvis("run", clip, "-o", folder, "--segmenter", "squares", "--classifier", "none", *options)
    assert outcome.code == 0, outcome.err
    return folder


def overlap(mask: np.ndarray, truth: np.ndarray) -> float:
    return (mask & truth).sum() / (mask | truth).sum()


def decode(segmentation: dict) -> np.ndarray:
    return coco_mask.decode(segmentation).astype(bool)


def test_tracks_json_holds_the_squares(results):
    content = json.loads((results / "tracks.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    found = {names[track["category_id"]]: track for track in content["annotations"]}
    assert found.keys() == TRUTH.keys()
    assert content["videos"][0]["timestamps"] == pytest.approx(
        [index / squares.FPS for index in range(COUNT)]
    )
    for name, track in found.items():
        assert track["score"] == pytest.approx(0.9, abs=0.05)
        for truth, segmentation in zip(TRUTH[name], track["segmentations"], strict=True):
            assert overlap(decode(segmentation), truth) > 0.75


def test_tracks_json_reads_back(results):
    instances = VideoInstances.from_ytvis(results / "tracks.json")
    assert sorted(instances.class_name(track) for track in instances.tracks) == ["car", "person"]
    assert (instances.num_frames, instances.size) == (COUNT, SIZE)


def test_every_format_says_the_same(results):
    tracks = json.loads((results / "tracks.json").read_text())["annotations"]
    coco = json.loads((results / "coco.json").read_text())
    image_ids = [image["id"] for image in sorted(coco["images"], key=lambda image: image["frame_index"])]
    by_place = {(entry["image_id"], entry["track_id"]): entry for entry in coco["annotations"]}
    lines = (results / "mots.txt").read_text().splitlines()
    mots = {(int(line.split()[0]), int(line.split()[1])): line.split() for line in lines}
    assert len(by_place) == len(mots) == 2 * COUNT
    for track in tracks:
        for index, segmentation in enumerate(track["segmentations"]):
            mask = decode(segmentation)
            assert np.array_equal(decode(by_place[image_ids[index], track["id"]]["segmentation"]), mask)
            label_map = np.asarray(Image.open(results / "masks" / f"{index:05d}.png"))
            assert np.array_equal(label_map == track["id"], mask)
            line = mots[index, track["category_id"] * 1000 + track["id"]]
            rle = {"size": [int(line[3]), int(line[4])], "counts": line[5]}
            assert np.array_equal(decode(rle), mask)


def test_overlay_is_the_video_with_colour_on_the_squares(results):
    with av.open(str(results / "overlay.mp4")) as overlay, av.open(str(results / "clip.mp4")) as clip:
        drawn = [frame.to_ndarray(format="rgb24").astype(int) for frame in overlay.decode(video=0)]
        plain = [frame.to_ndarray(format="rgb24").astype(int) for frame in clip.decode(video=0)]
    assert len(drawn) == len(plain) == COUNT
    for index in range(COUNT):
        change = np.abs(drawn[index] - plain[index]).mean(axis=2)
        for truth in TRUTH.values():
            assert change[truth[index]].mean() > 15
        assert change[-4:].mean() < 5  # nothing is drawn in the rows below the squares


def test_summary_is_a_picture(results):
    with Image.open(results / "summary.png") as summary:
        assert summary.format == "PNG" and min(summary.size) > 200
        assert len(summary.convert("RGB").getcolors(maxcolors=2**24)) > 50
