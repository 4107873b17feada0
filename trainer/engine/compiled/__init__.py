"""The compiled engine: a graph becomes machine code, by a compiler of our own."""
