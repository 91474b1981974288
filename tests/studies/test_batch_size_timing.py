"""The plain loop over batches against a run of the project, and what is made of its times."""

import pytest
import pytorch_lightning as pl
import torch
from torch.testing import assert_close

from dlproj.experiments import composing, points
from dlproj.settings import ConfigurationError
from dlproj.studies.batch_size_timing import accuracy, batch_size_timing, build, fit, measure, train, with_batch

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
    config.trainer.build([], [], tmp_path).fit(trained, datamodule=data)
    looped = build(config)
    train(looped, data.train_dataloader(), config)
    assert_close(looped.state_dict(), trained.state_dict())


def test_incomplete_batches_and_the_first_are_not_timed(config):
    config = with_batch(config, 30)  # 30 + 30 + 30 + 10
    data = config.data.build(config.seed)
    data.setup()
    batches, epochs = train(build(config), data.train_dataloader(), config)
    assert (len(batches), len(epochs)) == (2 * 3 - 1, 2)
    assert sum(batches) < sum(epochs)


def test_building_a_network_leaves_the_random_numbers_as_they_were(config):
    before = torch.get_rng_state()
    build(config)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_documents_figures_stand_beside_their_batch_size(config):
    rows = [measure(with_batch(config, size)) for size in (16, 50)]
    assert (rows[0]["reported_accuracy"], rows[0]["reported_mean_seconds"]) == (0.9805, pytest.approx(1.54e-3))
    assert (rows[1]["reported_accuracy"], rows[1]["reported_mean_seconds"]) == (None, None)
    assert [row["steps"] for row in rows] == [2 * 7, 2 * 2]
    assert rows[1]["seconds_a_sample"] == rows[1]["median_seconds"] / 50
    figures = {size: config.reference.figures({"data": {"batch_size": size}}) for size in REPORTED}
    assert {size: (one["test/accuracy"], one["milliseconds_a_batch"]) for size, one in figures.items()} == REPORTED


def test_the_fit_finds_the_parts_that_times_are_made_of():
    a, b = fit([1, 10, 100], [3.5, 8, 53])
    assert (a, b) == (pytest.approx(3), pytest.approx(0.5))


def test_accuracy_by_hand():
    def model(inputs):
        return inputs

    logits, classes = torch.tensor([[2.0], [-1.0], [0.5], [-3.0]]), torch.tensor([1, 1, 0, 0])
    assert accuracy(model, [(logits[:3], classes[:3]), (logits[3:], classes[3:])]) == 0.5


def test_the_article_shows_times_accuracies_and_parts():
    times, accuracies, parts = batch_size_timing(sizes="64,16", epochs=1, samples=128).sections
    assert [row["batch_size"] for row in times.table.rows] == [16, 64]
    assert [cells[1] for cells in accuracies.table.cells] == ["8", "2"]
    assert [row["times"] for row in parts.table.rows] == ["measured", "reported"]
    axes = times.figures["time"].axes
    assert [one.get_ylabel() for one in axes] == ["Time a batch (ms)", "Time a sample (µs)"]
    assert all(one.get_xscale() == one.get_yscale() == "log" for one in axes)


def test_one_batch_size_has_no_parts_and_threads_are_as_before():
    torch.set_num_threads(2)
    times, accuracies = batch_size_timing(sizes="40", epochs=1, samples=80).sections
    assert (times.heading, accuracies.heading) == ("Time by batch size", "Accuracy")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"sizes": "16,x"}, "--sizes=16,x is no list of whole numbers"),
     ({"sizes": "16,200", "samples": 100}, "--sizes=16,200 has a batch above --samples=100")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        batch_size_timing(**options)
