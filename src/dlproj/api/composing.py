"""Settings composed by Hydra from Python, and errors raised with the text that the command line prints."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from dlproj.command_errors import in_one_line, is_user_error
from dlproj.config.checks import UserError, require
from dlproj.config.compose import register
from dlproj.config.places import CONF
from dlproj.runs.new_run import checked


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise what the user can mend as a UserError, with the line that the command line prints."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not is_user_error(error):
            raise
        raise UserError(in_one_line(error)) from error


def composed(overrides: Sequence[str], check: Callable[[DictConfig], Any] = checked) -> tuple[Any, Path]:
    """What `check` makes of the settings of one run, and the folder that Hydra would make for it: hydra.run.dir.

    Hydra's own state is left as it was: the caller may be a Hydra application itself.
    """
    of_sweeps = [text for text in overrides if text.startswith("sweep.")]
    require(not of_sweeps, f"{' '.join(of_sweeps)} is for several runs: call dlproj.sweep")
    register()
    hydra, settings_before = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    try:
        GlobalHydra.instance().hydra = None
        with initialize_config_dir(str(CONF), version_base="1.3"):
            settings = compose("config", list(overrides), return_hydra_config=True)
            several = settings.hydra.mode is RunMode.MULTIRUN
            require(not several, "these settings are an experiment of several runs: call dlproj.sweep")
            HydraConfig.instance().set_config(settings)
            folder = Path(settings.hydra.run.dir)
            with open_dict(settings):
                del settings["hydra"]
            return check(settings), folder
    finally:  # initialize_config_dir() has put other instances in their places
        GlobalHydra.instance().hydra, HydraConfig.instance().cfg = hydra, settings_before
