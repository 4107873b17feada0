"""From raw columns to what trains: split, fitted, encoded."""
