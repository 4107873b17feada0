"""Jobs are trained: claimed, given to a worker, watched, and settled once, whoever is killed when.

`errands` is what a worker does, `slots` where it does it, `verdicts` what its answer means for the
job, `watching` tells how far a run is, `recorders` have MLflow told, and `dispatch` holds them
together.
"""
