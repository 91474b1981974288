"""Draws a run's figures and page in a separate process, beside training.

The process imports matplotlib, which takes half a second, while the run trains, and draws the curves while it tests. It
draws with two workers, which halves the wait at the end. A run of a sweep draws in its own process.
"""

import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from dlproj.config.figures import FiguresConfig
from dlproj.config.reference import Curves
from dlproj.config.whole_files import write_whole
from dlproj.reports.figure_table import FIGURES, Material
from dlproj.runs.inspection import Inspection

_log = logging.getLogger(__name__)
Epochs = dict[int, dict[str, float]]
Answer = tuple[str, str]  # error of a file, or "", and the letters drawn as boxes


class Pictures:
    """Draws the figures that are set into a run's folder. A figure that fails affects neither the others nor the run.

    A context manager: the drawing process ends with it, or with this process. After draw_here() no process is started
    and finish() draws.
    """

    def __init__(self, config: FiguresConfig, folder: Path, wanted: bool) -> None:
        self.config = config
        self.folder = folder
        self._requested: list[tuple[Path, str, tuple[Any, ...]]] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = wanted and config.any_drawn()

    def __enter__(self) -> "Pictures":
        if self._wanted and not _here:
            self._process = _start()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._process is not None:
            _end(self._process)

    def of_training(
        self, epochs: Epochs, best: int | None, inspection: Inspection, reported: Curves | None = None
    ) -> None:
        """Request the figures of training."""
        self._draw(Material(inspection, epochs, best, reported), of_test=False)

    def of_test(self, counts: list[list[int]], classes: list[str], inspection: Inspection) -> None:
        """Request the figures of the test. counts: [true class][predicted class]."""
        self._draw(Material(inspection, counts=counts, classes=classes), of_test=True)

    def _draw(self, material: Material, of_test: bool) -> None:
        for figure in FIGURES:
            wanted = figure.of_test == of_test and getattr(self.config, figure.name, True)
            if wanted and (arguments := figure.needs(material)):
                self._ask(self._figure(figure.name), figure.drawn_by, *arguments)

    def of_folder(self) -> None:
        """Ask for report.html and the extra figures, which read what is in the folder by now."""
        if self.config.report:
            self._ask(self.folder / "report.html", "comparison_report.folder_report", self.folder)
        for name, node in self.config.extra.items():
            self._ask(self._figure(name), "extra_figures.extra_figure", self.folder, name, node)

    def _figure(self, name: str) -> Path:
        return self.folder / "figures" / f"{name}.png"

    def _ask(self, path: Path, function: str, *arguments: Any) -> None:
        """Request that `path` is written with what dlproj.reports.<function> returns, a picture or a page."""
        if not self._wanted:
            return
        self._requested.append((path, function, arguments))
        if self._process is None:
            return
        assert self._process.stdin is not None
        try:
            pickle.dump(self._requested[-1], self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError:  # the process has ended: finish() reports it
            pass

    def finish(self) -> list[Path]:
        """Wait for all requests; returns the files written, and logs failures."""
        paths = [path for path, _, _ in self._requested]
        answers = self._answers()
        if boxed := "".join(sorted({letter for _, letters in answers for letter in letters})):
            from dlproj.reports.fonts import in_words

            _log.warning("%s", in_words(boxed))
        problems = dict(zip(paths, (problem for problem, _ in answers), strict=True))
        for path, problem in problems.items():
            if problem:
                _log.warning("%s was not written: %s", path, problem)
        return [path for path, problem in problems.items() if not problem]

    def _answers(self) -> list[Answer]:
        if self._process is None:
            return [_write(*request) for request in self._requested]
        try:
            return list(pickle.loads(self._process.communicate()[0]))
        except (EOFError, pickle.UnpicklingError):
            return [("the drawing process has ended", "")] * len(self._requested)


_here = False


def draw_here() -> None:
    """Draw at the end of a run, in this process and those forked from it: in a sweep, other runs use the other cores.

    Imports what drawing needs and draws a first figure, which is slower than later ones, so that forks need not.
    """
    global _here
    _here = True
    _import()
    from dlproj.reports.run_figures import confusion_matrix
    from dlproj.reports.style import png, svg

    png(confusion_matrix([[1, 0], [0, 1]], ["a", "b"]))
    svg(confusion_matrix([[1, 0], [0, 1]], ["a", "b"]), "first")


def _start() -> "subprocess.Popen[bytes]":
    # In its own session Ctrl-C does not reach it; it ends when its standard input does.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "dlproj.reports.pictures"],  # -P: do not import from the current folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        # It forks, so it must have one thread. Modules of one's own are found as in this process.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def main() -> None:
    """Draw the requests read from standard input until it ends, then write their answers."""
    _import()
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    with ProcessPoolExecutor(2, get_context("fork")) as pool:
        drawn = [pool.submit(_write, *request) for request in _requests()]
        problems = [future.result() for future in drawn]
    try:
        answers.write(pickle.dumps(problems))
        answers.flush()
    except BrokenPipeError:  # the run has been killed: nobody reads the answers
        os._exit(1)


def _import() -> None:
    from dlproj.reports import comparison_report, gallery  # noqa: F401  # slow, so before it is needed


def _requests() -> Iterator[tuple[Path, str, tuple[Any, ...]]]:
    while True:
        try:
            yield pickle.load(sys.stdin.buffer)
        except EOFError:
            return


def _write(path: Path, function: str, arguments: tuple[Any, ...]) -> Answer:
    from dlproj.reports.fonts import take_boxed
    from dlproj.reports.style import png

    module, _, name = function.rpartition(".")
    try:
        made = getattr(import_module(f"dlproj.reports.{module}"), name)(*arguments)
        write_whole(path, made if isinstance(made, str) else png(made))
    except Exception as error:  # whatever fails, the run goes on without the figure
        return f"{type(error).__name__}: {error}", take_boxed()
    return "", take_boxed()


if __name__ == "__main__":
    main()
