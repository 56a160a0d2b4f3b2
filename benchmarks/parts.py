"""Milliseconds a frame of each part that needs no download.

    python benchmarks/parts.py VIDEO [--part swin-b-cascade --part cfbi] [--frames 3] [--objects 3]

Those of transformers_models.py are measured where they are named; they need the extra `transformers`.
Networks whose weights are not shipped get random ones: their time is nearly that of trained ones, except that
a segmenter's masks cost more or less with the number of objects that it finds. Frames are those of VIDEO; the
objects that propagators carry and classifiers look at are discs. Times are the medians over frames after the
first, wall and CPU time of all threads.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import get_model

from msnvis import create_classifier, create_propagator, create_segmenter
from msnvis.io.readers import open_source
from msnvis.propagators.cfbi import create_network
from msnvis.segmenters.swin_cascade import BACKBONES, build_swin_cascade
from msnvis.structures import Detections

MASK_DETECTORS = ("torchvision:maskrcnn_resnet50_fpn", "torchvision:maskrcnn_resnet50_fpn_v2")
SEGMENTERS = ("compact", *BACKBONES, *MASK_DETECTORS)
PROPAGATORS = ("flow", "cfbi-mobilenet", "cfbi")
CLASSIFIERS = ("efficientnet-lite0", "torchvision:vit_b_16", "torchvision:efficientnet_v2_l")


def random_weights(name: str, folder: Path) -> dict[str, Path]:
    """The option `weights` for a part whose weights would have to be fetched."""
    if name in BACKBONES:
        network: nn.Module = build_swin_cascade(name, 80)
    elif name.startswith("cfbi"):
        network = create_network(name)
    elif name.startswith("torchvision:"):
        network = get_model(name.removeprefix("torchvision:"), weights=None)
    else:
        return {}
    path = folder / f"{name.replace(':', '-')}.safetensors"
    save_file(network.state_dict(), path, metadata={"architecture": name})
    return {"weights": path}


def discs(size: tuple[int, int], count: int) -> np.ndarray:
    """``(count, H, W)`` bool."""
    height, width = size
    masks = np.zeros((count, height, width), np.uint8)
    for index, mask in enumerate(masks):
        cv2.circle(mask, (width * (index + 1) // (count + 1), height // 2), height // 8, 1, -1)
    return masks.astype(bool)


def steps(name: str, objects: int, frames: list[np.ndarray], folder: Path) -> Iterator[Callable[[], object]]:
    """What the part does with each frame."""
    masks = discs(frames[0].shape[:2], objects)
    is_segmenter, is_propagator = name in SEGMENTERS, name in PROPAGATORS
    if name.startswith("transformers:"):
        import transformers_models  # takes a while, and needs the extra

        is_segmenter = name in transformers_models.SEGMENTERS
        is_propagator, name = not is_segmenter, transformers_models.save(name, folder)
    if name in MASK_DETECTORS:
        segmenter = create_segmenter(name, pretrained=False)
        yield from (lambda frame=frame: segmenter.segment([frame]) for frame in frames)
    elif is_segmenter:
        segmenter = create_segmenter(name, **random_weights(name, folder))
        yield from (lambda frame=frame: segmenter.segment([frame]) for frame in frames)
    elif is_propagator:
        propagator = create_propagator(name, **random_weights(name, folder))
        propagator.start(frames[0], dict(enumerate(masks)))
        yield from (lambda frame=frame: propagator.step(frame) for frame in frames[1:])
    else:
        classifier = create_classifier(name, **random_weights(name, folder))
        found = Detections.from_masks(masks, np.ones(objects), np.zeros((objects, 0)))
        yield from (lambda frame=frame: classifier.classify(frame, found) for frame in frames)


def main() -> None:
    names = (*SEGMENTERS, *PROPAGATORS, *CLASSIFIERS)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video")
    parser.add_argument("--part", action="append", metavar="NAME", help=", ".join(names))
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--objects", type=int, default=3)
    given = parser.parse_args()
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    source = open_source(given.video)
    frames = [frame.image for frame in islice(source.frames(), given.frames + 2)]
    height, width = frames[0].shape[:2]
    print(f"{width}x{height}, {given.objects} objects, {torch.get_num_threads()} threads")
    print(f"{'part':58}{'wall ms':>9}{'CPU ms':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.part or names:
            times = []
            for step in steps(name, given.objects, frames, Path(folder)):
                wall, cpu = time.perf_counter(), time.process_time()
                step()
                times.append((time.perf_counter() - wall, time.process_time() - cpu))
            wall, cpu = (statistics.median(column) * 1000 for column in zip(*times[1:], strict=True))
            print(f"{name:58}{wall:9.0f}{cpu:9.0f}", flush=True)


if __name__ == "__main__":
    main()
