"""Reading and writing annotated video: one format a file, found by name."""

from msnvis.datasets.formats import coco, cvat, davis, labelme, mots, openimages, ytvis
from msnvis.datasets.formats.base import (
    DatasetFormat,
    convert_dataset,
    dataset_formats,
    read_dataset,
    write_dataset,
)

__all__ = [
    "DatasetFormat",
    "coco",
    "convert_dataset",
    "cvat",
    "dataset_formats",
    "davis",
    "labelme",
    "mots",
    "openimages",
    "read_dataset",
    "write_dataset",
    "ytvis",
]
