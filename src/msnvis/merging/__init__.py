"""Stage 3: joining forward and backward tracks, human-object association."""
