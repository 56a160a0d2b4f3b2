"""Writing results: one format a file, found by name."""

from msnvis.io.writers import coco, mots, overlay, png, summary, ytvis
from msnvis.io.writers.base import Writer, formats, write_results

__all__ = ["Writer", "coco", "formats", "mots", "overlay", "png", "summary", "write_results", "ytvis"]
