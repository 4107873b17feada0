"""What columns are and what their cells mean: `Table`, `Column`, `Roles`, `Wanted`, the encoding of
cells. It knows neither files nor networks.
"""
