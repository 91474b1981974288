"""Loggers that write by epoch: metrics.csv with a row per epoch, and TensorBoard's events."""

import csv
import io
import logging
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from dlproj import formats
from dlproj.config.whole_files import write_whole
from dlproj.library_internals.torch_internals import file_writer
from dlproj.runs.inspection import GraphNode, Histogram
from dlproj.training.fit_callback import FitCallback

_log = logging.getLogger(__name__)


def shortest(value: float) -> float:
    """Return the float with the fewest digits that is equal in float32, in which Lightning keeps metrics."""
    return float(str(np.float32(value)))


class EpochTable(Logger):
    """metrics.csv: a row per epoch, counted from 1, and a column per metric of training or validation.

    The file is rewritten and renamed into place each time, so a reader never sees a partial row.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"
        self.rows: dict[int, dict[str, float]] = {}

    @property
    def name(self) -> str:
        return "epochs"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add metrics to their epoch's row, without those of the test or logged by a callback per step."""
        values = {key: shortest(value) for key, value in metrics.items() if not key.startswith(("test/", "epoch"))}
        if values and "epoch" in metrics:
            self.rows.setdefault(int(metrics["epoch"]) + 1, {}).update(values)
            self.write()

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the settings are in config.yaml."""

    @rank_zero_only
    def write(self) -> None:
        """Rewrite the file from `rows`."""
        columns = sorted({key for row in self.rows.values() for key in row})
        text = io.StringIO()
        writer = csv.DictWriter(text, ["epoch", *columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"epoch": epoch, **row} for epoch, row in sorted(self.rows.items()))
        write_whole(self.path, text.getvalue())


class KeepTable(FitCallback):
    """Saves the table in checkpoints: Lightning logs an epoch after its checkpoint, and a kill may come in between."""

    def __init__(self, table: EpochTable) -> None:
        self.table = table

    def on_save_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the table; at the end of an epoch, with the metrics that Lightning is about to log."""
        progress: Any = trainer.fit_loop.epoch_progress.current
        rows = {epoch: dict(row) for epoch, row in self.table.rows.items()}
        if progress.processed == progress.ready:
            metrics = {key: shortest(float(value)) for key, value in trainer.callback_metrics.items()}
            rows.setdefault(trainer.current_epoch + 1, {}).update(metrics)
        checkpoint["epochs"] = rows

    def resume(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the table."""
        self.table.rows = checkpoint["epochs"]
        self.table.write()


def _while_it_can(write: Callable[..., None]) -> Callable[..., None]:
    """Warn of the first failed write and skip all later ones: the run does not depend on TensorBoard's events."""

    @wraps(write)
    def attempt(board: "EpochTensorBoard", *args: Any, **kwargs: Any) -> None:
        if board.failed:
            return
        try:
            write(board, *args, **kwargs)
        except OSError as error:
            board.failed = True
            _log.warning("%s: TensorBoard's events end here: %s", board.log_dir, error.strerror or error)

    return attempt


class _ThreadErrors:
    """A threading.excepthook that ignores TensorBoard's OSErrors, which the next call that writes raises again."""

    def __init__(self, otherwise: Callable[[threading.ExceptHookArgs], Any]) -> None:
        self.otherwise = otherwise

    def __call__(self, error: threading.ExceptHookArgs) -> None:
        if not (isinstance(error.exc_value, OSError) and type(error.thread).__module__.startswith("tensorboard.")):
            self.otherwise(error)


class EpochTensorBoard(TensorBoardLogger):
    """TensorBoard's events in the run's own folder, with the epoch, counted from 1, on the horizontal axis."""

    def __init__(self, save_dir: Path | str, writes: bool = True) -> None:
        super().__init__(save_dir=save_dir, name="", version="", default_hp_metric=False)
        self.failed = not writes
        if not isinstance(threading.excepthook, _ThreadErrors):
            threading.excepthook = _ThreadErrors(threading.excepthook)

    @rank_zero_only
    @_while_it_can
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log Lightning's metrics by epoch, without those of the test, which log_outcome() logs."""
        if "epoch" in metrics:
            step = int(metrics["epoch"]) + 1
            metrics = {key: value for key, value in metrics.items() if not key.startswith(("test/", "epoch"))}
        super().log_metrics({**metrics, **_shown_first(metrics)}, step)

    @rank_zero_only
    @_while_it_can
    def log_scalar(self, tag: str, value: float, epoch: int) -> None:
        """Log a value that is not a metric of the run."""
        self.experiment.add_scalar(tag, value, epoch)

    @rank_zero_only
    @_while_it_can
    def log_histogram(self, tag: str, histogram: Histogram, values: Tensor, epoch: int) -> None:
        """Log a ready histogram of values (N,); add_histogram would count them again, into 1,500 bins."""
        edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
        self.experiment.add_histogram_raw(
            tag,
            min=histogram.low,
            max=histogram.high,
            num=len(values),
            sum=float(values.sum()),
            sum_squares=float(values.square().sum()),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=histogram.counts,
            global_step=epoch,
        )

    @rank_zero_only
    @_while_it_can
    def log_png(self, tag: str, png: bytes, epoch: int) -> None:
        """Log an encoded PNG; add_image would decode and encode it again."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        width, height = struct.unpack(">II", png[16:24])  # in the header, the first chunk
        image = Summary.Image(width=width, height=height, colorspace=4, encoded_image_string=png)
        file_writer(self.experiment).add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), epoch)

    @rank_zero_only
    @_while_it_can
    def log_graph_nodes(self, nodes: Sequence[GraphNode]) -> None:
        """Fill the Graphs tab without the time and the warnings of add_graph, which traces the network by torch.jit."""
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(graph_def=graph_def(nodes).SerializeToString())
        file_writer(self.experiment).add_event(event)

    @_while_it_can
    def log_outcome(self, settings: dict[str, Any], metrics: dict[str, float], epoch: int) -> None:
        """Fill the HParams tab with the settings that are not None and the final metrics, at the last epoch.

        Lightning would also write a description of the experiment, by this run alone. Without one, TensorBoard compares
        all runs, and shows the settings that differ first.
        """
        from torch.utils.tensorboard.summary import hparams

        _, start, end = hparams(_flat(settings), {})
        for summary in (start, end):
            file_writer(self.experiment).add_summary(summary)
        self.log_metrics(metrics, epoch)
        self.save()

    @rank_zero_only
    @_while_it_can
    def save(self) -> None:
        """Flush the events. Lightning would also write hparams.yaml, which config.yaml makes redundant."""
        self.experiment.flush()

    @rank_zero_only
    @_while_it_can
    def finalize(self, status: str) -> None:
        """Write the remaining events and close the file."""
        super().finalize(status)


def graph_def(nodes: Sequence[GraphNode]) -> Any:
    """Convert the nodes to TensorBoard's GraphDef; dots in names become scopes."""
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto as Shape

    names = [node.name.replace(".", "/") for node in nodes]
    defs = []
    for name, node in zip(names, nodes, strict=True):
        shape = Shape(dim=[Shape.Dim(size=size) for size in node.shape])
        shapes = AttrValue(list=AttrValue.ListValue(shape=[shape]))
        inputs = [names[read] for read in node.reads]
        defs.append(NodeDef(name=name, op=node.operation, input=inputs, attr={"_output_shapes": shapes}))
    return GraphDef(node=defs)


def _shown_first(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return loss and accuracy as torch's documentation names them: Loss/train, Accuracy/val.

    TensorBoard opens the first two groups by name, with capitals before small letters, and shows the first five metrics
    in its HParams tab: without a loss of the test, they are these.
    """
    parts = {key: key.partition("/") for key in metrics if key.endswith(("/loss", "/accuracy")) and key != "test/loss"}
    return {f"{metric.capitalize()}/{split}": metrics[key] for key, (split, _, metric) in parts.items()}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the settings that are not None with names such as optim/learning_rate; lists become text."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}/")
        elif value is not None:
            flat[f"{prefix}{key}"] = value if isinstance(value, bool | int | float | str) else formats.setting(value)
    return flat
