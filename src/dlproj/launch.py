"""Detect a launch by torchrun, whatever other tools have left in the environment."""

import os

_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # Lightning reads them on import
_OF_TORCHRUN = {"TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # torchrun sets all of them
OURS = "dlproj-"  # prefix of the run id of processes started by run_in_processes(), as torchrun does


def started_by_torchrun() -> int | None:
    """Number of processes that torchrun started together with this one; None if it did not."""
    return int(os.environ["WORLD_SIZE"]) if set(os.environ) >= _OF_TORCHRUN else None


def rank() -> int:
    """Rank of this process among those that train together, from 0."""
    return int(os.environ["RANK"]) if started_by_torchrun() else 0


def agree_on(text: str, key: str) -> str:
    """Return the text passed by the first of torchrun's processes to call this, also after a restart."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, is_master=False)
    agreed: bytes = store.compare_set(f"dlproj/{key}", "", text)
    return agreed.decode()


def forget_ranks() -> None:
    """Remove ranks not set by torchrun: with a rank above 0, Lightning would write nothing."""
    if not started_by_torchrun():
        for name in _RANKS:
            os.environ.pop(name, None)


def threads_asked_for() -> int | None:
    """Number of threads set in the environment variable that torch reads; None if unset.

    A 1 that torchrun sets by itself, for several processes on a machine, does not count.
    """
    text = os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS") or ""
    first = text.partition(",")[0].strip()  # further numbers are for nested levels
    several = os.environ.get("LOCAL_WORLD_SIZE", "1") != "1"
    by_torchrun = several and not os.environ.get("TORCHELASTIC_RUN_ID", OURS).startswith(OURS)
    return None if not first.isdecimal() or int(first) < 1 or (by_torchrun and first == "1") else int(first)
