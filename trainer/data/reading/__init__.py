"""From sources to tables: `read_table` in memory, `TableOnDisk` piece by piece, `read_rows` for
prediction. All files are read through `FileColumns`.
"""
