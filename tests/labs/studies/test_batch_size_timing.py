"""The plain loop over batches against a run of the project, and what is made of its times."""

import gc
import os
from itertools import count

import pytest
import pytorch_lightning as pl
import torch
from torch.testing import assert_close

from dlproj.config.checks import ConfigurationError
from dlproj.experiments import composing, points
from dlproj.labs.studies import batch_size_timing as module
from dlproj.labs.studies.batch_size_timing import (
    Training,
    accuracy,
    batch_size_timing,
    build,
    one_by_one,
    row_of,
    train,
    with_batch,
)
from dlproj.labs.studies.parts.batch_size_results import _FITTED, conclusions, fit, fit_rows
from dlproj.training.trainer import build_trainer

OVERRIDES = [
    "data.train_samples=100",
    "data.test_samples=40",
    "trainer.max_epochs=2",
    "seed=3",
    "hydra.sweeper.params=null",
]
REPORTED = {
    16: (0.9805, 7.71, 1.54),
    32: (0.9895, 3.91, 1.57),
    64: (0.9635, 2.14, 1.71),
    128: (0.9650, 1.26, 1.99),
    256: (0.9075, 0.82, 2.56),
    512: (0.6865, 0.68, 4.27),
    1024: (0.5950, 0.56, 7.00),
}


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
    build_trainer(config.trainer, [], tmp_path).fit(trained, datamodule=data)
    looped, beside = Training(config), Training(with_batch(config, 50))
    train([beside, looped])
    assert_close(looped.model.state_dict(), trained.state_dict())


@pytest.fixture
def ticking(monkeypatch):
    """A clock that goes on by a second each time it is read."""
    ticks = count()
    monkeypatch.setattr(module, "processor_clock", lambda device: lambda: float(next(ticks)))


def test_incomplete_batches_an_epochs_first_and_validations_are_no_steps(config, ticking):
    training = Training(with_batch(config, 30))  # 30 + 30 + 30 + 10
    training.train_epoch()
    training.train_epoch()
    assert training.batch_seconds == [1] * 2 * 2
    assert training.epoch_seconds == [4, 4]
    assert training.whole_seconds == [5, 5]
    row = row_of(training, training)
    assert (row["steps"], row["seconds_an_epoch"], row["seconds_a_sample"]) == (8, 4, 1 / 30)


def test_where_an_epoch_is_one_batch_it_is_timed(config, ticking):
    training = Training(with_batch(config, 100))
    training.train_epoch()
    assert training.batch_seconds == [1]


def test_the_total_is_of_all_epochs_with_loader_and_validations_by_the_number_of_batches(config, ticking, monkeypatch):
    class Slow(list):
        def __iter__(self):
            for batch in super().__iter__():
                module.processor_clock(None)()  # a second passes
                yield batch

    ours, theirs = (Training(with_batch(config, 30), loaders) for loaders in (module.in_memory, one_by_one))
    theirs.loaders = module.Loaders(lambda _, train=theirs.loaders.train: Slow(train(0)), Slow(theirs.loaders.val))
    train([ours, theirs])
    row = row_of(ours, theirs)
    assert row["dlproj_total_seconds"] == 2 * 5
    assert row["torch_total_seconds"] == 2 * (5 + 4 + 2)  # of 4 batches of training and 2 of validation
    assert row["torch_total_seconds_a_batch"] == row["torch_total_seconds"] / 8


def test_torchs_loader_hands_out_every_sample_once_an_epoch_in_another_order(config):
    training = Training(with_batch(config, 30), one_by_one)
    first, second = (torch.cat([inputs for inputs, _ in training.loaders.train(epoch)]) for epoch in (0, 1))
    assert not torch.equal(first, second)
    expected = training.data.train.inputs
    for epoch in (first, second):
        assert_close(epoch[epoch[:, 0].argsort()], expected[expected[:, 0].argsort()])
    assert_close(torch.cat([inputs for inputs, _ in training.loaders.val]), training.data.test.inputs)


def test_losses_are_means_over_the_samples_and_accuracies_those_of_the_test_set(config):
    training = Training(with_batch(config, 60))  # 60 + 40
    given = iter([torch.tensor(1.0), torch.tensor(2.0)])
    training.step = lambda inputs, targets: next(given)
    training.train_epoch()
    assert training.losses == [pytest.approx(1.4)]
    assert training.accuracies == [accuracy(training.model, training.data.test_dataloader())]


def test_sizes_take_turns_of_an_epoch_without_a_search_for_gpus_or_older_garbage(config, monkeypatch):
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    trained = []

    def train_epoch(training):
        assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "0"
        assert gc.get_freeze_count() > 0
        trained.append(training.config.data.batch_size)

    monkeypatch.setattr(Training, "train_epoch", train_epoch)
    train([Training(with_batch(config, size)) for size in (10, 20, 30, 40)])
    assert sorted(trained[:4]) == sorted(trained[4:]) == [10, 20, 30, 40]
    assert trained[:4] != trained[4:]
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"
    assert gc.get_freeze_count() == 0


def test_building_a_network_leaves_the_random_numbers_as_they_were(config):
    before = torch.get_rng_state()
    build(config)
    assert torch.equal(torch.get_rng_state(), before)


def test_reported_figures_are_the_documents(config):
    figures = {size: config.reference.figures({"data": {"batch_size": size}}) for size in REPORTED}
    quantities = ("test/accuracy", "seconds", "total_milliseconds_a_batch")
    assert {size: tuple(one[name] for name in quantities) for size, one in figures.items()} == REPORTED
    for size, (_, seconds, milliseconds) in REPORTED.items():
        assert seconds / (10 * -(-8000 // size)) * 1e3 == pytest.approx(milliseconds, abs=0.02)


@pytest.mark.parametrize(
    ("overrides", "reported"),
    [
        ([], (0.9805, 7.71, 1.54e-3)),
        (["trainer.max_epochs=9"], (None,) * 3),
        (["data.train_samples=7000"], (None,) * 3),
        (["seed=5"], (0.9805, 7.71, 1.54e-3)),
    ],
)
def test_reported_figures_stand_beside_the_documents_epochs_and_samples_alone(overrides, reported):
    with composing():
        (point,) = points("mlp/batch_size", [*overrides, "hydra.sweeper.params=null"])
    found = Training(with_batch(point.config, 16)).reported()
    keys = ("reported_accuracy", "reported_total_seconds", "reported_total_seconds_a_batch")
    assert tuple(found[key] for key in keys) == pytest.approx(reported)


@pytest.mark.parametrize(
    ("totals", "steps", "words"),
    [((3, 2, 1), (4, 2, 1), ("falls", "does not rise")), ((3, 2, 2), (4, 2, 1), ("does not fall", "rises"))],
)
def test_whether_the_documents_conclusions_hold_is_computed(totals, steps, words):
    rows = [
        {"torch_total_seconds": total, "torch_total_seconds_a_batch": total / count}
        for total, count in zip(totals, steps, strict=True)
    ]
    assert "the total {} and the time a batch {} from".format(*words) in conclusions(rows)


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


def test_the_article_shows_totals_steps_curves_and_parts():
    whole, step, learnt, parts = batch_size_timing(sizes="64,16", epochs=2, samples=128).sections
    assert [row["batch_size"] for row in whole.table.rows] == [16, 64]
    assert [cells[1:3] for cells in whole.table.cells] == [("16", "–"), ("4", "–")]  # nothing is reported of 2 epochs
    assert [cells[0] for cells in step.table.cells] == ["16", "64"]
    assert not any("reported" in column for column in step.table.columns)
    assert [cells[4] for cells in learnt.table.cells] == ["–", "–"]
    assert [(row["batch_size"], row["epoch"]) for row in learnt.table.rows] == [(16, 1), (16, 2), (64, 1), (64, 2)]
    assert len(parts.table.rows) == 3
    axes = whole.figures["time"].axes
    assert [one.get_ylabel() for one in axes] == ["Whole training (s)", "Time a batch (ms)"]
    assert all(one.get_xscale() == one.get_yscale() == "log" for one in axes)
    loss, hits = learnt.figures["curves"].axes
    assert [line.get_label() for line in loss.lines] == ["batch 16", "batch 64"]
    assert list(hits.lines[1].get_ydata()) == [row["validation_accuracy"] for row in learnt.table.rows[2:]]


def test_what_is_reported_is_drawn_and_fitted():
    rows = [
        {"batch_size": size, "reported_total_seconds": seconds, "reported_total_seconds_a_batch": a_batch / 1e3}
        for size, (_, seconds, a_batch) in REPORTED.items()
    ]
    (found,) = fit_rows([dict.fromkeys(_FITTED.values()) | row for row in rows])
    assert found["times"] == "in all, reported"
    assert found["seconds_a_sample"] == pytest.approx(5.3e-6, rel=0.02)  # of 1.54 ms at 16 and 7 ms at 1,024: 5.4


def test_one_batch_size_has_no_parts():
    sections = batch_size_timing(sizes="40", epochs=1, samples=80).sections
    assert [section.heading for section in sections] == ["The whole training", "A step alone", "What is learnt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": "16,x"}, "--sizes=16,x is not a list of whole numbers"),
        ({"sizes": "16,200", "samples": 100}, "--sizes=16,200 has a batch above --samples=100"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        batch_size_timing(**options)
