"""The loss between two trained runs and around one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dlproj.run import run
from dlproj.settings import ConfigurationError
from dlproj.studies.loss_landscape import filter_normalised, loss_landscape, moved

CONVEX = ["data=digits", "model.hidden=[]", "trainer.max_epochs=3", "trainer.accelerator=cpu", "trainer.threads=1",
          "trainer.progress_bar=false", "figures=none"]  # fmt: skip


@pytest.fixture(scope="module")
def runs(composed, tmp_path_factory):
    """Two runs without hidden layer, whose loss is convex in the weights, and one of another architecture."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {"a": ["seed=1"], "b": ["seed=2"], "wide": ["model.hidden=[4]"]}
    return {name: run(composed(*CONVEX, *more), folder / name) for name, more in settings.items()}


def _path(result):
    return Path(result.folder)


def test_at_the_runs_the_loss_is_what_their_tests_found_and_between_them_it_is_convex(runs, tmp_path):
    article = loss_landscape([_path(runs["a"]), _path(runs["b"])], samples=10_000, resolution=3)
    line = {round(row["position"], 2): row for row in article.sections[0].table.rows}
    for position, name in ((0.0, "a"), (1.0, "b")):
        assert line[position]["loss"] == pytest.approx(runs[name].metrics["test/loss"], rel=1e-5)
        assert line[position]["accuracy"] == pytest.approx(runs[name].metrics["test/accuracy"])
    losses = np.array([row["loss"] for row in article.sections[0].table.rows])
    assert (np.diff(losses, 2) > -1e-6).all()
    assert article.subtitle == "a and b"


def test_around_one_run_the_line_goes_along_a_random_direction_that_the_seed_decides(runs):
    lines = [
        [row["loss"] for row in loss_landscape([_path(runs["a"])], 200, 2, seed).sections[0].table.rows]
        for seed in (0, 0, 5)
    ]
    assert lines[0] == lines[1] != lines[2]
    assert lines[0][10] == lines[2][10]  # at the run itself


def test_a_random_direction_has_the_norms_of_the_rows_and_leaves_biases():
    weights = {"weight": torch.rand(3, 5), "bias": torch.rand(3)}
    direction = filter_normalised(weights, 0)
    assert torch.allclose(direction["weight"].norm(dim=1), weights["weight"].norm(dim=1))
    assert direction["bias"].tolist() == [0, 0, 0]
    there = moved(weights, (0.5, direction), (-0.5, direction))
    assert all(torch.allclose(there[name], value) for name, value in weights.items())


def test_runs_that_do_not_belong_together_are_refused(runs):
    with pytest.raises(ConfigurationError, match="the two runs have other weights: choose runs of one architecture"):
        loss_landscape([_path(runs["a"]), _path(runs["wide"])])
    with pytest.raises(ConfigurationError, match="3 runs are too many: give --run once or twice"):
        loss_landscape([_path(runs["a"])] * 3)


def test_without_a_run_two_small_ones_are_trained():
    article = loss_landscape(samples=100, resolution=2)
    assert article.subtitle == "seed-0 and seed-1"
    assert article.title == "The loss between two networks"
