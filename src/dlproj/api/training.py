"""Training from Python, in this process: a new run, or an interrupted one resumed."""

from pathlib import Path
from typing import Any

from dlproj.api.overrides import as_overrides
from dlproj.api.run import Run
from dlproj.command_errors import remove_if_unused
from dlproj.config.checks import require

_CTRL_C = 130  # the exit code of a process that it ended


def train(*overrides: str, folder: str | Path | None = None, **settings: Any) -> Run:
    """Train, test and record one run.

    overrides are written as on the command line: "model=mlp", "optim.learning_rate=0.01". Keywords name the same
    settings: data="digits", max_epochs=5, model__hidden=[64] or model={"hidden": [64]}. The run is kept in `folder`,
    by default a new one in logs/runs. Raises UserError with the text that the command line prints.

    model may be a class or function that makes a nn.Module, imported from a file: model=Net, model__arguments={...}.
    data may be a table, a DataFrame, of which data__target names the column of classes: see data=table. Or it may be
    arrays, tensors or DataFrames: (x_train, y_train, x_test, y_test). Images are (n, height, width), or
    (n, height, width, channels) with 1 or 3 channels first or last; features are (n, features); whole numbers
    (n, length) are ids for a recurrent model, 0 being padding. Labels (n,) are whole numbers or names. Without a test
    set give (x_train, y_train), and test_fraction=0.2 or folds=5. The arrays are kept once in logs/arrays, from where
    resuming, evaluating and sweeps read them.

    The process is left as it was: random generators, number of threads, environment, warning filters. Ctrl-C raises
    KeyboardInterrupt once the run is recorded; resume() resumes it. Threads that torch has started before keep taking
    numbers below 1e-38 as they are, where the command line's take them as 0: with trainer.threads=1, or if nothing was
    computed before, the weights are those of the command line to the bit.
    """
    from dlproj.api.composing import composed, own_errors
    from dlproj.api.process import unchanged_process

    with unchanged_process(), own_errors():
        typed = as_overrides(overrides, settings)
        config, default = composed(typed)
        message = "dlproj.train is one process: for several, use the command line, dlproj train trainer=ddp"
        require(config.trainer.devices == 1, message)
        return _run(Path(folder) if folder else default, lambda path: _train(config, path, typed))


def _train(config: Any, folder: Path, overrides: list[str]) -> None:
    from dlproj.training.run import run

    run(config, folder, overrides)


def resume(run: Run | str | Path, *overrides: str, allow_code: bool = False, **settings: Any) -> Run:
    """Resume an interrupted run from its last checkpoint; a complete one is returned as it is.

    With overrides or keywords, as those of train(), it is trained on, complete or not: max_epochs=20. What may change
    is the length of training, early stopping, the learning rate and its schedule. allow_code: as of load_run(). Raises
    UserError.
    """
    from dlproj.api.composing import own_errors
    from dlproj.api.process import unchanged_process
    from dlproj.api.run import load_run
    from dlproj.training.run import resume_run

    with unchanged_process(), own_errors():
        folder = run.folder if isinstance(run, Run) else load_run(run).folder
        changed = as_overrides(overrides, settings)
        return _run(folder, lambda path: resume_run(path, changed, allow_code))


def _run(folder: Path, train: Any) -> Run:
    try:
        train(folder)
    except SystemExit as ended:
        if ended.code != _CTRL_C:
            raise
        raise KeyboardInterrupt(f"interrupted: dlproj.resume({str(folder)!r}) resumes it") from None
    finally:
        remove_if_unused(folder)
    return Run(folder)
