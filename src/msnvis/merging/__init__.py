"""Stage 3: joining forward and backward tracks, human-object association."""

from msnvis.merging.directions import DirectionMatcher, MergingOptions, merge_directions
from msnvis.merging.human_object import join_companions

__all__ = ["DirectionMatcher", "MergingOptions", "join_companions", "merge_directions"]
