"""From files and other sources to tables."""
