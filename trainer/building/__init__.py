"""What `build_graph` is made of: features, layers and losses as nodes of a graph."""
