"""Training of stage 1: data, augmentation, loop and evaluation."""

from msnvis.segmenters.training.loop import TrainOptions, train_segmenter
from msnvis.segmenters.training.recipe import read_recipe

__all__ = ["TrainOptions", "read_recipe", "train_segmenter"]
