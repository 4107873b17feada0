"""What people do with specs and runs: `train`, `resume`, `reproduce`, `crossval`, `rate_search`,
`sync`, `predict` and `use` hold what the commands call; a `profile` says where and how.

The package `trainer` hands them out. Nothing is imported here: each command needs little of it.
"""
