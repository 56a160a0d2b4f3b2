"""Synthetic video with exact ground truth, made of the objects and photographs of a COCO-format dataset."""

from msnvis.datasets.synthetic.options import SynthOptions
from msnvis.datasets.synthetic.videos import SyntheticVideo, SyntheticVideos, TrackSource
from msnvis.datasets.synthetic.writing import write_dataset

__all__ = ["SynthOptions", "SyntheticVideo", "SyntheticVideos", "TrackSource", "write_dataset"]
