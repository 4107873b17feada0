"""What people do with specs and runs."""
