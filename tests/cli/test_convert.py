"""`msnvis convert`, from the command line to the files."""

import json

import numpy as np
from command import msnvis
from PIL import Image

CONTENT = {
    "videos": [{"id": 1, "width": 6, "height": 4, "length": 1, "file_names": ["clip/00000.png"]}],
    "categories": [{"id": 1, "name": "person"}],
    "annotations": [
        {"id": 1, "video_id": 1, "category_id": 1, "segmentations": [{"size": [4, 6], "counts": [20, 4]}]},
        {"id": 2, "video_id": 1, "category_id": 1, "segmentations": [{"size": [4, 6], "counts": [20, 5]}]},
    ],
}


def write(tmp_path, content):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    frame = tmp_path / "JPEGImages" / "clip" / "00000.png"
    frame.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(frame)
    return path


def test_a_dataset_is_converted_with_its_frames(tmp_path):
    good = CONTENT | {"annotations": CONTENT["annotations"][:1]}
    output = tmp_path / "out"
    outcome = msnvis(
        "convert", write(tmp_path, good), "--from", "ytvis", "--to", "coco", "-o", output, "--frames", "copy"
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"{output}: 1 videos of 1 frames, 1 tracks with 1 masks, 1 classes\n"
    written = json.loads((output / "instances.json").read_text())
    assert written["annotations"][0]["area"] == 4
    assert (output / "images" / written["images"][0]["file_name"]).is_file()


def test_bad_entries_stop_it_with_a_list(tmp_path):
    path, output = write(tmp_path, CONTENT), tmp_path / "out"
    outcome = msnvis("convert", path, "--from", "ytvis", "--to", "coco", "-o", output)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert outcome.err.splitlines() == [
        f"msnvis: error: {path} has 1 bad entry; correct it, or leave it out with --lenient (lenient=True):",
        f"  {path}: annotation 2: frame 0: the runs cover 25 pixels of a frame of 24",
    ]
    assert not output.exists()


def test_lenient_leaves_them_out_and_says_how_many(tmp_path):
    path, output = write(tmp_path, CONTENT), tmp_path / "out"
    outcome = msnvis("convert", path, "--from", "ytvis", "--to", "coco", "-o", output, "--lenient")
    assert outcome.code == 0
    assert outcome.err.startswith("msnvis: warning: left out 1 annotation:\n")
    assert len(json.loads((output / "instances.json").read_text())["annotations"]) == 1


def test_formats_are_listed(tmp_path):
    rows = [row for row in msnvis("models").out.splitlines() if row.startswith("dataset format")]
    names = {row.split()[2] for row in rows}
    assert names >= {"ytvis", "coco", "davis", "mots", "openimages", "labelme", "cvat"}
    outcome = msnvis("convert", tmp_path, "--from", "davos", "--to", "coco", "-o", tmp_path / "out")
    assert (outcome.code, "did you mean 'davis'" in outcome.err) == (2, True)
