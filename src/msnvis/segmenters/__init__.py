"""Stage 1: instance segmentation of single frames, and the classifiers that re-label."""

from msnvis.segmenters import compact as compact  # fills the registries, as do the next six
from msnvis.segmenters import imagenet_classifiers as imagenet_classifiers
from msnvis.segmenters import precomputed as precomputed
from msnvis.segmenters import swin_cascade as swin_cascade
from msnvis.segmenters import torchvision_segmenter as torchvision_segmenter
from msnvis.segmenters import transformers_classifier as transformers_classifier
from msnvis.segmenters import transformers_segmenter as transformers_segmenter
from msnvis.segmenters.base import Segmenter, create_segmenter, segmenters
from msnvis.segmenters.classifier import Classifier, classifiers, create_classifier

__all__ = ["Classifier", "Segmenter", "classifiers", "create_classifier", "create_segmenter", "segmenters"]
