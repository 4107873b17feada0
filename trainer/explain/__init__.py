"""Values, gradients and the paths between them, for one example."""
