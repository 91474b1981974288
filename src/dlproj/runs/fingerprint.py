"""Which settings decide what a run leaves, and whether a folder holds the run of such settings."""

import json
from pathlib import Path
from typing import Any

from dlproj.config.checks import UserError
from dlproj.config.root import load
from dlproj.runs.comparison import flat, without_effect
from dlproj.runs.record import Run, read_run


def config_fingerprint(settings: dict[str, Any]) -> str:
    """The settings that decide what a run leaves, as text."""
    return json.dumps(deciding(settings), sort_keys=True)


def deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """Those settings by their dotted names."""
    ignored = without_effect(settings) - {"figures", "metrics"}
    return {key: value for key, value in flat(settings).items() if not {key, key.split(".")[0]} & ignored}


def is_of(folder: Path, settings: dict[str, Any], wanted: str) -> bool:
    """Whether the settings that the folder holds have the wanted identity."""
    if config_fingerprint(settings) == wanted:
        return True
    # A run of an older version lacks settings that there were not yet: load() fills in what they meant.
    return config_fingerprint(load(folder / "config.yaml").settings()) == wanted


def completed(folder: Path, wanted: str) -> Run | None:
    """The completed run of the wanted identity that the folder holds, if it does, pruned ones among them."""
    try:
        run = read_run(folder)
        return run if run.result.has_ended() and is_of(folder, run.settings, wanted) else None
    except UserError:
        return None
