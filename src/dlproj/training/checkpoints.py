"""Checkpoint files: written atomically, and read as data that cannot run code."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import TorchCheckpointIO

from dlproj.config.checks import DataError, UserError
from dlproj.data.data_files import brief
from dlproj.file_systems import sync_file, sync_folder
from dlproj.torch_files import load_plain

FORMAT = 2  # of what a checkpoint adds to Lightning's; the first, without a number, had too little to resume from


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a file beside the target, syncs and renames it; Lightning's move from a temporary folder is not atomic."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint. Raises UserError if the disk is full or read-only; an earlier file at `path` is kept."""
        path = Path(path)
        beside = _beside(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                torch.save(checkpoint | {"format": FORMAT}, file)
                sync_file(file)
            os.replace(beside, path)
            sync_folder(path.parent)
        except (OSError, RuntimeError) as error:
            with suppress(OSError):
                beside.unlink()
            advice = (
                "earlier checkpoints are intact: free disk space or make the folder writable, then dlproj resume it"
            )
            raise UserError(f"{path} cannot be written ({_reason(error)}); {advice}") from error

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint to resume from. Raises DataError if it is damaged or of format 1."""
        content = read_checkpoint(Path(path), "delete it to start over")
        if "format" not in content:
            raise DataError(f"{path} is of an older version of dlproj, which kept too little: delete it to start over")
        return content


def read_checkpoint(path: Path, advice: str) -> dict[str, Any]:
    """Read plain containers and tensors to the CPU. Raises DataError, which ends with `advice`, for anything else."""
    try:
        content = load_plain(path)
        problem = "" if isinstance(content, dict) and "state_dict" in content else "no state_dict in it"
    except Exception as error:  # almost any, on a damaged file
        problem = brief(error).partition(". ")[0]
    if problem:
        raise DataError(f"{path} is damaged or not a checkpoint ({problem}): {advice}")
    version = content.get("format", FORMAT)
    if not isinstance(version, int) or version != FORMAT:
        raise DataError(f"{path} is of a newer version of dlproj: update dlproj, or {advice}")
    return content


def remove_leftovers(folder: Path) -> None:
    """Remove partly written checkpoints of a process that was killed."""
    for file in folder.glob(".*.ckpt.tmp"):
        file.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """Return the system's error text: torch's writer wraps it in an unrelated error."""
    first: BaseException | None = error
    while first is not None and not isinstance(first, OSError):
        first = first.__context__
    return (first and first.strerror) or brief(error)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")
