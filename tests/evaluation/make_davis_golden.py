"""Makes ``golden/davis.npz`` and ``golden/davis.json``: label maps, and what the official code says of them.

    python tests/evaluation/make_davis_golden.py FOLDER

FOLDER is a checkout of davisvideochallenge/davis2017-evaluation (commit ac7c43fc); it runs as it is and needs
scikit-image, tqdm and OpenCV.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

GOLDEN = Path(__file__).parent / "golden"
VOID = 255
#: The task and the folder of its ground truth.
TASKS = {"semi-supervised": "Annotations", "unsupervised": "Annotations_unsupervised"}


def draw(canvas, centre, axes, angle, value):
    centre = tuple(int(number) for number in centre)
    axes = tuple(max(int(number), 1) for number in axes)
    cv2.ellipse(canvas, centre, axes, angle, 0, 360, value, -1)


def scene(rng, size, length, objects, *, order=None, extra=0, void=False, gone=None, noise=2.0):
    """Moving ellipses, and the same with more and more noise; now and then the result misses one.

    `order` are the numbers of the objects in the result, `extra` objects are in the result alone, and `gone`
    is an object and the frame from which it is away.
    """
    height, width = size
    total = objects + extra
    centres = rng.uniform([width * 0.2, height * 0.2], [width * 0.8, height * 0.8], (total, 2))
    speeds = rng.normal(0, width * 0.015, (total, 2))
    axes, angles = rng.uniform(height * 0.08, height * 0.25, (total, 2)), rng.uniform(0, 180, total)
    truth, result = np.zeros((2, length, *size), np.uint8)
    for frame in range(length):
        for i in range(total):
            centre = centres[i] + frame * speeds[i]
            if i < objects and not (gone and i == gone[0] and frame >= gone[1]):
                draw(truth[frame], centre, axes[i], angles[i], i + 1)
            centre = centre + rng.normal(0, noise * (1 + frame / 3), 2)
            number = (order[i] if order else i) + 1
            if rng.random() < 0.93:
                shape = axes[i] * rng.uniform(0.8, 1.2, 2), angles[i] + rng.normal(0, 10)
                draw(result[frame], centre, *shape, number)
        if void and frame % 2:
            truth[frame, : height // 5, : width // 3] = VOID
    return truth, result


def extremes():
    """A frame that is all object has no outline, and neither has an empty one."""
    full = np.ones((6, 20, 30), np.uint8)
    result = full.copy()
    result[2], result[3] = 0, np.eye(20, 30)
    return full, result


def noise(rng):
    truth = (rng.random((7, 30, 40)) < 0.5).astype(np.uint8)
    return truth, np.where(rng.random(truth.shape) < 0.2, 1 - truth, truth).astype(np.uint8)


def scenes():
    rng = np.random.default_rng(5)
    return {
        "semi-supervised": {
            "two": scene(rng, (60, 96), 9, 2),
            "large": scene(rng, (180, 320), 8, 3, noise=4.0),
            "gone": scene(rng, (48, 64), 12, 2, gone=(1, 6)),
            "short": scene(rng, (40, 50), 4, 1),
            "full": extremes(),
            "noise": noise(rng),
        },
        "unsupervised": {
            "two": scene(rng, (60, 96), 9, 2, order=[1, 0], void=True),
            "more": scene(rng, (90, 160), 8, 2, order=[3, 1, 0, 2], extra=2, void=True),
            "fewer": scene(rng, (48, 64), 6, 3, order=[0, 0, 0]),
        },
    }


def official(root, task):
    from davis2017.evaluation import DAVISEvaluation

    j, f = DAVISEvaluation(str(root), task, "val").evaluate(str(root / "results")).values()
    summary = {"J&F-Mean": (np.mean(j["M"]) + np.mean(f["M"])) / 2}
    for measure, values in (("J", j), ("F", f)):
        for key, name in (("M", "Mean"), ("R", "Recall"), ("D", "Decay")):
            summary[f"{measure}-{name}"] = np.mean(values[key])
    means = j["M_per_object"], f["M_per_object"]
    return {
        "summary": {name: float(value) for name, value in summary.items()},
        "per_object": {name: [float(mean[name]) for mean in means] for name in means[0]},
    }


def write(root, task, name, truth, result):
    folders = [root / part / name for part in (f"{TASKS[task]}/480p", "results", "JPEGImages/480p")]
    for folder in folders:
        folder.mkdir(parents=True)
    for frame, maps in enumerate(zip(truth, result, strict=True)):
        for folder, labels in zip(folders, maps, strict=False):
            Image.fromarray(labels).save(folder / f"{frame:05d}.png")
        (folders[2] / f"{frame:05d}.jpg").touch()


def main(folder):
    sys.path.insert(0, folder)
    arrays, numbers = {}, {}
    for task, sequences in scenes().items():
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            for name, maps in sequences.items():
                write(root, task, name, *maps)
                arrays[f"{task}/{name}/truth"], arrays[f"{task}/{name}/result"] = maps
            (root / "ImageSets" / "2017").mkdir(parents=True)
            (root / "ImageSets" / "2017" / "val.txt").write_text("\n".join(sequences))
            numbers[task] = official(root, task)
    np.savez_compressed(GOLDEN / "davis.npz", **arrays)
    (GOLDEN / "davis.json").write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
