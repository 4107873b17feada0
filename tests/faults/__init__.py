"""Fault campaigns: what is saved is damaged, refused, filled up and killed in every way there is,
and nothing may be lost. `python -m tests.faults` runs all of it, the tests a sample.
"""
