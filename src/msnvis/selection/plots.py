"""Whether a selector's probabilities mean what they say, as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from msnvis.errors import MissingExtraError
from msnvis.io.atomic import replacing
from msnvis.selection.measures import calibration_error, reliability


def plot_calibration(chances: np.ndarray, ious: np.ndarray, path: str | Path) -> None:
    """Write a PNG: how often the first mask is better over how probable the selector says it is.

    A perfect selector is on the diagonal. Below it is how many pairs each bin has.

    Args:
        chances: ``(N,)`` probability that the first mask is better.
        ious: ``(N, 2)`` IoU of both with the truth.
        path: of the PNG.

    Raises:
        MissingExtraError: without matplotlib.
        OutputError: the file cannot be written.

    >>> plot_calibration(np.array([0.9]), np.array([[1, 0]]), "calibration.png")  # doctest: +SKIP
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("calibration plots need matplotlib: pip install msnvis[train]") from None
    said, true, count = reliability(chances, ious)
    seen = count > 0
    figure = Figure(figsize=(5, 6), layout="constrained")
    shares, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    shares.plot([0, 1], [0, 1], color="gray", linewidth=1)
    shares.plot(said[seen], true[seen], marker="o")
    error = calibration_error(chances, ious)
    shares.set(title=f"calibration error {error:.3f}", ylabel="share whose first is better", ylim=(0, 1))
    middles = (np.arange(len(count)) + 0.5) / len(count)
    counts.bar(middles, count, width=1 / len(count))
    counts.set(xlabel="said probability", ylabel="pairs", xlim=(0, 1))
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
