"""The figures that a run leaves, drawn by a process of their own.

It imports matplotlib, which takes half a second, while the run still trains, and draws the curves while the run tests.
"""

import logging
import pickle
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from dlproj.results.figures_config import FiguresConfig
from dlproj.results.files import write_whole
from dlproj.results.inspection import Inspection

_log = logging.getLogger(__name__)
Epochs = dict[int, dict[str, float]]

SAMPLE_FIGURES = {  # by its name in an Inspection, a figure's title
    "gallery": "Test samples, drawn at random",
    "most_wrong": "Wrong, and most confident of it",
}
LAYER_FIGURES = {
    "dead_units": "Share of units whose output is the same for all validation samples",
    "gradient_norms": "Norm of the gradient, before clipping",
    "update_ratios": "Norm of a step's change against the norm of the weights",
}


class Pictures:
    """Has what the settings ask for drawn into a run's folder. A figure that fails harms no other, nor the run.

    A context: the drawing process lives in it, and dies with this process, however that ends.
    """

    def __init__(self, config: FiguresConfig, folder: Path, wanted: bool) -> None:
        self.config = config
        self.folder = folder
        self._requested: list[Path] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = wanted and config.any_drawn()

    def __enter__(self) -> "Pictures":
        if self._wanted:
            # In a session of its own, where Ctrl-C does not reach it; the end of its standard input does.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def of_training(self, epochs: Epochs, best: int | None, inspection: Inspection) -> None:
        """Ask for the figures that need no test."""
        if self.config.learning_curves:
            self._draw("learning_curves", "learning_curves", epochs, best)
        if inspection.histograms:
            self._draw("histograms", "weight_histograms", inspection.histograms)
        for name, title in LAYER_FIGURES.items():
            if values := getattr(inspection, name):
                self._draw(name, "by_layer", values, title, name == "dead_units")

    def of_test(self, counts: list[list[int]], classes: list[str], inspection: Inspection) -> None:
        """Ask for those of a test: counts[true class][predicted class]."""
        if self.config.confusion_matrix:
            self._draw("confusion_matrix", "confusion_matrix", counts, classes)
        if self.config.per_class:
            self._draw("per_class", "per_class", counts, classes)
        for name, title in SAMPLE_FIGURES.items():
            if samples := getattr(inspection, name):
                self._draw(name, "gallery", samples, classes, title)

    def report(self) -> None:
        """Ask for report.html, which reads what is in the folder by now."""
        if self.config.report:
            self._ask(self.folder / "report.html", "report.folder_report", self.folder)

    def _draw(self, name: str, function: str, *arguments: Any) -> None:
        self._ask(self.folder / "figures" / f"{name}.png", f"figures.{function}", *arguments)

    def _ask(self, path: Path, function: str, *arguments: Any) -> None:
        """Have the file written with what dlproj.results.<function> returns, a figure or a page."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._requested.append(path)
        try:
            pickle.dump((path, function, arguments), self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:  # it has died: finish() says so
            pass

    def finish(self) -> list[Path]:
        """Wait for all that was asked for; the files that were written. What failed is said in the log."""
        written = []
        for path in self._requested:
            problem = self._answer()
            if problem:
                _log.warning("%s was not written: %s", path, problem)
            else:
                written.append(path)
        return written

    def _answer(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            return str(pickle.load(self._process.stdout))
        except (EOFError, pickle.UnpicklingError):
            return "the drawing process has ended"


def main() -> None:
    """Draw what is asked for on standard input, until it ends: answer each with "" or what went wrong."""
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    from dlproj.results import figures  # noqa: F401  # takes its time before it is needed

    while True:
        try:
            path, function, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(_write(path, function, arguments), answers)
        answers.flush()


def _write(path: Path, function: str, arguments: tuple[Any, ...]) -> str:
    from dlproj.results.style import png

    module, _, name = function.rpartition(".")
    try:
        made = getattr(import_module(f"dlproj.results.{module}"), name)(*arguments)
        write_whole(path, made if isinstance(made, str) else png(made))
    except Exception as error:  # of whatever the figure was drawn from: the run goes on without it
        return f"{type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    main()
