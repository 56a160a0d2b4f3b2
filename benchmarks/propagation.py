"""J of a propagator on DAVIS; of `flow` step by step, so that each step can show what it earns.

    python benchmarks/propagation.py DAVIS_DIR [--sequences bear,bus] [--max-frames 40]
    python benchmarks/propagation.py DAVIS_DIR --propagator transformers:facebook/sam2.1-hiera-tiny \\
        --option device=cuda --option prompts=6

DAVIS_DIR holds JPEGImages/ and Annotations/, directly or in a folder named after the resolution (480p),
with a folder for each sequence: DAVIS 2016 (one object a sequence) or 2017 (several; objects of the first
frame count, 255 is void). `long` carries the first true masks through the whole sequence; `short` gives the
true masks again every 10 frames, as the pipeline's corrections do. J is the mean over all frames but the
first of the mean over objects. Times are a step's, CPU time of all threads and wall time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from msnvis.errors import MsnvisError
from msnvis.propagators import Corrections, Propagator, create_propagator

SHORT_HORIZON = 10
OFF = {"check_occlusion": False, "use_colour": False, "refine_edges": False}
VARIANTS: dict[str, dict[str, object]] = {
    "plain DIS warping": OFF,
    "only dropping unreliable flow": {**OFF, "check_occlusion": True},
    "only edges": {**OFF, "refine_edges": True},
    "only colour": {**OFF, "use_colour": True},
    "colour, edges": {"check_occlusion": False},
    "colour, reliability": {"refine_edges": False},
    "all (the default)": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("davis", type=Path)
    parser.add_argument("--propagator", default="flow", help="any name that `msnvis models` lists")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the propagator; may be repeated",
    )
    parser.add_argument("--sequences", help="names, with commas between them; all by default")
    parser.add_argument("--max-frames", type=int, help="use only the first frames of each sequence")
    options = parser.parse_args()
    cv2.setNumThreads(1)  # so that CPU time is comparable
    try:
        variants = chosen_variants(options.propagator, dict(map(option, options.option)))
        run(options, variants)
    except MsnvisError as error:
        parser.error(str(error))


def option(text: str) -> tuple[str, object]:
    """``("prompts", 6)`` for ``prompts=6``; what is no JSON is a text."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def chosen_variants(name: str, options: Mapping[str, object]) -> dict[str, Propagator]:
    """What is shown -> a propagator, made once: loading a network takes time."""
    if name == "flow" and not options:
        return {shown: create_propagator(name, **variant) for shown, variant in VARIANTS.items()}
    return {name: create_propagator(name, **options)}


def run(options: argparse.Namespace, variants: Mapping[str, Propagator]) -> None:
    images, masks = (find_folder(options.davis / kind) for kind in ("JPEGImages", "Annotations"))
    chosen = options.sequences.split(",") if options.sequences else sorted(p.name for p in images.iterdir())
    results: dict[str, list[tuple[float, ...]]] = {name: [] for name in variants}
    for sequence in chosen:
        frames = read(images / sequence, "RGB", options.max_frames)
        truth = [objects(labels) for labels in read(masks / sequence, None, options.max_frames)]
        for name, propagator in variants.items():
            results[name].append(measure(propagator, frames, truth))
        long, short, *_ = results[list(variants)[-1]][-1]
        print(f"{sequence:20} long {100 * long:5.1f}  short {100 * short:5.1f}", flush=True)
    title = f"mean of {len(chosen)} sequences"
    print(f"\n{title:30} {'long':>6} {'short':>6} {'CPU ms':>8} {'wall ms':>8}")
    for name, rows in results.items():
        long, short, cpu, wall = np.mean(rows, axis=0)
        print(f"{name:30} {100 * long:6.1f} {100 * short:6.1f} {cpu:8.1f} {wall:8.1f}")


def find_folder(kind: Path) -> Path:
    """`kind` itself, or the folder of one resolution inside it."""
    return next((kind / name for name in ("480p", "Full-Resolution") if (kind / name).is_dir()), kind)


def read(folder: Path, mode: str | None, count: int | None) -> list[np.ndarray]:
    """The pictures of a folder in their order; without a `mode` as they are, palettes as indices."""
    pictures = [Image.open(path) for path in sorted(folder.iterdir())[:count]]
    return [np.array(picture.convert(mode) if mode else picture) for picture in pictures]


def objects(labels: np.ndarray) -> dict[int, np.ndarray]:
    """id -> mask; 255 is void, unless it is the only object."""
    ids = set(np.unique(labels).tolist()) - {0}
    return {id_: labels == id_ for id_ in sorted(ids - {255} or ids)}


def measure(
    propagator: Propagator, frames: list[np.ndarray], truth: list[dict[int, np.ndarray]]
) -> tuple[float, float, float, float]:
    """Mean J of the long and of the short horizon, CPU and wall milliseconds a step."""
    cpu, wall = time.process_time(), time.perf_counter()
    long = propagate(propagator, frames, truth, len(frames))
    times = time.process_time() - cpu, time.perf_counter() - wall
    short = propagate(propagator, frames, truth, SHORT_HORIZON)
    return long, short, *(1000 * seconds / (len(frames) - 1) for seconds in times)


def propagate(
    propagator: Propagator, frames: list[np.ndarray], truth: list[dict[int, np.ndarray]], horizon: int
) -> float:
    """Mean J over all frames but the first, with the true masks given anew every `horizon` frames."""
    propagator.start(frames[0], truth[0])
    nothing = np.zeros(frames[0].shape[:2], bool)
    overlaps = []
    for index in range(1, len(frames)):
        renew = index > 1 and (index - 1) % horizon == 0
        known = {id_: truth[index - 1].get(id_, nothing) for id_ in truth[0]} if renew else {}
        carried = propagator.step(frames[index], Corrections(known))
        overlaps += [jaccard(carried.get(id_, nothing), truth[index].get(id_, nothing)) for id_ in truth[0]]
    return float(np.mean(overlaps))


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    union = (first | second).sum()
    return float((first & second).sum() / union) if union else 1.0


if __name__ == "__main__":
    main()
