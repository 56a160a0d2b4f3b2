"""Training of stage 1: data, augmentation, loop and evaluation."""

from msnvis.segmenters.training.loop import TrainOptions, train_segmenter

__all__ = ["TrainOptions", "train_segmenter"]
