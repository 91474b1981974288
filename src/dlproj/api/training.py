"""Training from Python, in this process: one run, or one that goes on."""

from pathlib import Path
from typing import Any

from dlproj.api.overrides import as_overrides
from dlproj.api.run import Run


def train(*overrides: str, folder: str | Path | None = None, **settings: Any) -> Run:
    """Train, test and record one run.

    overrides are written as on the command line: "model=mlp", "optim.learning_rate=0.01". Keywords name the same
    settings: data="digits", max_epochs=5, model__hidden=[64] or model={"hidden": [64]}. The run is kept in `folder`,
    by default a new one in logs/runs. Raises UserError with the text that the command line prints.

    The process is left as it was: random generators, threads, environment, warning filters. Ctrl-C raises
    KeyboardInterrupt once the run is recorded; resume() goes on with it.
    """
    from dlproj.api.composing import composed, own_errors
    from dlproj.api.process import unchanged_process

    with unchanged_process(), own_errors():
        typed = as_overrides(overrides, settings)
        config, default = composed(typed)
        return _run(Path(folder) if folder else default, lambda path: _train(config, path, typed))


def _train(config: Any, folder: Path, overrides: list[str]) -> None:
    from dlproj.training.run import run

    run(config, folder, overrides)


def resume(run: Run | str | Path) -> Run:
    """Go on with a run that was interrupted, from its last checkpoint; one that is complete is returned as it is."""
    from dlproj.api.composing import own_errors
    from dlproj.api.process import unchanged_process
    from dlproj.api.run import load_run
    from dlproj.training.run import resume_run

    with unchanged_process(), own_errors():
        folder = run.folder if isinstance(run, Run) else load_run(run).folder
        return _run(folder, resume_run)


def _run(folder: Path, train: Any) -> Run:
    try:
        train(folder)
    except SystemExit as ended:  # by which training tells a shell of the signal
        raise KeyboardInterrupt(f"interrupted: dlproj.resume({str(folder)!r}) goes on") from ended
    return Run(folder)
