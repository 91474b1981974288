"""Where a run happens: cores, memory, versions, the commit of the code."""

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from dlproj.settings import require

_PACKAGES = ("dlproj", "torch", "pytorch-lightning", "hydra-core", "torchmetrics", "torchvision", "numpy")
_CONTROL_GROUP = Path("/sys/fs/cgroup/memory.max")
SHARE_OF_CORES = "DLPROJ_CORES"  # the environment variable that tells a run of a sweep how many cores are its own


def usable_cores() -> int:
    """The cores that this process may use; all of the machine's where the system does not tell, as on macOS."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_of_cores() -> int:
    """Of those the cores that this run should keep busy: a part of them where it is one of several."""
    return int(os.environ.get(SHARE_OF_CORES) or usable_cores())


def memory_bytes() -> int:
    """That this process may use: of the whole machine, or as much as a container's control group allows."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    allowed = _CONTROL_GROUP.read_text().strip() if _CONTROL_GROUP.exists() else "max"
    return min(machine, int(allowed)) if allowed.isdigit() else machine


def require_memory(needed: float, of: str, setting: str) -> None:
    """Raise ConfigurationError where so many bytes are more than half of it: who takes too much is killed."""
    message = f"{of} takes {needed / 1e9:,.0f} GB, the machine has {memory_bytes() / 1e9:,.0f}: set {setting} lower"
    require(needed < memory_bytes() / 2, message)


def versions() -> dict[str, str]:
    """Of Python and the packages that the figures depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def machine() -> str:
    """System, processor with the vector instructions that torch uses, usable cores and GPU: figures depend on them."""
    vectors = torch.backends.cpu.get_cpu_capability()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.system()} {platform.machine()}, {_processor()} ({vectors}), {usable_cores()} cores{gpu}"


def _processor() -> str:
    """Its name, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def reset_peak_gpu_memory() -> None:
    """Count the GPU's peak from now on: in a sweep, a run follows others in one process."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
