"""Datasets, label spaces, class maps and samplers."""
