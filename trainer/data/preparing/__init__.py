"""From tables to x and y: `split_table`, `fit_table`, which gives a `Preprocessing`, `encode_rows`,
`row_weights`. It knows nothing of where a table comes from.
"""
