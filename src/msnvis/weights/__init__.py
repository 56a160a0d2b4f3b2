"""Shipped weights with a model card each; names to files and checksums."""
