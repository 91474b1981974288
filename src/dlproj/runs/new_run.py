"""Settings of a run about to start: typed, and checked against its data and the run whose weights it starts from."""

from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from dlproj.config.checks import DataError, require
from dlproj.config.consent import code_of, remember
from dlproj.config.custom import check_torch_arguments
from dlproj.config.root import Config, typed_config
from dlproj.config.schemas import schema_name
from dlproj.config.user_code import parts_with_code
from dlproj.config.whole_files import read_json
from dlproj.runs.choosing import chosen_run
from dlproj.runs.manifest import shown_path
from dlproj.runs.record import read_settings


def checked(composed: DictConfig, alone: bool = True) -> Config:
    """Typed settings of a composed configuration; the data must exist. Raises ConfigurationError or DataError.

    alone: True for a single run, in which each setting must have an effect; in a run of a sweep some may have none.
    """
    config = typed_config(composed)
    if alone:
        config.check_read()
    for part in parts_with_code(config).values():
        part.check_code()
    remember(*code_of(config.settings()))
    check_torch_arguments(config.optim, config.scheduler, config.trainer.max_epochs)
    spec = config.data.spec()
    config.data.check_spec(spec)
    config.model.check_data(spec)
    if config.init_from is not None:
        message = f"init_from={config.init_from} would mean another run to each job of a sweep: name the run's folder"
        require(alone or config.init_from not in ("latest", "best"), message)
        config.init_from = _initial_checkpoint(config, config.init_from)
    return config


def _initial_checkpoint(config: Config, init_from: str) -> str:
    """Return the path of the checkpoint that init_from means: of a run, that of the weights it has tested.

    Raises UserError if there is none, or if it is of a run of another model.
    """
    given = Path(init_from).expanduser()
    path = given if given.is_file() else _tested_weights(chosen_run(given))
    with suppress(DataError):  # a checkpoint away from its run
        theirs, mine = read_settings(path.parent.parent)["schema"]["model"], schema_name("model", type(config.model))
        message = f"init_from={init_from} is a run of model={theirs}, this is one of model={mine}"
        require(theirs == mine, f"{message}: choose the same, or another run")
    return shown_path(path.resolve())


def _tested_weights(folder: Path) -> Path:
    tested = None
    with suppress(DataError):
        tested = read_json(folder / "summary.json").get("tested_weights")
    path = folder / "checkpoints" / ("best.ckpt" if tested == "best" else "last.ckpt")
    require(
        path.is_file(), f"init_from={folder} has no {path.relative_to(folder)}: name a run that has trained an epoch"
    )
    return path
