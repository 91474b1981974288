"""Many runs from Python: the command line's sweeps and searches, in processes of their own."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from itertools import groupby
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from dlproj.api.overrides import full_name, is_arrays, quoted, with_arrays
from dlproj.api.run import Run, compare
from dlproj.config.checks import DataError, UserError
from dlproj.loop_progress import is_notebook
from dlproj.reports.terminal import print_table

if TYPE_CHECKING:
    import pandas as pd

_COMMAND = [sys.executable, "-P", "-c", "from dlproj.cli.app import main; main()"]


class Sweep:
    """The runs of a sweep or a search, in a folder of their own."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @cached_property
    def runs(self) -> list[Run]:
        """The runs, in the order in which they were started."""
        from dlproj.runs.record import run_folders

        return [Run(folder) for folder in run_folders([self.folder])]

    @property
    def table(self) -> "pd.DataFrame":
        """A row a run, the best first: the settings that vary and what came of each."""
        return compare(self.folder)

    @property
    def best(self) -> Run:
        """A run with the best settings, by validation and over their seeds: the first. Raises DataError for none."""
        from dlproj.reports.comparison_table import best
        from dlproj.runs.comparison import compare as compared
        from dlproj.runs.record import find_runs

        chosen = best(compared(find_runs([self.folder])[0]))
        if chosen is None:
            raise DataError(f"no run in {self.folder} has a score: look at their status in .table")
        return Run(chosen.runs[0].folder)

    def out_of_fold(self) -> "pd.DataFrame":
        """Each sample's prediction by the run that has not trained on it, of a sweep over data.fold.

        A row a sample, settings and seed: fold, index in the data, true and predicted class, and p_CLASS, the
        probability of each class. Settings that lack a fold are left out. Raises DataError if all do.
        """
        from dlproj.reports.out_of_fold import as_frame, out_of_fold
        from dlproj.runs.comparison import compare as compared
        from dlproj.runs.record import find_runs

        return as_frame(out_of_fold(compared(find_runs([self.folder])[0])))

    def __repr__(self) -> str:
        return f"<dlproj.Sweep {self.folder}: {len(self.runs)} runs>"

    def _repr_html_(self) -> str:
        """The page that compares the runs, in a frame of the notebook's output."""
        from dlproj.api.run import framed

        return framed((self.folder / "report.html").read_text(encoding="utf-8"), str(self.folder))


def sweep(*overrides: str, **settings: Any) -> Sweep:
    """Train every combination of the values: sweep("seed=1,2,3", learning_rate="0.1,0.01").

    overrides and values are written as after `python train.py -m`, or values as a list, learning_rate=[0.01, 0.1]; data
    may be arrays, as for train(). The runs go on
    several at once, in processes of their own; what they print is printed here. Raises UserError with the text that the
    command line prints.
    """
    return _many([], overrides, settings)


def search(*overrides: str, trials: int, **settings: Any) -> Sweep:
    """Have Optuna choose the settings of `trials` runs: search("optim.learning_rate=tag(log,interval(1e-4,0.1))").

    Needs the extra `search`. Raises UserError as sweep() does.
    """
    return _many(["hydra/sweeper=optuna", f"hydra.sweeper.trials={trials}"], overrides, settings)


def _many(first: Sequence[str], overrides: Sequence[str], settings: dict[str, Any]) -> Sweep:
    named = [
        f"{full_name(name.replace('__', '.'))}={_values(value)}"
        for name, value in settings.items()
        if not is_arrays(name, value)
    ]
    typed = with_arrays(settings, [*first, *overrides, *named])
    folder = _folder(typed)
    if folder is None:
        folder = f"logs/sweeps/{datetime.now():%Y%m%d-%H%M%S}-{token_hex(3)}"
        typed.append(f"hydra.sweep.dir={folder}")
    try:
        call(["train", "-m", *typed])
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f'interrupted: the same call with "sweep.resume={folder}" goes on') from None
    return Sweep(folder)


def _values(value: Any) -> str:
    """Text as it is typed after -m; several values as they are in a list or range."""
    if isinstance(value, str):
        return value
    return ",".join(map(quoted, value)) if isinstance(value, list | tuple | range) else quoted(value)


def _folder(overrides: Sequence[str]) -> str | None:
    """The folder that the overrides name: that of a sweep to resume, or of a new one."""
    named = [text.partition("=")[2] for text in overrides if text.startswith(("sweep.resume=", "hydra.sweep.dir="))]
    return named[-1] if named else None


def call(arguments: Sequence[str]) -> None:
    """Run a command of dlproj, printing what it prints; in a notebook its tables are ruled.

    Raises UserError with the command's error line.
    """
    last = ""
    options: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "encoding": "utf-8"}
    with subprocess.Popen([*_COMMAND, *arguments], **options) as process:
        try:
            for is_table, lines in groupby(process.stdout or (), lambda line: "\t" in line and is_notebook()):
                if is_table:
                    columns, *rows = (line.rstrip("\n").split("\t") for line in lines)
                    print_table(columns, rows)
                    continue
                for line in lines:
                    last = line.rstrip() or last
                    print(line, end="", flush=True)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)  # a terminal has sent it, too; a notebook has not
            process.communicate()  # until what has ended is recorded
            raise
    if process.returncode:
        raise UserError(last.removeprefix("error: "))
