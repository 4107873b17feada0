"""Arithmetic that is the same on every CPU: elementary functions, sums, draws.

`docs/numerics.md` says which operation comes when.
"""
