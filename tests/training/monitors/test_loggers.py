import math
import os
import resource
import signal

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from dlproj.runs.inspection import Histogram
from dlproj.training.monitors.loggers import EpochTable, EpochTensorBoard, shortest


def test_training_and_validation_of_an_epoch_share_a_row(tmp_path):
    table = EpochTable(tmp_path)
    table.log_metrics({"val/loss": 0.5, "epoch": 0}, step=10)
    table.log_metrics({"train/loss": 0.25, "epoch": 0}, step=10)
    table.log_metrics({"train/loss": 0.125, "epoch": 1}, step=20)
    assert (tmp_path / "metrics.csv").read_text() == "epoch,train/loss,val/loss\n1,0.25,0.5\n2,0.125,\n"


def test_the_test_belongs_to_no_epoch(tmp_path):
    table = EpochTable(tmp_path)
    table.log_metrics({"test/loss": 0.5, "epoch": 3}, step=10)
    assert table.rows == {}


def test_writing_again_leaves_no_temporary_file(tmp_path):
    table = EpochTable(tmp_path)
    for epoch in range(3):
        table.log_metrics({"val/loss": float(epoch), "epoch": epoch}, step=0)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize(("value", "expected"), [(0.8799999952316284, 0.88), (1.0, 1.0), (0.1, 0.1)])
def test_a_metric_is_written_with_the_digits_that_float32_has(value, expected):
    assert shortest(value) == expected


def test_a_metric_that_is_not_finite_stays_so():
    assert math.isnan(shortest(float("nan")))
    assert shortest(float("inf")) == math.inf


def test_tensorboard_counts_epochs_from_1_and_keeps_settings_with_the_final_metrics(tmp_path):
    board = EpochTensorBoard(tmp_path)
    board.log_metrics({"val/loss": 0.5, "epoch": 0}, step=422)
    board.log_metrics({"val/loss": 0.25, "epoch": 1}, step=844)
    board.log_outcome({"optim": {"learning_rate": 0.01}, "unset": None}, {"test/accuracy": 0.875}, epoch=2)
    board.finalize("success")
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("val/loss")] == [(1, 0.5), (2, 0.25)]
    assert [(event.step, event.value) for event in events.Scalars("test/accuracy")] == [(2, 0.875)]
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert {name: value.number_value for name, value in settings.items()} == {"optim/learning_rate": 0.01}
    assert not (tmp_path / "hparams.yaml").exists()


def test_a_full_disk_ends_tensorboards_events_and_not_the_run(tmp_path, caplog, capfd):
    board = EpochTensorBoard(tmp_path)
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # writing more fails as on a full disk
        for epoch in range(9):
            board.log_histogram("w", Histogram(-1.0, 1.0, [1] * 5000), torch.zeros(3), epoch)
            board.log_scalar("a", 0.5, epoch)
            board.save()
        board.log_outcome({"seed": 1}, {"test/accuracy": 0.5}, 9)
        board.finalize("success")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    (said,) = caplog.messages
    assert said == f"{board.log_dir}: TensorBoard's events end here: {os.strerror(27)}"
    assert "Traceback" not in capfd.readouterr().err
