"""The commands: `python train.py`, `dlproj train` and what looks at runs."""

from dlproj.late_imports import delay

delay()  # in the processes that a command spawns, too
