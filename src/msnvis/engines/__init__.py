"""Many videos: which there are, what works on them, and a record of how each ended."""
