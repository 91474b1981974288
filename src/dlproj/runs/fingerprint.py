"""Fingerprint of the settings that decide a run's results, and finding the completed run with these settings."""

import json
from pathlib import Path
from typing import Any

from dlproj.config.checks import UserError
from dlproj.config.root import load
from dlproj.runs.comparison import flat, without_effect
from dlproj.runs.record import Run, read_run


def config_fingerprint(settings: dict[str, Any]) -> str:
    """The settings that decide a run's results and figures, as sorted JSON."""
    return json.dumps(deciding(settings), sort_keys=True)


def deciding(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide a run's results and figures, by dotted name."""
    ignored = without_effect(settings) - {"figures", "metrics"}
    return {key: value for key, value in flat(settings).items() if not {key, key.split(".")[0]} & ignored}


def is_of(folder: Path, settings: dict[str, Any], wanted: str) -> bool:
    """True if the folder's settings have the fingerprint `wanted`."""
    if config_fingerprint(settings) == wanted:
        return True
    # An older version's run lacks settings added since: load() fills in their defaults.
    return config_fingerprint(load(folder / "config.yaml").settings()) == wanted


def completed(folder: Path, wanted: str) -> Run | None:
    """The folder's run if it has ended, pruned or not, and has the fingerprint `wanted`; else None."""
    try:
        run = read_run(folder)
        return run if run.result.has_ended() and is_of(folder, run.settings, wanted) else None
    except UserError:
        return None
