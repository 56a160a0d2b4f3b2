"""Stage 2: choosing the better of two masks."""
