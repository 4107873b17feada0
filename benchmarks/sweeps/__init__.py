"""Sweeps beside what others do: trials a minute, and how good the winner is at equal epochs."""
