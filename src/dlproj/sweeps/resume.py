"""A sweep's folder opened again: the command that made it."""

import sys
from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString

from dlproj.config.checks import ConfigurationError, DataError, one_line, require
from dlproj.config.whole_files import read_yaml


def command_of(sweep: Path) -> list[str]:
    """The command line that goes on with the sweep, from what Hydra wrote. Raises ConfigurationError."""
    try:
        hydra = read_yaml(sweep / "multirun.yaml")["hydra"]
        overrides = [*hydra["overrides"]["hydra"], *hydra["overrides"]["task"]]
        sources = [one["path"] for one in hydra["runtime"]["config_sources"] if one["provider"] == "command-line"]
        require(all(map(_can_be_typed, overrides + sources)), "an override is none")
    except (ConfigurationError, DataError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{sweep} holds no run and no sweep: name a folder of logs/runs or logs/sweeps"
        ) from error
    kept = [one for one in overrides if not one.startswith("sweep.resume=")]
    own_files = [part for folder in sources for part in ("--config-dir", folder)]
    quoted = QuotedString(str(sweep), Quote.single).with_quotes()  # a comma would make two of it
    return [sys.executable, "-P", "-m", "dlproj.cli.train", "-m", *own_files, *kept, f"sweep.resume={quoted}"]


def _can_be_typed(text: object) -> bool:
    """Whether it can be an override or a folder: an option would have Hydra do something else."""
    return isinstance(text, str) and text != "" and not text.startswith("-") and text == one_line(text)
