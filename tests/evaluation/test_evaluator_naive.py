"""Against the definition of the metric in plain loops over pixels: no run lengths, no arrays of curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msnvis import masks as mask_ops
from msnvis.evaluation import evaluate

HEIGHT, WIDTH = 3, 4
AREAS = {"all": (0, 1e10), "small": (0, 128**2), "medium": (128**2, 256**2), "large": (256**2, 1e10)}


def naive_iou(first, second):
    shared = total = 0
    for a, b in zip(first, second, strict=True):
        shared += int((a & b).sum())
        total += int((a | b).sum())
    return shared / total if total else 0.0


def mean_area(masks):
    seen = [int(mask.sum()) for mask in masks if mask.any()]
    return sum(seen) / len(seen) if seen else 0


def naive_matches(objects, tracks, threshold, low, high):
    """For one video and category: score and verdict of each track, and how many objects count."""
    counts = [not crowd and low <= area <= high for _, area, crowd in objects]
    free = [True] * len(objects)
    verdicts = []
    for score, masks in tracks:
        best = None
        for want_counted in (True, False):
            for g, (other, _, crowd) in enumerate(objects):
                overlap = naive_iou(masks, other)
                possible = counts[g] == want_counted and (free[g] or crowd) and overlap >= threshold
                if possible and (best is None or overlap >= best[0]):
                    best = (overlap, g)
            if best:
                break
        if best:
            free[best[1]] = False
            verdicts.append((score, "right" if counts[best[1]] else "ignored"))
        else:
            verdicts.append((score, "wrong" if low <= mean_area(masks) <= high else "ignored"))
    return verdicts, sum(counts)


def naive_curve(per_video):
    """Average precision over 101 recalls, and the final recall; None without objects."""
    total = sum(count for _, count in per_video)
    if not total:
        return None
    ranked = sorted((v for verdicts, _ in per_video for v in verdicts), key=lambda item: -item[0])
    points, right, wrong = [], 0, 0
    for _, verdict in ranked:
        right += verdict == "right"
        wrong += verdict == "wrong"
        points.append((right / total, right / max(right + wrong, 1)))
    precisions = [
        max((precision for recall, precision in points if recall >= wanted), default=0.0)
        for wanted in (np.linspace(0, 1, 101)).tolist()
    ]
    return sum(precisions) / 101, right / total


def naive_statistics(videos, categories):
    """`videos`: a list of (objects, tracks), see `scenes`."""

    def mean(which, area, most, thresholds):
        values = []
        for category in categories:
            for threshold in thresholds:
                per_video = []
                for objects, tracks in videos:
                    mine = [item[1:] for item in objects if item[0] == category]
                    best = sorted((item[1:] for item in tracks if item[0] == category), key=lambda t: -t[0])
                    low, high = AREAS[area]
                    per_video.append(naive_matches(mine, best[:most], threshold, low, high))
                curve = naive_curve(per_video)
                if curve is not None:
                    values.append(curve[which])
        return sum(values) / len(values) if values else -1.0

    every = np.linspace(0.5, 0.95, 10).tolist()
    return {
        "mAP": mean(0, "all", 100, every),
        "AP50": mean(0, "all", 100, every[:1]),
        "AP75": mean(0, "all", 100, every[5:6]),
        "APs": mean(0, "small", 100, every),
        "APm": mean(0, "medium", 100, every),
        "APl": mean(0, "large", 100, every),
        "AR1": mean(1, "all", 1, every),
        "AR10": mean(1, "all", 10, every),
        "AR100": mean(1, "all", 100, every),
        "ARs": mean(1, "small", 100, every),
        "ARm": mean(1, "medium", 100, every),
        "ARl": mean(1, "large", 100, every),
    }


CATEGORIES = st.integers(1, 2)
MASKS = st.integers(0, 2 ** (HEIGHT * WIDTH) - 1).map(
    lambda bits: np.array([bits >> i & 1 for i in range(HEIGHT * WIDTH)], bool).reshape(HEIGHT, WIDTH)
)


@st.composite
def scenes(draw):
    """Videos of (category, masks, area, crowd) objects and (category, score, masks) tracks like them."""
    videos = []
    for _ in range(draw(st.integers(1, 3))):
        length = draw(st.integers(1, 2))
        frames = st.lists(MASKS, min_size=length, max_size=length)
        area = st.sampled_from([1.0, 128.0**2, 128.0**2 + 1, 256.0**2, 1e6])
        objects = draw(st.lists(st.tuples(CATEGORIES, frames, area, st.booleans()), max_size=3))
        shapes = st.one_of(frames, *(st.just(masks) for _, masks, _, _ in objects for _ in range(3)))
        score = st.sampled_from([-1.0, 0.25, 0.5, 1.0])
        videos.append((objects, draw(st.lists(st.tuples(CATEGORIES, score, shapes), max_size=12))))
    return videos


def as_json(videos):
    """Masks without pixels are null in one frame and empty in the next."""

    def segmentations(masks):
        return [
            mask_ops.to_json(rle) if mask.any() or index % 2 else None
            for index, (mask, rle) in enumerate(zip(masks, mask_ops.encode(np.array(masks)), strict=True))
        ]

    truth = {"videos": [], "categories": [{"id": i, "name": str(i)} for i in (1, 2)], "annotations": []}
    results = []
    for number, (objects, tracks) in enumerate(videos, start=1):
        lengths = [len(masks) for _, masks, _, _ in objects] + [len(masks) for _, _, masks in tracks]
        video = {"id": number, "height": HEIGHT, "width": WIDTH, "length": max(lengths, default=1)}
        truth["videos"].append(video)
        for category, masks, area, crowd in objects:
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "video_id": number,
                    "category_id": category,
                    "iscrowd": int(crowd),
                    "segmentations": segmentations(masks),
                    "areas": [area] * len(masks),
                }
            )
        for category, score, masks in tracks:
            entry = {"video_id": number, "category_id": category, "score": score}
            results.append(entry | {"segmentations": segmentations(masks)})
    return truth, results


@given(scenes())
@settings(max_examples=40, deadline=None)
def test_statistics_are_those_of_the_definition(videos):
    truth, results = as_json(videos)
    assert evaluate(results, truth).statistics == pytest.approx(naive_statistics(videos, (1, 2)), abs=1e-12)


@given(scenes())
@settings(max_examples=20, deadline=None)
def test_without_classes_everything_is_of_one_class(videos):
    truth, results = as_json(videos)
    merged = [
        (
            [(1, *item[1:]) for item in sorted(objects, key=lambda item: item[0])],
            [(1, *item[1:]) for item in sorted(tracks, key=lambda item: item[0])],
        )
        for objects, tracks in videos
    ]
    found = evaluate(results, truth, class_agnostic=True).statistics
    assert found == pytest.approx(naive_statistics(merged, (1,)), abs=1e-12)
