"""Checkpoint files: written whole or not at all, and read as data that cannot run code."""

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

FORMAT = 2  # of what a checkpoint holds beside Lightning's own; before, without a number, it was too little to go on


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the target, syncs and renames; Lightning moves from a temporary folder, and not always whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Raise UserError where the disk is full or the folder read-only; what stood at `path` is left as it was."""
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
                "the earlier checkpoints are whole: make room or change the folder's rights, then dlproj resume the run"
            )
            raise UserError(f"{path} cannot be written ({_reason(error)}); {advice}") from error

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Raise DataError where it is not a whole checkpoint that training can go on from."""
        content = read_checkpoint(Path(path), "delete it to begin anew")
        if "format" not in content:
            raise DataError(f"{path} is of an older version of dlproj, which kept too little: delete it to begin anew")
        return content


def read_checkpoint(path: Path, advice: str) -> dict[str, Any]:
    """What the file holds, on the CPU: plain containers and tensors. Raises DataError, which ends with the advice."""
    try:
        content = load_plain(path)
        problem = "" if isinstance(content, dict) and "state_dict" in content else "no state_dict in it"
    except Exception as error:  # nearly anything, on a damaged file
        problem = brief(error).partition(". ")[0]
    if problem:
        raise DataError(f"{path} is damaged or no checkpoint ({problem}): {advice}")
    found = content.get("format", FORMAT)
    if not isinstance(found, int) or found != FORMAT:
        raise DataError(f"{path} is of a newer version of dlproj: update dlproj, or {advice}")
    return content


def remove_leftovers(folder: Path) -> None:
    """Remove what a kill has left of a checkpoint that was being written."""
    for file in folder.glob(".*.ckpt.tmp"):
        file.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """What the system says: torch's writer speaks of something else then."""
    first: BaseException | None = error
    while first is not None and not isinstance(first, OSError):
        first = first.__context__
    return (first and first.strerror) or brief(error)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")
