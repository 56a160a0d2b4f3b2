"""Stage 1: instance segmentation of single frames, and the classifiers that re-label."""
