"""Where runs are trained when there are several: processes here, or a cluster.

The seam is `concurrent.futures.Executor`. A worker needs no MLflow and no shared disk: a `task`
holds what its run needs, and the answer brings what the run's folder has got.
"""
