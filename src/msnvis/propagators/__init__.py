"""Stage 2: carrying masks from one frame to the next."""
