"""Video instance segmentation: masks, classes and stable ids for every object in a video.

>>> import msnvis
>>> instances = msnvis.VideoInstanceSegmenter().run("street.mp4")  # doctest: +SKIP
>>> for track in instances.tracks:  # doctest: +SKIP
...     print(track.id, instances.class_name(track), track.score, len(track.rles))
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msnvis.pipeline import VideoInstanceSegmenter
    from msnvis.propagators.base import create_propagator
    from msnvis.segmenters.base import create_segmenter
    from msnvis.segmenters.classifier import create_classifier
    from msnvis.selection.base import create_selector
    from msnvis.structures import Detections, Track, VideoInstances

__version__ = metadata.version("msnvis")

__all__ = [
    "Detections",
    "Track",
    "VideoInstanceSegmenter",
    "VideoInstances",
    "__version__",
    "create_classifier",
    "create_propagator",
    "create_segmenter",
    "create_selector",
]

# Loaded at first use: torch alone takes seconds, and `msnvis --help` needs none of it.
_HOMES = {
    "Detections": "msnvis.structures",
    "Track": "msnvis.structures",
    "VideoInstances": "msnvis.structures",
    "VideoInstanceSegmenter": "msnvis.pipeline",
    "create_classifier": "msnvis.segmenters.classifier",
    "create_propagator": "msnvis.propagators.base",
    "create_segmenter": "msnvis.segmenters.base",
    "create_selector": "msnvis.selection.base",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'msnvis' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
