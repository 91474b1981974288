"""Whether torchrun has started this process, whatever other tools have left in the environment."""

import os

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # Lightning reads them on import
_OF_TORCHRUN = {"TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # which sets all of them
OURS = "dlproj-"  # begins the id of processes that run_in_processes() has started as torchrun does


def started_by_torchrun() -> int | None:
    """How many processes torchrun has started, of which this is one; None: it has not."""
    return int(os.environ["WORLD_SIZE"]) if set(os.environ) >= _OF_TORCHRUN else None


def rank() -> int:
    """This process's number among those that train together, from 0."""
    return int(os.environ["RANK"]) if started_by_torchrun() else 0


def forget_ranks() -> None:
    """Remove a rank that torchrun has not given: Lightning lets a process with a rank above 0 write nothing."""
    if not started_by_torchrun():
        for name in _RANKS:
            os.environ.pop(name, None)


def threads_asked_for() -> int | None:
    """How many the environment asks for, in the variable that torch obeys; None: it leaves that open.

    The command torchrun sets 1 by itself where it starts several processes on a machine.
    """
    text = os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS") or ""
    first = text.partition(",")[0].strip()  # the others are for nested levels
    several = os.environ.get("LOCAL_WORLD_SIZE", "1") != "1"
    by_torchrun = several and not os.environ.get("TORCHELASTIC_RUN_ID", OURS).startswith(OURS)
    return None if not first.isdecimal() or int(first) < 1 or (by_torchrun and first == "1") else int(first)
