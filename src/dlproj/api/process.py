"""What training changes of the process that it runs in, put back afterwards."""

import logging
import random
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dlproj.launch import forget_ranks
from dlproj.start import unchanged_environment, wait_without_spinning

with unchanged_environment():  # what the caller starts later does not inherit it
    wait_without_spinning()
    import torch
    from pytorch_lightning.utilities import rank_zero_only

    from dlproj.library_internals.torch_internals import REDISTRIBUTION

_LOGGERS = ("pytorch_lightning", "lightning_fabric", REDISTRIBUTION)
_one_at_a_time = threading.RLock()  # threads, generators and the environment are the whole process's


@contextmanager
def unchanged_process() -> Iterator[None]:
    """Leave random generators, number of threads, environment, warning filters and log levels as they were.

    Also after an exception or Ctrl-C. Threads that train at the same time wait for each other: what they would change
    is the process's.
    """
    with _one_at_a_time, warnings.catch_warnings(), unchanged_environment():
        before = _state()
        forget_ranks()  # which another tool's environment may hold
        try:
            yield
        finally:
            _restore(before)


def _state() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "flushes": _flushes_denormals(),
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "levels": {name: logging.getLogger(name).level for name in _LOGGERS},
        "fills": torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        "deterministic": torch.get_deterministic_debug_mode(),
        "benchmark": torch.backends.cudnn.benchmark,
        "rank": getattr(rank_zero_only, "rank", None),
        "excepthook": threading.excepthook,
    }


def _restore(before: dict[str, Any]) -> None:
    torch.set_num_threads(before["threads"])
    torch.set_flush_denormal(before["flushes"])
    torch.set_rng_state(before["torch"])
    random.setstate(before["python"])
    np.random.set_state(before["numpy"])
    if before["cuda"]:
        torch.cuda.set_rng_state_all(before["cuda"])
    for name, level in before["levels"].items():
        logging.getLogger(name).setLevel(level)
    torch.utils.deterministic.fill_uninitialized_memory = before["fills"]  # type: ignore[attr-defined]
    torch.set_deterministic_debug_mode(before["deterministic"])
    torch.backends.cudnn.benchmark = before["benchmark"]
    rank_zero_only.rank = before["rank"]  # type: ignore[attr-defined]
    threading.excepthook = before["excepthook"]


def _flushes_denormals() -> bool:
    """True if this thread takes numbers below 1.2e-38 as 0: torch has no function that says so."""
    return float(torch.tensor(1e-39, dtype=torch.float32).mul(2)) == 0
