"""The constants of the official YouTube-VIS evaluation (youtubevos/cocoapi, ``ytvoseval.py``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

#: T = 10 thresholds of the IoU, .50 to .95.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: R = 101 recalls at which the precision is read.
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
#: M = 3 bounds on the tracks of one video *and* category, best first.
MAX_TRACKS = (1, 10, 100)
#: A = 4 ranges of the area of an object (mean over the frames in which it is seen), in pixels, both ends
#: included.
AREA_RANGES = {
    "all": (0.0, 1e5**2),
    "small": (0.0, 128.0**2),
    "medium": (128.0**2, 256.0**2),
    "large": (256.0**2, 1e5**2),
}
#: Value of a statistic, or of a point of a curve, for which there is no ground truth.
UNDEFINED = -1.0
#: Category of everything in a class-agnostic evaluation.
ANY_CATEGORY = -1


@dataclass(frozen=True)
class Statistic:
    """One number of the summary: the mean of a part of the curves.

    Attributes:
        of: which of the arrays of a `Report`.
        thresholds: which IoU thresholds.
        area: which of `AREA_RANGES`.
        most: which of `MAX_TRACKS`.
    """

    of: Literal["precision", "recall"]
    thresholds: slice
    area: int
    most: int


_ALL = slice(None)
#: The twelve statistics in the order of the official summary.
STATISTICS = {
    "mAP": Statistic("precision", _ALL, 0, 2),
    "AP50": Statistic("precision", slice(0, 1), 0, 2),
    "AP75": Statistic("precision", slice(5, 6), 0, 2),
    "APs": Statistic("precision", _ALL, 1, 2),
    "APm": Statistic("precision", _ALL, 2, 2),
    "APl": Statistic("precision", _ALL, 3, 2),
    "AR1": Statistic("recall", _ALL, 0, 0),
    "AR10": Statistic("recall", _ALL, 0, 1),
    "AR100": Statistic("recall", _ALL, 0, 2),
    "ARs": Statistic("recall", _ALL, 1, 2),
    "ARm": Statistic("recall", _ALL, 2, 2),
    "ARl": Statistic("recall", _ALL, 3, 2),
}
