"""The curves whose areas are the statistics, and the picture of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msnvis.errors import MissingExtraError
from msnvis.evaluation import evaluate
from msnvis.evaluation.plots import mean_curve, plot_curves


@pytest.fixture(scope="module")
def report():
    content = json.loads((Path(__file__).parent / "golden" / "tracking.json").read_text())
    return evaluate(content["results"], content["annotations"])


@pytest.mark.parametrize("statistic", ["mAP", "AP50", "AP75", "APs"])
def test_the_area_under_a_curve_is_the_statistic(report, statistic):
    curve = mean_curve(report, statistic)
    assert curve.shape == (101,)
    assert curve.mean() == pytest.approx(report.statistics[statistic], abs=1e-12)
    assert (np.diff(curve) <= 1e-12).all()
    for k, values in enumerate(report.per_category.values()):
        single = mean_curve(report, statistic, k)
        assert single.mean() == pytest.approx(values[statistic]) or np.isnan(single).all()


def test_without_ground_truth_there_is_no_curve(report):
    assert np.isnan(mean_curve(report, "AP50", list(report.categories.values()).index("fish"))).all()
    assert np.isnan(mean_curve(report, "APl")).all()


def test_the_picture_has_curves(report, tmp_path):
    pytest.importorskip("matplotlib", reason="needs msnvis[plots]")
    plot_curves(report, tmp_path / "curves.png")
    pixels = np.array(Image.open(tmp_path / "curves.png").convert("RGB"))
    assert pixels.shape[0] > 400
    assert pixels.shape[1] > 800
    for colour in [(31, 119, 180), (255, 127, 14), (44, 160, 44)]:  # matplotlib's first three
        assert (pixels == colour).all(axis=2).any()


def test_says_what_to_install(report, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install msnvis\[plots\]"):
        plot_curves(report, tmp_path / "curves.png")
