"""What an evaluation found: the statistics, the curves behind them, and every match."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from msnvis.evaluation.matching import CategoryMatches
from msnvis.evaluation.settings import STATISTICS, UNDEFINED, Statistic

#: Columns of the paper's Table 2, and its two lines of headings.
_TABLE = {
    "mAP": ("mAP", ""),
    "AP50": ("AP", "50"),
    "AP75": ("", "75"),
    "AR1": ("AR", "1"),
    "AR10": ("", "10"),
}


@dataclass(frozen=True)
class Report:
    """The result of `evaluate`.

    T, R, K, A, M: IoU thresholds, recalls, categories, area ranges and numbers of tracks, see `settings`.

    Attributes:
        categories: id -> name of the K categories in the order of the arrays; one named ``all`` when
            class-agnostic.
        videos: id -> name.
        precision: ``(T, R, K, A, M)`` float64, -1 where there is no ground truth.
        recall: ``(T, K, A, M)`` float64, the highest reached; -1 where there is no ground truth.
        scores: ``(T, R, K, A, M)`` float64 score at which each recall is reached, 0 where it is not.
        matches: of every video and category that has a track or an object, by category and then video.
        intervals: name -> 95 % confidence interval of each statistic; empty when none were asked for.
        class_agnostic: whether categories were ignored.
        notes: sentences on what may surprise in the numbers.
    """

    categories: dict[int, str]
    videos: dict[int, str]
    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray
    matches: list[CategoryMatches]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    class_agnostic: bool = False
    notes: tuple[str, ...] = ()

    @property
    def statistics(self) -> dict[str, float]:
        """The twelve numbers of the official summary, 0..1; -1 where there is no ground truth."""
        return {name: self._mean(statistic, slice(None)) for name, statistic in STATISTICS.items()}

    @property
    def per_category(self) -> dict[str, dict[str, float]]:
        """Name -> the twelve numbers of this category alone."""
        return {
            name: {key: self._mean(statistic, slice(k, k + 1)) for key, statistic in STATISTICS.items()}
            for k, name in enumerate(self.categories.values())
        }

    def _mean(self, statistic: Statistic, categories: slice) -> float:
        if statistic.of == "precision":
            values = self.precision[statistic.thresholds, :, categories, statistic.area, statistic.most]
        else:
            values = self.recall[statistic.thresholds, categories, statistic.area, statistic.most]
        defined = values[values > UNDEFINED]
        return float(defined.mean()) if defined.size else UNDEFINED

    def to_dict(self) -> dict[str, Any]:
        """The statistics, ``per_category`` and, where asked for, ``intervals``, as JSON can hold them."""
        content: dict[str, Any] = {**self.statistics, "per_category": self.per_category}
        if self.intervals:
            content["intervals"] = {name: list(ends) for name, ends in self.intervals.items()}
        return {**content, "class_agnostic": self.class_agnostic, "videos": len(self.videos)}

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def to_csv(self) -> str:
        """A line for all categories and one for each; nothing where there is no ground truth."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["category", *STATISTICS])
        for name, values in {"all": self.statistics, **self._several()}.items():
            writer.writerow([name, *("" if value == UNDEFINED else repr(value) for value in values.values())])
        return text.getvalue()

    def table(self, name: str = "results", *, sizes: bool = False, per_category: bool = False) -> str:
        """Percentages, laid out as Table 2 of the paper; a dash where there is no ground truth.

        Args:
            name: what the row of all categories is called.
            sizes: also show AR100 and the AP of small, medium and large objects.
            per_category: also show a row for each category that has ground truth.
        """
        columns = dict(_TABLE)
        if sizes:
            columns |= {
                "AR100": ("", "100"),
                "APs": ("AP", "small"),
                "APm": ("", "medium"),
                "APl": ("", "large"),
            }
        rows = [[name, *_percentages(self.statistics, columns)]]
        if self.intervals:
            rows.append(
                ["95 % from", *_percentages({n: low for n, (low, _) in self.intervals.items()}, columns)]
            )
            rows.append(
                ["95 % to", *_percentages({n: high for n, (_, high) in self.intervals.items()}, columns)]
            )
        if per_category:
            found = {n: v for n, v in self._several().items() if v["mAP"] != UNDEFINED}
            rows += [[n, *_percentages(values, columns)] for n, values in found.items()]
        headings = [
            ["", *(top for top, _ in columns.values())],
            ["", *(below for _, below in columns.values())],
        ]
        width = max(len(row[0]) for row in rows)
        lines = [row[0].ljust(width) + "".join(cell.rjust(8) for cell in row[1:]) for row in headings + rows]
        return "\n".join(line.rstrip() for line in lines)

    def _several(self) -> dict[str, dict[str, float]]:
        """`per_category`, unless classes were ignored: it would say the same twice."""
        return {} if self.class_agnostic else self.per_category


def _percentages(values: dict[str, float], columns: dict[str, tuple[str, str]]) -> list[str]:
    return [
        f"{100 * values[name]:.1f}" if values.get(name, UNDEFINED) != UNDEFINED else "-" for name in columns
    ]
