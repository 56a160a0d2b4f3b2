"""Metrics: the official YouTube-VIS evaluation, many times faster."""

from msnvis.evaluation.evaluator import evaluate
from msnvis.evaluation.report import Report

__all__ = ["Report", "evaluate"]
