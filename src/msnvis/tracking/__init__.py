"""Stage 2: association, new objects and the step from frame to frame."""
