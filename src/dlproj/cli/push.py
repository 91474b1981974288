"""`dlproj push`: send finished runs to a tracker."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from dlproj.cli.options import chosen, run_names
from dlproj.config.checks import DataError, one_line, require


class TrackerName(Enum):
    """Where runs are sent."""

    mlflow = "mlflow"
    wandb = "wandb"


def push(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…",
            help="Folders of runs or sweeps, or above them; or latest or best.",
            show_default=False,
            autocompletion=run_names,
        ),
    ],
    to: Annotated[TrackerName, typer.Option(help="The tracker.")],
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow's store. Default: MLFLOW_TRACKING_URI, or logs/mlflow.db.")
    ] = None,
    experiment: Annotated[str | None, typer.Option(help="MLflow's experiment. Default: dlproj.")] = None,
    project: Annotated[str | None, typer.Option(help="The project of wandb. Default: dlproj.")] = None,
) -> None:
    """Send runs to MLflow or Weights & Biases, from their folders alone: settings, metrics, figures, report, model.

    What was sent before, also while a run trained, is not sent again. A sweep becomes a parent of its runs.

    Example: `dlproj push logs/runs --to mlflow`
    """
    from dlproj.runs.record import run_folders
    from dlproj.trackers.sending import check_installed, opened
    from dlproj.trackers.sending import push as send

    check_installed(to.value)
    mlflow = {"tracking_uri": tracking_uri, "experiment": experiment}
    wandb = {"project": project}
    options, others = (mlflow, wandb) if to is TrackerName.mlflow else (wandb, mlflow)
    for name, value in others.items():
        words = f"--{name} has no effect with --to {to.value}: set --{' or --'.join(options)}"
        require(value is None, words.replace("_", "-"))
    folders = run_folders([chosen(path) if str(path) in ("latest", "best") else path for path in paths])
    count = skipped = 0
    with opened(to.value, options, "push again later") as tracker:
        for folder, outcome in send(folders, tracker):
            print(one_line(f"{folder}: {outcome}"), flush=True)
            count += 1
            skipped += outcome.startswith("skipped")
    if skipped:
        raise DataError(f"{skipped} of {count} runs were skipped")
