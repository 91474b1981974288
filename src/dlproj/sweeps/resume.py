"""A sweep's folder opened again: the command that made it."""

import sys
from pathlib import Path

import yaml
from hydra.core.override_parser.types import Quote, QuotedString

from dlproj.settings import ConfigurationError

_TRAIN = Path(__file__).parents[3] / "train.py"


def command_of(sweep: Path) -> list[str]:
    """The command line that goes on with the sweep, from what Hydra wrote. Raises ConfigurationError."""
    try:
        hydra = yaml.safe_load((sweep / "multirun.yaml").read_text(encoding="utf-8"))["hydra"]
        overrides = [*hydra["overrides"]["hydra"], *hydra["overrides"]["task"]]
        sources = [one["path"] for one in hydra["runtime"]["config_sources"] if one["provider"] == "command-line"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"{sweep} holds no run and no sweep: name a folder of logs/runs or logs/sweeps"
        ) from error
    kept = [str(one) for one in overrides if not str(one).startswith("sweep.resume=")]
    own_files = [part for folder in sources for part in ("--config-dir", folder)]
    quoted = QuotedString(str(sweep), Quote.single).with_quotes()  # a comma would make two of it
    return [sys.executable, str(_TRAIN), "-m", *own_files, *kept, f"sweep.resume={quoted}"]
