"""The commands: `python train.py` and the subcommands of `dlproj`."""

from dlproj.late_imports import delay

delay()  # also in the processes that a command spawns
