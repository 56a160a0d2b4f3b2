"""Stage 2: which detection is which propagated object (paper 3.1)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

#: Two masks are the same object only if their IoU is higher than this (paper 3.1, stage 2).
ASSOCIATION_IOU = 0.1


def associate(iou: np.ndarray, threshold: float = ASSOCIATION_IOU) -> list[tuple[int, int]]:
    """Match rows to columns one to one, by the Hungarian method, such that the sum of IoU is highest.

    Overlaps up to `threshold` count as none *before* the assignment: otherwise a worthless pair could pull a
    mask away from its good partner and then be thrown away.

    Args:
        iou: ``(N, M)`` IoU of every mask of one set with every mask of the other.
        threshold: pairs must have a higher IoU.

    Returns:
        Pairs ``(row, column)`` in the order of the rows.

    >>> associate(np.array([[0.8, 0.3], [0.6, 0.05]]))
    [(0, 1), (1, 0)]
    """
    useful = np.where(iou > threshold, iou, 0.0)
    rows, columns = linear_sum_assignment(useful, maximize=True)
    real = useful[rows, columns] > 0
    return list(zip(rows[real].tolist(), columns[real].tolist(), strict=True))
