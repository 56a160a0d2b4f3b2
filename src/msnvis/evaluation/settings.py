"""The constants of the official YouTube-VIS evaluation (youtubevos/cocoapi, ``ytvoseval.py``)."""

from __future__ import annotations

import numpy as np

#: T = 10 thresholds of the IoU, .50 to .95.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: R = 101 recalls at which the precision is read.
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
#: M = 3 bounds on the tracks of one video *and* category, best first.
MAX_TRACKS = (1, 10, 100)
#: A = 4 ranges of the area of an object (mean over the frames in which it is seen), in pixels, both ends included.
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
