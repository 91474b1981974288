"""Runs from Python: a finished or interrupted run's folder as an object, and several of them side by side."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlproj.config.checks import ConfigurationError
from dlproj.runs.choosing import LOGS, chosen_run
from dlproj.runs.comparison import compare as compared
from dlproj.runs.record import Run as Record
from dlproj.runs.record import find_runs, read_run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from dlproj.inference.trained import LoadedRun
    from dlproj.models.classifier import Classifier


class Run:
    """A run, read from its folder. What takes torch is loaded when it is first asked for."""

    def __init__(self, folder: str | Path, allow_code: bool = False) -> None:
        self.folder = Path(folder)
        self.allow_code = allow_code  # see load_run()

    @cached_property
    def _record(self) -> Record:
        return read_run(self.folder)

    def __repr__(self) -> str:
        result = self._record.result
        accuracy = result.metrics.get("test/accuracy")
        tested = f", test accuracy {accuracy:.2%}" if accuracy is not None else ""
        return f"<dlproj.Run {self.folder}: {result.status}{tested}>"

    def __fspath__(self) -> str:
        return str(self.folder)

    def _repr_html_(self) -> str:
        """The run's page, in a frame of the notebook's output."""
        return framed(self.report.read_text(encoding="utf-8"), self.name)

    @property
    def name(self) -> str:
        """The run's name: model, data and optimizer unless `name=` was set."""
        return self._record.result.name

    @property
    def status(self) -> str:
        """completed, pruned, diverged, interrupted, failed or running."""
        return self._record.result.status

    @property
    def metrics(self) -> dict[str, float]:
        """The last epoch's metrics and those of the test, by name: `test/accuracy`, a fraction."""
        return dict(self._record.result.metrics)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings, nested as in config.yaml."""
        return self._record.settings

    @property
    def history(self) -> "pd.DataFrame":
        """The metrics of each epoch: a row an epoch, from 1, a column a metric."""
        import pandas as pd

        frame = pd.DataFrame.from_dict(self._record.epochs, orient="index").sort_index()
        return frame.rename_axis(index="epoch", columns=None)

    @property
    def confusion_matrix(self) -> "pd.DataFrame":
        """Counts of the test by true class (rows) and predicted class (columns)."""
        import pandas as pd

        from dlproj.reports.classification import entries

        result = self._record.result
        index, columns = (pd.Index(result.classes, name=name) for name in ("true", "predicted"))
        matrix = pd.DataFrame(0, index=index, columns=columns)
        for truth, guess, count in entries(result.confusion_matrix, len(result.classes)):
            matrix.iat[truth, guess] = count
        return matrix

    @property
    def report(self) -> Path:
        """The run's page, report.html; written anew where the run has left none."""
        from dlproj.config.whole_files import write_whole
        from dlproj.reports.comparison_report import run_report

        path = self.folder / "report.html"
        if not path.exists():
            write_whole(path, run_report(self._record))
        return path

    def plot(self, figure: str = "learning_curves") -> "Axes | Sequence[Axes]":
        """Draw a figure: learning_curves, confusion_matrix, per_class; its axes, one or several."""
        from dlproj.api.plots import draw

        return draw(self._record, figure)

    @cached_property
    def _loaded(self) -> "LoadedRun":
        from dlproj.api.process import unchanged_process
        from dlproj.inference.trained import open_run

        with unchanged_process():
            return open_run(self.folder, allow_code=self.allow_code)

    @contextmanager
    def _prepared(self) -> "Iterator[LoadedRun]":
        """The opened run, in a process that computes as its training did."""
        from dlproj.api.composing import own_errors
        from dlproj.api.process import unchanged_process
        from dlproj.training.trainer import prepare_process

        loaded = self._loaded
        with unchanged_process(), own_errors():
            prepare_process(loaded.config.trainer)
            yield loaded

    def resume(self, *overrides: str, **settings: Any) -> "Run":
        """Resume the run, or train it on with settings changed: see dlproj.resume(). Returns it, read anew."""
        from dlproj.api.training import resume

        return resume(self, *overrides, **settings)

    @property
    def model(self) -> "Classifier":
        """The network with the tested weights, on the CPU in eval mode: a LightningModule."""
        return self._loaded.model

    def predict(self, x: Any) -> "pd.DataFrame":
        """Classify samples: arrays, tensors, PIL images, files, texts or a DataFrame; one or several.

        A row a sample: its `class`, and a column with the probability of each class. Raises DataError, with the shape
        that came and the one that is needed.
        """
        with self._prepared() as loaded:
            from dlproj.api.prediction import predicted

            return predicted(loaded, x)

    def evaluate(self, split: str = "test", **data: Any) -> dict[str, float]:
        """The metrics of the tested weights on train, val or test; keywords set other data, such as root="…".

        data=(x, y) evaluates on these arrays, data=(x_train, y_train, x_test, y_test) on one of their splits, and a
        DataFrame or the path of a table file on its rows, if the run was trained on a table.
        """
        from dlproj.api.overrides import is_arrays, quoted
        from dlproj.config.checks import one_of
        from dlproj.inference.evaluate import evaluate

        one_of("split", split, ("train", "val", "test"))
        if isinstance(data.get("data"), str | PathLike):
            data["test_file"] = str(data.pop("data"))
        with self._prepared() as loaded:
            settings = [f"{key}={quoted(value)}" for key, value in data.items() if not is_arrays(key, value)]
            if hasattr(data.get("data"), "columns"):
                from dlproj.api.arrays import stored_table

                settings = ["table", f"test_file={quoted(stored_table(data['data']))}", *settings]
            elif is_arrays("data", data.get("data")):
                from dlproj.api.arrays import GROUPS, stored_as

                kind = loaded.data.spec.kind
                alone = len(data["data"]) == 2
                parts = [*data["data"], *data["data"]] if alone else data["data"]
                whole = ["folds=null", "fold=0", "test_fraction=null", f"file={quoted(stored_as(kind, parts))}"]
                whole += ["val=test", "drop_last=false"] if alone else []
                settings = [GROUPS[kind], *whole, *settings]
            return evaluate(loaded, split, settings).metrics


def framed(page: str, title: str) -> str:
    """A page in a frame of its own, which keeps its styles from the notebook's."""
    from html import escape

    style = "width:100%;height:640px;border:0"
    return f'<iframe srcdoc="{escape(page)}" style="{style}" title="{escape(title)}"></iframe>'


def load_run(name: str | Path, allow_code: bool = False) -> Run:
    """The run of a folder; "latest" and "best" are those in logs/. Raises UserError where there is none.

    allow_code: let it run the network or data code that its folder holds, though you have not trained with it here.
    """
    return Run(chosen_run(Path(name)), allow_code)


def list_runs(path: str | Path = LOGS) -> "pd.DataFrame":
    """The runs in and below path, newest first; `.attrs["damaged"]` lists folders that cannot be read."""
    import pandas as pd

    from dlproj.reports.listing import list_runs as listed

    runs, damaged = listed(Path(path))
    frame = pd.DataFrame(runs)
    frame.attrs["damaged"] = [str(one.folder) for one in damaged]
    return frame


def compare(runs: Sequence[Run | str | Path] | str | Path) -> "pd.DataFrame":
    """A row a run, the best first: the settings that vary between them and what came of each."""
    import pandas as pd

    from dlproj.reports.comparison_table import table

    records = _records(runs)
    return pd.DataFrame(table(compared(records)))


def _records(runs: Sequence[Run | str | Path] | str | Path) -> list[Record]:
    if isinstance(runs, str | Path):
        return find_runs([Path(runs)])[0]
    records = [run._record if isinstance(run, Run) else read_run(chosen_run(Path(run))) for run in runs]
    if not records:
        raise ConfigurationError("there are no runs to compare: name at least one")
    return records
