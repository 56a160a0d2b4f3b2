"""How often each selector takes the better mask, what a pair costs, and what it does to whole videos.

    python benchmarks/selector.py --pairs DIR [--pairs DIR] [--msn-lite FILE] [--msn FILE] ...
    python benchmarks/selector.py --davis DIR --synthetic JSON [--msn-lite FILE] [--msn FILE] ...

`--pairs` are folders made by `msnvis pairs` of videos that no selector was trained on. Printed for each: the
accuracy on pairs whose IoUs with the truth differ by more than 0.02 and whose masks overlap as the tracker
demands, with 95 % bootstrap intervals over videos; then milliseconds a pair of the networks, in the same run.

The second form runs the whole pipeline with each selector and with an oracle that knows the truth: mean IoU
with the foreground on DAVIS-style sequences, with every object and class-agnostic mAP on a YouTube-VIS-format
dataset, and how far each selector goes from the best rule to the oracle. The segmenter runs once a video.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from msnvis import VideoInstanceSegmenter
from msnvis import masks as mask_ops
from msnvis.datasets.formats import read_dataset
from msnvis.datasets.video import AnnotatedVideo, VideoDataset
from msnvis.evaluation import evaluate
from msnvis.segmenters import Segmenter, create_segmenter
from msnvis.selection import Selector
from msnvis.selection.learned import CROPS, NETWORKS, load_selector
from msnvis.selection.measures import accuracy, accuracy_by_margin, balanced_accuracy, calibration_error
from msnvis.selection.network_selector import NetworkSelector, Use
from msnvis.selection.pair_store import PairStore
from msnvis.selection.pairs import STARTS
from msnvis.selection.training import CLEAR_MARGIN
from msnvis.structures import Detections, VideoInstances
from msnvis.tracking.association import ASSOCIATION_IOU

Rule = Callable[[PairStore, np.ndarray], np.ndarray]
RESAMPLES = 1000
PIPELINE_RULES = ("segmenter", "propagator", "score")
#: Name -> the selector for a video.
Choices = dict[str, Callable[[AnnotatedVideo], str | Selector]]


# --- accuracy ---


def temporal_iou(store: PairStore, chosen: np.ndarray) -> np.ndarray:
    """Prefer the mask that is more like the better one of the same object in the frame before."""
    previous = {}
    chances = np.zeros(len(store), np.float32)
    for index in range(len(store)):
        pair, key = store[index], (store.video[index], store.start[index], store.object[index])
        before = previous.get(key)
        if before is not None and abs(store.frame[index] - before[0]) == 1:
            first, second = mask_ops.iou_matrix([pair.first, pair.second], [before[1]])[:, 0]
            chances[index] = first / max(first + second, 1e-9)
        previous[key] = (store.frame[index], pair.first if pair.ious[0] > pair.ious[1] else pair.second)
    return chances[chosen]


def larger_area(store: PairStore, chosen: np.ndarray) -> np.ndarray:
    areas = np.array(
        [mask_ops.areas([p.first, p.second]) for p in map(store.__getitem__, chosen.tolist())], float
    )
    return areas[:, 0] / areas.sum(axis=1)


RULES: dict[str, Rule] = {
    "always segmenter": lambda store, chosen: np.ones(len(chosen)),
    "always propagator": lambda store, chosen: np.zeros(len(chosen)),
    "higher score": lambda store, chosen: store.scores[chosen, 0] / store.scores[chosen].sum(axis=1),
    "larger area": larger_area,
    "temporal IoU": temporal_iou,
}


def network_rule(selector: NetworkSelector) -> Rule:
    def judge(store: PairStore, chosen: np.ndarray) -> np.ndarray:
        pairs = (store[i] for i in chosen.tolist())
        return np.concatenate([selector.judge(p.image, [p.first], [p.second]) for p in pairs])

    return judge


def clear_pairs(store: PairStore) -> np.ndarray:
    margin = np.abs(store.ious[:, 0] - store.ious[:, 1])
    return np.flatnonzero((margin > CLEAR_MARGIN) & (store.overlaps > ASSOCIATION_IOU))


def interval(right: np.ndarray, video: np.ndarray) -> tuple[float, float]:
    """95 % of the accuracies of bootstrap samples of the videos."""
    rng = np.random.default_rng(0)
    _, number = np.unique(video, return_inverse=True)
    hits, counts = np.bincount(number, right), np.bincount(number)
    draws = rng.integers(0, len(counts), (RESAMPLES, len(counts)))
    low, high = np.percentile(hits[draws].sum(axis=1) / counts[draws].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def print_accuracy(folder: Path, rules: dict[str, Rule], every: int) -> None:
    store = PairStore(folder)
    for start, name in enumerate(STARTS):
        chosen = clear_pairs(store)
        chosen = chosen[store.start[chosen] == start][::every]
        if len(chosen):
            print(f"\n{folder}: {len(chosen)} pairs of objects that begin with a mask of the {name}")
            print_rules(store, chosen, rules)


def print_rules(store: PairStore, chosen: np.ndarray, rules: dict[str, Rule]) -> None:
    ious, video = store.ious[chosen], store.video[chosen]
    share = float((ious[:, 0] > ious[:, 1]).mean())
    print(f"  the segmenter's mask is the better one in {share:.1%}; balanced: as if in half of them")
    print(f"  {'':18} accuracy  95 % interval   balanced   calibration error   by difference of IoU")
    for name, rule in rules.items():
        chances = rule(store, chosen)
        right = (chances >= 0.5) == (ious[:, 0] > ious[:, 1])
        low, high = interval(right, video)
        bins = accuracy_by_margin(chances, ious)
        parts = "  ".join(f"{bin_}: {share:.3f}" for bin_, (share, count) in bins.items() if count)
        error = calibration_error(chances, ious)
        shares = (
            f"{accuracy(chances, ious):8.3f}  {low:.3f}-{high:.3f}   {balanced_accuracy(chances, ious):8.3f}"
        )
        print(f"  {name:18} {shares}   {error:17.3f}   {parts}")


# --- cost ---


def print_cost(selectors: dict[str, NetworkSelector], device: str, batch: int = 15, rounds: int = 5) -> None:
    """Milliseconds a pair in batches as a full frame has them, networks in turn in the same rounds."""
    image = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), np.uint8)
    masks = np.zeros((batch, 720, 1280), bool)
    masks[:, 200:500, 300:700] = True
    rles = mask_ops.encode(masks)
    times: dict[str, list[float]] = {name: [] for name in selectors}
    for _ in range(rounds + 1):
        for name, selector in selectors.items():
            start = time.perf_counter()
            selector.judge(image, rles, rles)
            times[name].append((time.perf_counter() - start) / batch * 1000)
    best = {name: float(np.median(values[1:])) for name, values in times.items()}
    print(f"\nmilliseconds a pair on {device}, {torch.get_num_threads()} threads, {batch} pairs of 1280x720")
    for name, value in best.items():
        print(
            f"  {name:18} {value:8.2f}   {best['selector-net'] / value:5.1f} times as quick as Selector Net"
        )


def given_weights(arguments: argparse.Namespace) -> dict[str, str]:
    """Name of a network -> the weights that the command line gives for it."""
    weights = {name: getattr(arguments, name.replace("-", "_")) for name in NETWORKS}
    return {name: path for name, path in weights.items() if path}


def networks(arguments: argparse.Namespace) -> dict[str, NetworkSelector]:
    """All networks: with the weights given, else untrained, which cost the same."""
    given, made = given_weights(arguments), {}
    for name in NETWORKS:
        if name in given:
            made[name] = load_selector(name, given[name], device=arguments.device)
        else:
            made[name] = NetworkSelector(NETWORKS[name](), Use(CROPS[name]), device=arguments.device)
    return made


# --- whole videos ---


@dataclass
class Oracle(Selector):
    """Knows the truth: of each pair it takes the mask with the higher IoU with any true mask."""

    video: AnnotatedVideo

    def __post_init__(self) -> None:
        self.truth = {}
        for index, image in enumerate(self.video.images()):
            rles = [track.rles[index] for track in self.video.tracks if index in track.rles]
            self.truth[hash(image.tobytes())] = rles

    def prefer(self, image: np.ndarray, first: Detections, second: Detections) -> np.ndarray:
        truth = self.truth[hash(image.tobytes())]
        if not truth:
            return np.full(len(first), 0.5, np.float32)
        iou_first, iou_second = (mask_ops.iou_matrix(side.rles, truth) for side in (first, second))
        best = np.maximum(iou_first, iou_second).argmax(axis=1)
        rows = np.arange(len(first))
        return (iou_first[rows, best] >= iou_second[rows, best]).astype(np.float32)


class Remembered(Segmenter):
    """What `compact` finds in a video, found once for all selectors."""

    def __init__(self, segmenter: Segmenter, images: list[np.ndarray]) -> None:
        self.classes = segmenter.classes
        self.found = [segmenter.segment([image])[0] for image in images]
        self.next = 0

    def reset(self, frame: int = 0) -> None:
        self.next = frame

    def segment(self, images: Sequence[np.ndarray]) -> list[Detections]:
        start, self.next = self.next, self.next + len(images)
        return self.found[start : self.next]


def best_track_iou(video: AnnotatedVideo, found: VideoInstances) -> float:
    """Mean over the frames of the IoU of each true object with the one track that fits it best."""
    scores = []
    for truth in video.tracks:
        frames = sorted(truth.rles)
        per_track = [
            sum(
                mask_ops.iou_matrix([truth.rles[f]], [track.rles[f]])[0, 0] if f in track.rles else 0.0
                for f in frames
            )
            for track in found.tracks
        ]
        scores.append(max(per_track, default=0.0) / max(len(frames), 1))
    return float(np.mean(scores))


def agnostic_map(dataset: VideoDataset, found: list[VideoInstances], annotations: Path) -> float:
    results = []
    for video, instances in zip(dataset.videos, found, strict=True):
        for entry in instances.to_ytvis()["annotations"]:
            kept = {key: entry[key] for key in ("score", "segmentations")}
            results.append({"video_id": video.id, "category_id": dataset.category_ids[0], **kept})
    return evaluate(results, annotations, class_agnostic=True).to_dict()["mAP"]


def run_all(videos: Sequence[AnnotatedVideo], choices: Choices) -> dict[str, list[VideoInstances]]:
    """What the pipeline finds with each selector, video by video."""
    compact = create_segmenter("compact")
    found = defaultdict(list)
    for number, video in enumerate(videos, start=1):
        images = list(video.images())
        segmenter = Remembered(compact, images)
        for name, choose in choices.items():
            selector = choose(video)
            parts = VideoInstanceSegmenter(
                segmenter, selector=selector, labels="any", classifier="none", shots=False
            )
            found[name].append(parts.run(images))
        print(f"{number}/{len(videos)} {video.name}", file=sys.stderr, flush=True)
    return found


def judges(arguments: argparse.Namespace, made: dict[str, NetworkSelector]) -> dict[str, Rule]:
    """The networks with weights, and those that ask in both orders also asked once."""
    rules = {}
    for name, weights in given_weights(arguments).items():
        rules[name] = network_rule(made[name])
        if made[name].use.average_orders:
            once = load_selector(name, weights, arguments.device, average_orders=False)
            rules[f"{name}, once"] = network_rule(once)
    return rules


def for_every_video(selector: Selector) -> Callable[[AnnotatedVideo], Selector]:
    return lambda video: selector


def print_whole_videos(arguments: argparse.Namespace) -> None:
    choices: Choices = {name: lambda video, name=name: name for name in PIPELINE_RULES}
    for name, weights in given_weights(arguments).items():
        choices[name] = for_every_video(load_selector(name, weights, device=arguments.device))
        if arguments.score_weight:
            mixed = load_selector(name, weights, device=arguments.device, score_weight=arguments.score_weight)
            choices[f"{name} + scores"] = for_every_video(mixed)
    choices["oracle"] = Oracle
    for kind, path in (("davis", arguments.davis), ("ytvis", arguments.synthetic)):
        if path:
            dataset = read_dataset(path, kind)
            print_comparison(path, dataset, kind, run_all(dataset.videos, choices))


def print_comparison(
    path: Path, dataset: VideoDataset, kind: str, found: dict[str, list[VideoInstances]]
) -> None:
    """Quality with each selector, and how far it goes from the best rule to the oracle."""
    title = f"\n{path}: {len(dataset.videos)} videos"
    ious = {
        name: float(np.mean([best_track_iou(v, f) for v, f in zip(dataset.videos, videos, strict=True)]))
        for name, videos in found.items()
    }
    print_quality(f"{title}, mean IoU of the best track", ious)
    if kind == "ytvis":
        precision = {name: agnostic_map(dataset, videos, path) for name, videos in found.items()}
        print_quality(f"{title}, class-agnostic mAP", precision)


def print_quality(title: str, quality: dict[str, float]) -> None:
    print(title)
    best_rule = max(value for name, value in quality.items() if name in PIPELINE_RULES)
    distance = quality["oracle"] - best_rule
    for name, value in quality.items():
        share = f"{(value - best_rule) / distance:6.0%} of the way" if distance > 0 else ""
        print(f"  {name:18} {value:.3f}   {share}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=Path, action="append", default=[])
    parser.add_argument("--every", type=int, default=1, help="take every n-th pair only")
    for name in NETWORKS:
        parser.add_argument(
            f"--{name}",
            help="weights made by `msnvis train selector`, or the network's name: those shipped with it",
        )
    parser.add_argument(
        "--score-weight", type=float, default=0.0, help="whole videos also with the scores added, so weighted"
    )
    parser.add_argument("--davis", type=Path)
    parser.add_argument("--synthetic", type=Path, help="json of a dataset made by `msnvis synth`")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    made = networks(arguments)
    rules = RULES | judges(arguments, made)
    for folder in arguments.pairs:
        print_accuracy(folder, rules, arguments.every)
    print_cost(made, arguments.device)
    print_whole_videos(arguments)


if __name__ == "__main__":
    main()
