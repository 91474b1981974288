"""What test_processes.py has spawned processes do: apart from it, since they import the module of their function."""

import os
import random
import sys
import types

import torch.distributed

from dlproj.launch import rank, started_by_torchrun


def found(offset):
    """Of all ranks (rank + offset, processes that torchrun has started); of rank 0 what it imports from where."""
    torch.distributed.init_process_group("gloo")
    ranks = [None, None]
    torch.distributed.all_gather_object(ranks, (rank() + offset, started_by_torchrun()))
    torch.distributed.destroy_process_group()
    return ranks, [one.__file__ for one in (random, types)], os.environ.get("PYTHONSAFEPATH"), sys.path
