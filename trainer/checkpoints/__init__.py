"""A run on disk: its folder, its journal, its checkpoints; nothing here knows who reads them.

`folder` has the files and the lock, `facts` what they say of the run, `journal` its events,
`checkpoint` and `keeper` what a training can go on from. Nothing is imported here, since those who
only read a folder need little of it.
"""
