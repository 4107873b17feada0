"""The compiled engine: one generated Numba kernel for each spec."""
