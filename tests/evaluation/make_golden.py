"""Makes ``golden/ytvis.json.gz`` and ``golden/ytvis.npz``: inputs, and what the official code says of them.

    python tests/evaluation/make_golden.py FOLDER

FOLDER holds a package ``ytvis`` with ``ytvos.py`` and ``ytvoseval.py`` of youtubevos/cocoapi as they are
(commit f3f9948a, ``PythonAPI/pycocotools``), an empty ``__init__.py``, and a ``mask.py`` that imports
everything from ``pycocotools.mask``. The official code needs Python 2's ``unicode``, ``np.float``, and an
`np.linspace` whose number of points need not be an integer; `shims` provides them. `docs/evaluation.md` says
more.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import gzip
import importlib
import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

GOLDEN = Path(__file__).parent / "golden"
SIZE = (300, 400)


def encode(mask):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(rle["size"]), "counts": rle["counts"].decode()}


def ellipse(rng, size=SIZE, largest=150):
    mask = np.zeros(size, np.uint8)
    centre = (int(rng.integers(0, size[1])), int(rng.integers(0, size[0])))
    axes = tuple(int(side) for side in rng.integers(5, largest, 2))
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return mask


def moved(mask, rng, most=12):
    x, y = rng.integers(-most, most + 1, 2)
    return cv2.warpAffine(mask, np.float32([[1, 0, x], [0, 1, y]]), mask.shape[::-1])


def rectangle(left, top, width, height, size=SIZE):
    mask = np.zeros(size, np.uint8)
    mask[top : top + height, left : left + width] = 1
    return encode(mask)


def areas(segmentations):
    return [int(coco_mask.area(s)) if s else None for s in segmentations]


class Case:
    """Ground truth and results in the making."""

    def __init__(self, lengths, categories=3, size=SIZE, class_agnostic=False):
        self.lengths, self.size, self.class_agnostic = lengths, size, class_agnostic
        self.categories = list(range(1, categories + 1))
        self.annotations, self.results = [], []

    def object(self, video, category, segmentations, **more):
        entry = {"id": len(self.annotations) + 1, "video_id": video, "category_id": category, "iscrowd": 0}
        if "areas" not in more:
            more["areas"] = areas(segmentations)
        self.annotations.append(entry | {"segmentations": segmentations} | more)

    def track(self, video, category, segmentations, score):
        entry = {"video_id": video, "category_id": category, "score": score, "segmentations": segmentations}
        self.results.append(entry)

    def content(self):
        height, width = self.size
        videos = [
            {"id": number, "height": height, "width": width, "length": length}
            for number, length in self.lengths.items()
        ]
        categories = [{"id": number, "name": f"class {number}"} for number in self.categories]
        truth = {"videos": videos, "categories": categories, "annotations": self.annotations}
        return {"truth": truth, "results": self.results, "class_agnostic": self.class_agnostic}


def scenes(
    seed,
    lengths,
    *,
    objects=3,
    tracks=6,
    categories=3,
    absent=0.1,
    crowd=0.0,
    scores=None,
    agnostic=False,
    jitter=12,
):
    """Objects that move, tracks that follow them more or less, and some that follow nothing."""
    rng = np.random.default_rng(seed)
    case = Case(lengths, categories, class_agnostic=agnostic)

    def sometimes(mask):
        return None if rng.random() < absent else encode(mask)

    for video, length in lengths.items():
        shapes = []
        for _ in range(objects):
            shape, category = ellipse(rng), int(rng.integers(1, categories + 1))
            frames = [moved(shape, rng, 20) for _ in range(length)]
            shapes.append((frames, category))
            case.object(video, category, [sometimes(m) for m in frames], iscrowd=int(rng.random() < crowd))
        for _ in range(tracks):
            score = float(rng.choice(scores)) if scores else float(rng.random())
            category = int(rng.integers(1, categories + 1))
            if shapes and rng.random() < 0.8:
                frames, right = shapes[rng.integers(len(shapes))]
                category = right if rng.random() < 0.8 else category
                case.track(video, category, [sometimes(moved(m, rng, jitter)) for m in frames], score)
            else:
                case.track(video, category, [sometimes(ellipse(rng)) for _ in range(length)], score)
    rng.shuffle(case.results)
    return case


def ties():
    """Twice the same object, and tracks that repeat: the same overlaps and the same scores."""
    rng = np.random.default_rng(100)
    case = Case({1: 3, 2: 3}, categories=2)
    for video in (1, 2):
        frames = [encode(ellipse(rng)) for _ in range(3)]
        for category in (1, 1, 2):
            case.object(video, category, frames)
        for category, score in ((1, 0.5), (2, 0.5), (1, 0.5), (2, 0.5), (1, 0.5), (1, 0.75)):
            case.track(video, category, frames if score == 0.5 else [frames[0], None, frames[2]], score)
        case.track(video, 1, [encode(ellipse(rng)) for _ in range(3)], 0.5)
    return case


def at_the_thresholds():
    """IoU of n / 20 for all n: equal to a threshold, as far as floating point numbers can be."""
    case = Case({1: 1, 2: 2}, categories=1)
    for n in range(21):
        case.object(1, 1, [rectangle(0, 10 * n, 20, 1)])
        case.track(1, 1, [rectangle(0, 10 * n, n, 1)], score=1 - n / 100)
    for n in range(1, 20):
        case.object(2, 1, [rectangle(20, 10 * n, 20, 3), None])
        case.track(2, 1, [rectangle(20, 10 * n, 20, 3), rectangle(0, 0, n, 3)], score=0.5 + n / 100)
    return case


def at_the_area_bounds():
    """Areas of just 128 and 256 squared, and one pixel more or less, of objects and of tracks."""
    case = Case({1: 2, 2: 1}, categories=1, size=(300, 1200))
    for place, (width, height) in enumerate([(128, 128), (127, 129), (256, 256), (255, 257), (1, 1)]):
        mask = rectangle(place * 240, 0, width, height, (300, 1200))
        case.object(1, 1, [mask, mask])
        case.track(1, 1, [mask, None], 0.9 - place / 10)
        case.track(2, 1, [mask], 0.95 - place / 10)
    case.object(2, 1, [rectangle(0, 0, 256, 256, (300, 1200))])
    return case


def annotated_areas():
    """Areas that contradict the masks, fractions and zeros among them."""
    case = scenes(8, {1: 4, 2: 4}, objects=4, tracks=8)
    rng = np.random.default_rng(8)
    for entry in case.annotations:
        entry["areas"] = [
            [None, 0, float(rng.uniform(1, 1e5)), int(rng.integers(1, 10**5))][rng.integers(4)]
            for _ in range(4)
        ]
    return case


def nothing_there():
    """Objects and tracks without a pixel, as null and as empty masks, next to ordinary ones."""
    case = scenes(9, {1: 3, 2: 3}, categories=2)
    empty = encode(np.zeros(SIZE))
    for segmentations in ([None] * 3, [empty] * 3, [empty, None, empty]):
        case.object(1, 1, segmentations)
        case.track(1, 1, segmentations, 0.99)
        case.track(2, 2, segmentations, 0.5)
    case.object(3, 1, [None] * 2)
    case.lengths[3] = 2
    return case


def other_encodings():
    """Ground truth as polygons and as uncompressed run lengths."""
    case = Case({1: 2}, categories=2)
    rng = np.random.default_rng(11)
    polygons = [
        [[20.5, 20, 220, 30.5, 120, 200]],
        [[20, 20, 220, 30, 120, 200], [300, 10, 390, 10, 390, 90.2]],
    ]
    runs = [{"size": list(SIZE), "counts": [300, 30000, 89700]}, {"size": list(SIZE), "counts": [0, 120000]}]
    case.object(1, 1, polygons, areas=[15000.5, 20000.25])
    case.object(1, 2, runs, areas=[30000, 120000])
    for entry in case.annotations[:]:
        for score in (0.3, 0.6):
            masks = [
                coco_mask.decode(
                    coco_mask.merge(coco_mask.frPyObjects(s if isinstance(s, list) else [s], *SIZE))
                )
                for s in entry["segmentations"]
            ]
            case.track(1, entry["category_id"], [encode(moved(m, rng, 30)) for m in masks], score)
    return case


def odd_numbers():
    """Ids out of order and far apart, scores that are whole, negative and huge."""
    case = scenes(12, {9: 2, 4: 3, 700: 1}, categories=3, objects=2)
    case.categories = [30, 5, 12]
    for entry in case.annotations + case.results:
        entry["category_id"] = {1: 30, 2: 5, 3: 12}[entry["category_id"]]
    for number, entry in enumerate(case.annotations):
        entry["id"] = 1000 - 7 * number
    for entry, score in zip(case.results, (-3, 0, 7, 1e300, -0.0, 2, -1e-300), strict=False):
        entry["score"] = score
    return case


def an_object_with_id_0():
    case = scenes(13, {1: 3, 2: 3}, categories=2, jitter=3)
    for number, entry in enumerate(case.annotations):
        entry["id"] = number
    return case


def only_one_track():
    case = scenes(14, {1: 2, 2: 2, 3: 2})
    case.results = case.results[:1]
    return case


def no_objects():
    case = scenes(15, {1: 2, 2: 2})
    case.annotations = []
    return case


def unknown_to_the_truth():
    """Categories with tracks and no objects, and with objects and no tracks."""
    case = scenes(16, {1: 3, 2: 3}, categories=5)
    case.annotations = [a for a in case.annotations if a["category_id"] in (1, 2, 3)]
    case.results = [r for r in case.results if r["category_id"] not in (2,)]
    return case


def all_cases():
    five = dict.fromkeys(range(1, 6), 4)
    return {
        **{f"random {seed}": scenes(seed, five) for seed in range(4)},
        "random, one class": scenes(4, five, categories=1, objects=4, tracks=9),
        "few scores": scenes(5, five, scores=[0.1, 0.5, 0.9], tracks=9, categories=2),
        "crowd": scenes(6, five, crowd=0.5, objects=5, tracks=9, categories=2, jitter=5),
        "crowd only": scenes(17, five, crowd=1.0, categories=2),
        "mostly absent": scenes(7, {1: 6, 2: 6, 3: 6}, absent=0.3, jitter=2),
        "one frame": scenes(10, dict.fromkeys(range(1, 9), 1), absent=0, jitter=8),
        "many tracks": scenes(18, {1: 1, 2: 1}, tracks=130, categories=1, objects=5),
        "many tracks, few scores": scenes(19, {1: 1, 2: 1}, tracks=140, categories=1, scores=[0.2, 0.7]),
        "ties": ties(),
        "thresholds": at_the_thresholds(),
        "area bounds": at_the_area_bounds(),
        "annotated areas": annotated_areas(),
        "nothing there": nothing_there(),
        "other encodings": other_encodings(),
        "odd numbers": odd_numbers(),
        "id 0": an_object_with_id_0(),
        "one track": only_one_track(),
        "no objects": no_objects(),
        "categories apart": unknown_to_the_truth(),
        "no classes": scenes(20, five, agnostic=True),
        "no classes, few scores": scenes(21, five, scores=[0.5, 0.9], agnostic=True, crowd=0.2),
        "no classes, many tracks": scenes(
            22, {1: 1, 2: 1}, tracks=130, scores=[0.1, 0.2, 0.3], agnostic=True
        ),
    }


@contextlib.contextmanager
def shims():
    """What the official code needs of an old Python and an old NumPy."""
    linspace = np.linspace
    builtins.unicode, np.float = str, float
    np.linspace = lambda start, stop, num, **options: linspace(start, stop, int(num), **options)
    try:
        yield
    finally:
        np.linspace = linspace
        del builtins.unicode, np.float


def official(case):
    ytvos, ytvoseval = (importlib.import_module(f"ytvis.{name}") for name in ("ytvos", "ytvoseval"))
    with shims(), contextlib.redirect_stdout(io.StringIO()):
        truth = ytvos.YTVOS()
        truth.dataset = copy.deepcopy(case["truth"])
        truth.createIndex()
        evaluation = ytvoseval.YTVOSeval(truth, truth.loadRes(copy.deepcopy(case["results"])))
        evaluation.params.useCats = int(not case["class_agnostic"])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def main():
    sys.path.insert(0, sys.argv[1])
    cases = {name: case.content() for name, case in all_cases().items()}
    arrays = {}
    for name, case in cases.items():
        evaluation = official(case)
        case["official"] = evaluation.stats.tolist()
        for key in ("precision", "recall", "scores"):
            arrays[f"{name}/{key}"] = evaluation.eval[key]
        print(f"{name:30}", np.round(evaluation.stats, 3))
    GOLDEN.mkdir(exist_ok=True)
    with gzip.GzipFile(GOLDEN / "ytvis.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(cases, separators=(",", ":")).encode())
    np.savez_compressed(GOLDEN / "ytvis.npz", **arrays)


if __name__ == "__main__":
    main()
