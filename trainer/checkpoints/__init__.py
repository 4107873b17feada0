"""A run's folder: journal, checkpoints, facts."""
