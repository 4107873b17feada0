"""Several runs of one declaration, on workers: sweeps, and cross-validation."""
