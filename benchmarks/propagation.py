"""J of the flow propagator on DAVIS, step by step, so that each step can show what it earns.

    python benchmarks/propagation.py DAVIS_DIR [--sequences bear,bus] [--max-frames 40]

DAVIS_DIR holds JPEGImages/ and Annotations/, directly or in a folder named after the resolution (480p),
with a folder for each sequence and one object a sequence, as in DAVIS 2016. `long` carries the first true
mask through the whole sequence; `short` gives the true mask again every 10 frames, as the pipeline's
corrections do. Time is CPU time a step.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from msnvis.propagators import Corrections, Propagator, create_propagator

SHORT_HORIZON = 10
OFF = {"check_occlusion": False, "use_colour": False, "refine_edges": False}
DEFAULT = "all (the default)"
VARIANTS: dict[str, dict[str, object]] = {
    "plain DIS warping": OFF,
    "only dropping unreliable flow": {**OFF, "check_occlusion": True},
    "only edges": {**OFF, "refine_edges": True},
    "only colour": {**OFF, "use_colour": True},
    "colour, edges": {"check_occlusion": False},
    "colour, reliability": {"refine_edges": False},
    DEFAULT: {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("davis", type=Path)
    parser.add_argument("--sequences", help="names, with commas between them; all by default")
    parser.add_argument("--max-frames", type=int, help="use only the first frames of each sequence")
    options = parser.parse_args()
    cv2.setNumThreads(1)  # so that CPU time is comparable
    images, masks = (find_folder(options.davis / kind) for kind in ("JPEGImages", "Annotations"))
    chosen = options.sequences.split(",") if options.sequences else sorted(p.name for p in images.iterdir())
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in VARIANTS}
    for sequence in chosen:
        frames = read(images / sequence, cv2.IMREAD_COLOR, options.max_frames)
        truth = [mask > 0 for mask in read(masks / sequence, cv2.IMREAD_GRAYSCALE, options.max_frames)]
        for name, variant in VARIANTS.items():
            results[name].append(measure(variant, frames, truth))
        long, short, _ = results[DEFAULT][-1]
        print(f"{sequence:20} long {100 * long:5.1f}  short {100 * short:5.1f}", flush=True)
    print(f"\n{'mean of ' + str(len(chosen)) + ' sequences':30} {'long':>6} {'short':>6} {'ms':>6}")
    for name, rows in results.items():
        long, short, milliseconds = np.mean(rows, axis=0)
        print(f"{name:30} {100 * long:6.1f} {100 * short:6.1f} {milliseconds:6.1f}")


def find_folder(kind: Path) -> Path:
    """`kind` itself, or the folder of one resolution inside it."""
    return next((kind / name for name in ("480p", "Full-Resolution") if (kind / name).is_dir()), kind)


def read(folder: Path, mode: int, count: int | None) -> list[np.ndarray]:
    images = [cv2.imread(str(path), mode) for path in sorted(folder.iterdir())[:count]]
    return images if mode == cv2.IMREAD_GRAYSCALE else [image[..., ::-1].copy() for image in images]


def measure(
    variant: dict[str, object], frames: list[np.ndarray], truth: list[np.ndarray]
) -> tuple[float, float, float]:
    """Mean J of the long and of the short horizon, and CPU milliseconds a step."""
    start = time.process_time()
    long = propagate(create_propagator("flow", **variant), frames, truth, len(frames))
    milliseconds = 1000 * (time.process_time() - start) / (len(frames) - 1)
    return long, propagate(create_propagator("flow", **variant), frames, truth, SHORT_HORIZON), milliseconds


def propagate(
    propagator: Propagator, frames: list[np.ndarray], truth: list[np.ndarray], horizon: int
) -> float:
    """Mean J over all frames but the first, with the true mask given anew every `horizon` frames."""
    propagator.start(frames[0], {1: truth[0]})
    overlaps = []
    for index in range(1, len(frames)):
        renew = index > 1 and (index - 1) % horizon == 0
        corrections = Corrections({1: truth[index - 1]}) if renew else None
        mask = propagator.step(frames[index], corrections).get(1, np.zeros_like(truth[0]))
        union = (mask | truth[index]).sum()
        overlaps.append((mask & truth[index]).sum() / union if union else 1.0)
    return float(np.mean(overlaps))


if __name__ == "__main__":
    main()
