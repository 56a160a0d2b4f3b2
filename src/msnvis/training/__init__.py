"""What every training shares: steps, checkpoints, the running average, and what is shown."""
