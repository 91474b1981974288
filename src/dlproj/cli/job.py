"""Hydra's entry point: settings are composed and checked before torch is imported."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dlproj.cli.help import asks_for_help, help_text
from dlproj.command_errors import job_errors, one_line_errors
from dlproj.config.checks import one_line, require
from dlproj.config.compose import register
from dlproj.config.places import CONF
from dlproj.config.root import Config
from dlproj.launch import rank
from dlproj.runs.new_run import checked
from dlproj.start import raise_on_ctrl_c


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def _job(composed: DictConfig) -> None:
    """Run one job in the folder that Hydra created for it."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    with job_errors(settings, folder):
        config = checked(composed, alone=settings.mode is RunMode.RUN)
        if not config.trainer.keeps_run():
            require(
                settings.mode is RunMode.RUN, "trainer=overfit and trainer=fast_dev_run are for one run: leave out -m"
            )
            _check(config)
            return
        if config.trainer.progress_bar and rank() == 0:
            print(one_line(f"{config.name}, in {os.path.relpath(folder)}"), flush=True)
        from dlproj.reports.profile_table import COLUMNS, profile_rows
        from dlproj.reports.terminal import print_table, show
        from dlproj.training.run import run

        raise_on_ctrl_c()  # from here on, an interrupted run is recorded
        result = run(config, folder, list(settings.overrides.task))
        if rank() == 0:
            show(result)
            if result.profile:
                print_table(COLUMNS, profile_rows(result))


def _check(config: Config) -> None:
    """Do what trainer=overfit or trainer=fast_dev_run asks for, and print the verdict. Raises UserError if it fails."""
    from dlproj.training.sanity import fast_dev_run, overfit

    verdict = overfit(config) if config.trainer.overfit else fast_dev_run(config)
    if rank() == 0:
        print(one_line(verdict), flush=True)


def main(arguments: Sequence[str] | None) -> None:
    """Train, sweep or show help. arguments: None for those of sys.argv. Raises SystemExit."""
    if arguments is not None:
        sys.argv[1:] = arguments  # Hydra reads it
    with one_line_errors():
        register()
        if asks_for_help(sys.argv[1:]):
            print(help_text(sys.argv[1:]))
        else:
            _job()
