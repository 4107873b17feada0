"""The training service: specs come in over HTTP, wait in a queue, and are trained by workers.

`states` says what a job may become and `records` what is known of it; `checking` tells a spec's
mistakes and its cost, `store/` keeps jobs and their events in a database, `work/` has them trained,
and `web/` is the way in for people and programs.
"""
