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


def test_tensorboard_opens_on_accuracy_and_loss(tmp_path):
    board = EpochTensorBoard(tmp_path)
    names = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "val/macro_f1", "learning_rate")
    board.log_metrics(dict.fromkeys(names, 0.5) | {"epoch": 0})
    board.log_scalar("dead_units/hidden.0", 0.0, 1)
    board.log_outcome({}, {"test/accuracy": 0.25, "test/loss": 0.75}, 1)
    board.finalize("success")
    events = EventAccumulator(str(tmp_path)).Reload()
    tags = sorted(events.Tags()["scalars"])  # its page opens the first two groups of this order
    expected = ["Accuracy/test", "Accuracy/train", "Accuracy/val", "Loss/train", "Loss/val"]
    assert tags[:5] == expected
    assert set(tags[5:]) == {*names, "dead_units/hidden.0", "test/accuracy", "test/loss"}  # as metrics.csv names them
    assert [(event.step, event.value) for event in events.Scalars("Loss/val")] == [(1, 0.5)]


def test_tensorboard_shows_the_settings_that_vary_first_and_the_tests_accuracy(tmp_path):
    for number, rate in enumerate((0.1, 0.01)):
        board = EpochTensorBoard(tmp_path / str(number))
        settings = {"a": 1, "model": {"hidden": [64], "bias": True}, "optim": {"learning_rate": rate}, "unset": None}
        board.log_metrics({"train/accuracy": 0.5, "val/loss": 0.5, "epoch": 0})
        board.log_outcome(settings, {"test/accuracy": 0.875, "test/loss": 0.5}, 1)
        board.finalize("success")
    experiment, groups = hparams_of(tmp_path)
    infos = {info.name: info.differs for info in experiment.hparam_infos}
    assert infos == {"optim/learning_rate": True, "a": False, "model/bias": False, "model/hidden": False}
    assert next(iter(infos)) == "optim/learning_rate"
    shown = [info.name.tag for info in experiment.metric_infos][:3]
    assert shown == ["Accuracy/test", "Accuracy/train", "Loss/val"]
    found = {
        group.hparams["optim/learning_rate"].number_value: {
            value.name.tag: value.value for value in group.metric_values
        }
        for group in groups
    }
    assert set(found) == {0.1, 0.01}
    assert all(values["test/accuracy"] == 0.875 and values["Loss/val"] == 0.5 for values in found.values())


def hparams_of(folder):
    """What TensorBoard's own HParams plugin answers its page: the experiment and the groups of runs."""
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(folder))
    backend, request = backend_context.Context(TBContext(data_provider=provider)), RequestContext()
    metadata = backend.hparams_metadata(request, "")
    experiment = backend.experiment_from_metadata(request, "", True, metadata, [])
    statuses = [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_UNKNOWN]
    asked = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=9, allowed_statuses=statuses)
    return experiment, list_session_groups.Handler(request, backend, "", asked).run().session_groups


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
