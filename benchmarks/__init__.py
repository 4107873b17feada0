"""What training costs here and in other libraries. Run by `make bench`."""
