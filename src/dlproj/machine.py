"""The machine of a run: cores, memory, versions."""

import math
import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from dlproj.config.checks import require
from dlproj.launch import threads_asked_for

_PACKAGES = ("dlproj", "torch", "pytorch-lightning", "hydra-core", "torchmetrics", "torchvision", "numpy")
_CONTROL_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # on Linux
SHARE_OF_CORES = "DLPROJ_CORES"  # environment variable: the number of cores of one run of a sweep


def usable_cores() -> int:
    """Number of cores that this process may use; all of the machine's if the system does not tell, as on macOS.

    A control group's limit is rounded up: with the time of 2.5 cores, three can be busy.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _core_limits())]))


def _core_limits() -> Iterator[float]:
    """The limit of each control group that has one, as a number of cores."""
    for group in _control_groups("cpu"):
        words = _words(group / "cpu.max") or _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        if len(words) == 2 and all(map(str.isdecimal, words)):  # "max" or -1: no limit
            yield int(words[0]) / int(words[1])


def _control_groups(controller: str) -> Iterator[Path]:
    """Folders of this process's control group and its parents, as far as they are visible.

    Version 2 has one tree of groups, version 1 one per controller. In a container the paths may be the host's.
    """
    for line in _lines(_OWN_GROUPS) or ["0::/"]:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            root = _CONTROL_GROUPS / controller if controllers else _CONTROL_GROUPS
            parts = [part for part in path.split("/") if part not in ("", "..")]
            yield from (root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeError):
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def share_of_cores() -> int:
    """Number of cores for this run: all usable ones, or its share in a sweep."""
    share = os.environ.get(SHARE_OF_CORES, "")
    return int(share) if share.isdecimal() else usable_cores()


def threads_of(processes: int) -> int:
    """Threads per process of a run: an equal share of its cores, or fewer if the environment says so."""
    share = max(1, share_of_cores() // processes)
    return min(share, threads_asked_for() or share)


def memory_bytes() -> int:
    """Bytes of memory that this process may use: the machine's, or the limit of its control groups."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    files = [group / name for group in _control_groups("memory") for name in ("memory.max", "memory.limit_in_bytes")]
    return min([machine, *(int(word) for file in files for word in _words(file) if word.isdecimal())])


def available_memory_bytes() -> int:
    """Bytes that this process may still take: what is free on the machine, within the limits of its control groups."""
    free = [int(line.split()[1]) * 1024 for line in _lines(Path("/proc/meminfo")) if line.startswith("MemAvailable:")]
    names = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
    for group in _control_groups("memory"):
        for limit, used in names:
            words = _words(group / limit) + _words(group / used)
            if len(words) == 2 and all(map(str.isdecimal, words)):  # "max": no limit
                free.append(max(0, int(words[0]) - int(words[1])))
    return min(free, default=memory_bytes() // 2)


def require_memory(needed: float, of: str, setting: str) -> None:
    """Raise ConfigurationError if `needed` bytes exceed half of the memory: larger processes risk being killed."""
    message = f"{of} takes {needed / 1e9:,.0f} GB, the machine has {memory_bytes() / 1e9:,.0f}: set {setting} lower"
    require(needed < memory_bytes() / 2, message)


def versions() -> dict[str, str]:
    """Versions of Python and the packages that results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def machine() -> str:
    """System, processor with the vector instructions used by torch, usable cores and GPU: results depend on them."""
    import torch

    vectors = torch.backends.cpu.get_cpu_capability()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.system()} {platform.machine()}, {_processor()} ({vectors}), {usable_cores()} cores{gpu}"


def _processor() -> str:
    """Name of the processor, on Linux."""
    lines = _lines(Path("/proc/cpuinfo"))
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown processor")


def peak_memory_bytes() -> tuple[int, int]:
    """Peak memory of this process so far, and of its GPU since reset_peak_gpu_memory(), in bytes."""
    import torch

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def reset_peak_memory() -> None:
    """Restart the count of this process's peak and its GPU's; on other systems than Linux the GPU's alone."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    reset_peak_gpu_memory()


def reset_peak_gpu_memory() -> None:
    """Restart the count of the GPU's peak: in a sweep, several runs share one process."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
