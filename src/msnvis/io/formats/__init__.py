"""How results are laid out in each format: pure conversions, no more than needed in memory at a time."""
