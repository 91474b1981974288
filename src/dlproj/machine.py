"""Where a run happens: cores, memory, versions, the commit of the code."""

import math
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from dlproj.config.checks import require
from dlproj.launch import threads_asked_for

_PACKAGES = ("dlproj", "torch", "pytorch-lightning", "hydra-core", "torchmetrics", "torchvision", "numpy")
_CONTROL_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # of Linux
SHARE_OF_CORES = "DLPROJ_CORES"  # the environment variable that tells a run of a sweep how many cores are its own


def usable_cores() -> int:
    """The cores that this process may use; all of the machine's where the system does not tell, as on macOS.

    A control group that has time of two and a half cores keeps three busy.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _core_limits())]))


def _core_limits() -> Iterator[float]:
    """Cores' worth of time, of each control group that has a limit."""
    for group in _control_groups("cpu"):
        words = _words(group / "cpu.max") or _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        if len(words) == 2 and all(map(str.isdecimal, words)):  # no limit is max, or -1
            yield int(words[0]) / int(words[1])


def _control_groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of those that it is in, where they can be seen.

    Version 2 has one tree of groups, version 1 one for each controller. In a container the paths may be the host's.
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
    """Of those the cores that this run should keep busy: a part of them where it is one of several."""
    share = os.environ.get(SHARE_OF_CORES, "")
    return int(share) if share.isdecimal() else usable_cores()


def threads_of(processes: int) -> int:
    """Threads for each of the processes of a run: its cores shared out, or fewer where the environment says so."""
    share = max(1, share_of_cores() // processes)
    return min(share, threads_asked_for() or share)


def memory_bytes() -> int:
    """That this process may use: of the whole machine, or as much as its control groups allow."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    files = [group / name for group in _control_groups("memory") for name in ("memory.max", "memory.limit_in_bytes")]
    return min([machine, *(int(word) for file in files for word in _words(file) if word.isdecimal())])


def require_memory(needed: float, of: str, setting: str) -> None:
    """Raise ConfigurationError where so many bytes are more than half of it: who takes too much is killed."""
    message = f"{of} takes {needed / 1e9:,.0f} GB, the machine has {memory_bytes() / 1e9:,.0f}: set {setting} lower"
    require(needed < memory_bytes() / 2, message)


def versions() -> dict[str, str]:
    """Of Python and the packages that the figures depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def machine() -> str:
    """System, processor with the vector instructions that torch uses, usable cores and GPU: figures depend on them."""
    import torch

    vectors = torch.backends.cpu.get_cpu_capability()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.system()} {platform.machine()}, {_processor()} ({vectors}), {usable_cores()} cores{gpu}"


def _processor() -> str:
    """Its name, where Linux tells."""
    lines = _lines(Path("/proc/cpuinfo"))
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown processor")


def git_commit() -> str | None:
    """The commit of the checkout that this package runs from, with a "+" for uncommitted changes; None outside one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.decode() + ("+" if changes else "")


def peak_memory_bytes() -> tuple[int, int]:
    """The most memory that this process has held so far, and the most on its GPU since reset_peak_gpu_memory()."""
    import torch

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def reset_peak_gpu_memory() -> None:
    """Count the GPU's peak from now on: in a sweep, a run follows others in one process."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
