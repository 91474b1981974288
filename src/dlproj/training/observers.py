"""All that watches a run: callbacks, loggers and figures, and the record that they complete."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from dlproj.config.root import Config, load
from dlproj.reports.pictures import Pictures
from dlproj.runs.inspection import Inspection
from dlproj.runs.summary import RunResult
from dlproj.training.averaging import AverageWeights
from dlproj.training.callbacks import build_callbacks, checkpoint_path
from dlproj.training.continuing import Plan
from dlproj.training.ending import Ending
from dlproj.training.monitors.epoch_logger import build_loggers
from dlproj.training.monitors.fold_predictions import KeepPredictions
from dlproj.training.monitors.inspector import inspectors
from dlproj.training.monitors.loggers import EpochTable, KeepTable
from dlproj.training.monitors.network_graph import NoteGraph
from dlproj.training.profile import Profile
from dlproj.training.pruning import Prune
from dlproj.training.recording import Begin, RecordEarlyEnd, best_epoch_of, complete
from dlproj.training.signals import StopBySignal
from dlproj.training.stopwatch import Stopwatch


class Observers:
    """What watches a run of these settings in this process, and fills in its record, `result`.

    Raises ConfigurationError if a logger cannot be made.
    """

    def __init__(self, config: Config, result: RunResult, pictures: Pictures) -> None:
        self.config = config
        self.result = result
        self.pictures = pictures
        self.folder = folder = Path(result.folder)
        self.ending = Ending()
        self.inspection = Inspection()
        self.table = EpochTable(folder)
        self.tensorboard, self.loggers = build_loggers(config.logger, folder)
        self.watch = Stopwatch()
        self.profile = Profile(self.watch, folder) if config.trainer.profile else None
        self.averaging = AverageWeights(config.optim) if config.optim.averages() else None

    def callbacks(self, resumed: bool, replace: bool) -> list[Callback]:
        """Build the callbacks in the order in which Lightning is to call them. replace: see Begin."""
        config, folder, ending = self.config, self.folder, self.ending
        begin = self._begin(resumed, replace)
        callbacks: list[Callback | None] = [
            begin,
            self.averaging,
            Plan(config, load(folder / "config.yaml", allow_code=True) if resumed else config),  # run() has asked
            *build_callbacks(config.callbacks, folder, ending),
            *inspectors(config.figures, self.inspection, self.tensorboard),
            NoteGraph(self.inspection, self.tensorboard, config.model.loss_words(), config.figures.graph),
            KeepTable(self.table),
            RecordEarlyEnd(config, self.result, self.table, begin, ending),
            StopBySignal(checkpoint_path(folder, "last"), ending),
            KeepPredictions(folder) if config.data.folds else None,
            Prune(config.sweep.trial, ending) if config.sweep.trial.number >= 0 else None,
            self.profile,
            self.watch,
        ]
        return [callback for callback in callbacks if callback is not None]

    def _begin(self, resumed: bool, replace: bool) -> Begin:
        # Lightning would open a file of events even for a TensorBoard that writes nothing.
        own = [self.table] if self.tensorboard.failed else [self.tensorboard, self.table]
        return Begin(self.config, self.result, own, self.loggers, resumed, replace)

    def end_training(self, trainer: pl.Trainer) -> None:
        """Record how training has ended, and request its figures.

        To be called before the test, which restores the state of callbacks from the checkpoint, too.
        """
        result, ending = self.result, self.ending
        result.status, result.stop_reason = ending.status, ending.reason_of(trainer, self.config.trainer.max_time)
        result.averaged = self.averaging is not None and self.averaging.count > 0
        best = best_epoch_of(self.config, self.table.rows)
        self.pictures.of_training(self.table.rows, best, self.inspection, result.reference_curves)

    def end_run(self, trainer: pl.Trainer) -> None:
        """Complete the record, and on rank 0 write it and end the loggers."""
        result = self.result
        complete(result, self.config, trainer, self.watch, self.table)
        result.profile = self.profile.parts(trainer) if self.profile else {}
        if trainer.is_global_zero:
            self._write()
            for logger in self.loggers:
                logger.complete(result.metrics, result.last_epoch)

    def _write(self) -> None:
        """Write the results, then the figures drawn from them. Once summary.json is written, the run is complete."""
        result, pictures = self.result, self.pictures
        self.inspection.write(self.folder)
        result.write()
        pictures.of_folder()  # first, since it takes longest
        if result.confusion_matrix:
            pictures.of_test(result.confusion_matrix, result.classes, self.inspection)
        for path in pictures.finish():
            if path.suffix == ".png":
                self.tensorboard.log_png(f"figures/{path.stem}", path.read_bytes(), result.last_epoch)
        self.tensorboard.log_outcome(self.config.settings(), result.metrics, result.last_epoch)  # flushes all events
