"""Precision over recall as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from msnvis.errors import MissingExtraError
from msnvis.evaluation.settings import RECALL_THRESHOLDS, STATISTICS, UNDEFINED
from msnvis.io.atomic import replacing

if TYPE_CHECKING:
    from msnvis.evaluation.report import Report

#: Statistic -> how its curve is called; the area under a curve is the statistic.
_CURVES = {"AP50": "IoU .50", "AP75": "IoU .75", "mAP": "IoU .50:.95"}
#: More categories than this share one picture without a legend.
_MAX_NAMED = 20


def plot_curves(report: Report, path: str | Path) -> None:
    """Write a PNG with two diagrams: all categories at three IoUs, and each category at IoU 0.5.

    The three are 0.5, 0.75 and the mean of 0.5 to 0.95. The number beside a name is the area under the curve,
    which is the AP. Categories are named when there are at most 20.

    Args:
        report: of `evaluate`.
        path: of the PNG.

    Raises:
        MissingExtraError: without matplotlib.
        OutputError: the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("curves need matplotlib: pip install msnvis[plots]") from None
    figure = Figure(figsize=(13, 5.5), layout="constrained")
    overall, single = figure.subplots(1, 2, sharex=True, sharey=True)
    for statistic, name in _CURVES.items():
        curve = mean_curve(report, statistic)
        overall.plot(RECALL_THRESHOLDS, curve, label=f"{name}: {_percent(curve)}")
    overall.set(title="all categories", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    overall.legend(loc="upper right")
    curves = {name: mean_curve(report, "AP50", k) for k, name in enumerate(report.categories.values())}
    defined = {name: curve for name, curve in curves.items() if not np.isnan(curve).any()}
    for name, curve in sorted(defined.items(), key=lambda item: -item[1].mean()):
        single.plot(RECALL_THRESHOLDS, curve, linewidth=1, label=f"{name}: {_percent(curve)}")
    single.set(title="each category, IoU .50", xlabel="recall")
    if 0 < len(defined) <= _MAX_NAMED:
        single.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)
    with replacing(Path(path)) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def mean_curve(report: Report, statistic: str, category: int | None = None) -> np.ndarray:
    """Precision ``(R,)`` at the recalls of `RECALL_THRESHOLDS`; NaN where there is no ground truth.

    Args:
        report: of `evaluate`.
        statistic: ``mAP``, ``AP50``, ``AP75``, ``APs``, ``APm`` or ``APl``: the mean of the curve.
        category: position among those of the report; the mean over all when not given.
    """
    of = STATISTICS[statistic]
    categories = slice(None) if category is None else slice(category, category + 1)
    precision = report.precision[of.thresholds, :, categories, of.area, of.most]
    defined = precision[:, :, (precision > UNDEFINED).all(axis=(0, 1))]
    return defined.mean(axis=(0, 2)) if defined.size else np.full(len(RECALL_THRESHOLDS), np.nan)


def _percent(curve: np.ndarray) -> str:
    return "-" if np.isnan(curve).any() else f"{100 * curve.mean():.1f}"
