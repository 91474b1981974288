"""`init_from`: the checkpoint that a run starts from, found and checked without torch."""

from contextlib import suppress
from pathlib import Path

from dlproj.config.checks import DataError, require
from dlproj.config.root import Config
from dlproj.config.schemas import schema_name
from dlproj.config.whole_files import read_json
from dlproj.runs.choosing import chosen_run
from dlproj.runs.manifest import shown_path
from dlproj.runs.record import read_settings


def initial_checkpoint(config: Config) -> str:
    """The path of the checkpoint that config.init_from means: that of the weights that a run has tested.

    Raises UserError if there is none, or if it is of a run of another model.
    """
    name = str(config.init_from)
    given = Path(name).expanduser()
    path = given if given.is_file() else _tested_weights(chosen_run(given))
    with suppress(DataError):  # a checkpoint away from its run
        theirs, mine = read_settings(path.parent.parent)["schema"]["model"], schema_name("model", type(config.model))
        message = f"init_from={name} is a run of model={theirs}, this is one of model={mine}"
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
