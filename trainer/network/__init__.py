"""From a spec to the graph of its network, and what is known of that."""
