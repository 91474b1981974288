"""The plain loop over batches against a run of the project, and what is made of its times."""

import os
from itertools import count

import pytest
import pytorch_lightning as pl
import torch
from torch.testing import assert_close

from dlproj.experiments import composing, points
from dlproj.settings import ConfigurationError
from dlproj.studies import batch_size_timing as module
from dlproj.studies.batch_size_timing import Training, accuracy, batch_size_timing, build, fit, measure, with_batch

OVERRIDES = ["data.train_samples=100", "data.test_samples=40", "trainer.max_epochs=2", "seed=3",
             "hydra.sweeper.params=null"]  # fmt: skip
REPORTED = {16: (0.9805, 1.54), 32: (0.9895, 1.57), 64: (0.9635, 1.71), 128: (0.9650, 1.99), 256: (0.9075, 2.56),
            512: (0.6865, 4.27), 1024: (0.5950, 7.00)}  # fmt: skip


@pytest.fixture(scope="module")
def config():
    with composing():
        return points("mlp/batch_size", OVERRIDES)[0].config


@pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)")
def test_the_loop_ends_with_the_weights_of_a_run_of_the_same_seed(config, tmp_path):
    config = with_batch(config, 16)
    pl.seed_everything(config.seed, verbose=False)
    data = config.data.build(config.seed)
    trained = config.model.build(config.data.spec(), config.optim, config.scheduler)
    config.trainer.build([], tmp_path).fit(trained, datamodule=data)
    looped, beside = Training(config), Training(with_batch(config, 50))
    measure([beside, looped])
    assert_close(looped.model.state_dict(), trained.state_dict())


@pytest.fixture
def ticking(monkeypatch):
    """A clock that goes on by a second each time it is read."""
    ticks = count()
    monkeypatch.setattr(module, "processor_clock", lambda device: lambda: float(next(ticks)))


def test_incomplete_batches_and_an_epochs_first_are_not_timed(config, ticking):
    training = Training(with_batch(config, 30))  # 30 + 30 + 30 + 10
    training.train_epoch()
    training.train_epoch()
    assert training.batch_seconds == [1] * 2 * 2
    assert training.epoch_seconds == [4, 4]
    row = training.row()
    assert (row["steps"], row["seconds_an_epoch"], row["seconds_a_sample"]) == (8, 4, 1 / 30)


def test_where_an_epoch_is_one_batch_it_is_timed(config, ticking):
    training = Training(with_batch(config, 100))
    training.train_epoch()
    assert training.batch_seconds == [1]


def test_sizes_take_turns_of_an_epoch_without_a_search_for_gpus(config, monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    monkeypatch.setattr(Training, "row", lambda training: {})
    trained = []

    def train_epoch(training):
        assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "0"
        trained.append(training.config.data.batch_size)

    monkeypatch.setattr(Training, "train_epoch", train_epoch)
    measure([Training(with_batch(config, size)) for size in (10, 20, 30, 40)])
    assert sorted(trained[:4]) == sorted(trained[4:]) == [10, 20, 30, 40]
    assert trained[:4] != trained[4:]
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"


def test_building_a_network_leaves_the_random_numbers_as_they_were(config):
    before = torch.get_rng_state()
    build(config)
    assert torch.equal(torch.get_rng_state(), before)


def test_reported_times_stand_beside_their_batch_size(config):
    rows = measure([Training(with_batch(config, size)) for size in (16, 50)])
    assert [row["reported_mean_seconds"] for row in rows] == [pytest.approx(1.54e-3), None]
    assert [row["steps"] for row in rows] == [2 * 7, 2 * 2]
    assert rows[1]["seconds_a_sample"] == rows[1]["median_seconds"] / 50
    figures = {size: config.reference.figures({"data": {"batch_size": size}}) for size in REPORTED}
    assert {size: (one["test/accuracy"], one["milliseconds_a_batch"]) for size, one in figures.items()} == REPORTED


@pytest.mark.parametrize(
    ("overrides", "accuracy"),
    [([], 0.9805), (["trainer.max_epochs=9"], None), (["data.train_samples=7000"], None), (["seed=5"], 0.9805)],
)
def test_a_reported_accuracy_stands_beside_the_documents_epochs_and_samples_alone(overrides, accuracy):
    with composing():
        (point,) = points("mlp/batch_size", [*overrides, "hydra.sweeper.params=null"])
    reported = Training(with_batch(point.config, 16)).reported()
    assert (reported["reported_accuracy"], reported["reported_mean_seconds"]) == (accuracy, pytest.approx(1.54e-3))


def test_the_fit_finds_the_parts_that_times_are_made_of():
    a, b = fit([1, 10, 100], [3.5, 8, 53])
    assert (a, b) == (pytest.approx(3), pytest.approx(0.5))


def test_the_fit_is_of_relative_errors():
    # Of 1 and 3 the middle is 1.2: (1.2/1 - 1)² + (1.2/3 - 1)² is least; of absolute errors it would be 2.
    a, b = fit([1, 1, 2, 2], [1, 3, 2, 6])
    assert (a, b) == (pytest.approx(0, abs=1e-12), pytest.approx(1.2))


def test_accuracy_by_hand():
    def model(inputs):
        return inputs

    logits, classes = torch.tensor([[2.0], [-1.0], [0.5], [-3.0]]), torch.tensor([1, 1, 0, 0])
    assert accuracy(model, [(logits[:3], classes[:3]), (logits[3:], classes[3:])]) == 0.5


def test_the_article_shows_times_accuracies_and_parts():
    times, accuracies, parts = batch_size_timing(sizes="64,16", epochs=1, samples=128).sections
    assert [row["batch_size"] for row in times.table.rows] == [16, 64]
    assert [cells[1] for cells in accuracies.table.cells] == ["8", "2"]
    assert [cells[3] for cells in accuracies.table.cells] == ["–", "–"]  # of one epoch nothing is reported
    assert [row["times"] for row in parts.table.rows] == ["measured", "reported"]
    axes = times.figures["time"].axes
    assert [one.get_ylabel() for one in axes] == ["Time a batch (ms)", "Time a sample (µs)"]
    assert all(one.get_xscale() == one.get_yscale() == "log" for one in axes)


def test_one_batch_size_has_no_parts():
    times, accuracies = batch_size_timing(sizes="40", epochs=1, samples=80).sections
    assert (times.heading, accuracies.heading) == ("Time by batch size", "Accuracy")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"sizes": "16,x"}, "--sizes=16,x is no list of whole numbers"),
     ({"sizes": "16,200", "samples": 100}, "--sizes=16,200 has a batch above --samples=100")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        batch_size_timing(**options)
