"""What a table's columns are, and what their cells mean."""
