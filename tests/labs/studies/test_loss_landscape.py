"""The loss between two trained runs and around one, beside what the runs' own tests found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.inference.evaluate import data_of
from dlproj.inference.trained import open_run
from dlproj.labs.studies import loss_landscape as study
from dlproj.labs.studies.loss_landscape import loss_landscape
from dlproj.labs.studies.parts.weight_space import (
    across,
    check_same_function,
    directions,
    dot,
    filter_normalised,
    landscapes_of,
    moved,
    norm,
    weights_of,
)
from dlproj.training.run import run

LINEAR = [
    "data=digits",
    "model.hidden=[]",
    "trainer.max_epochs=3",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
    "figures=none",
]
RUNS = {
    "a": ["seed=1"],
    "b": ["seed=2"],
    "wide": ["model.hidden=[4]"],
    "tanh": ["model.hidden=[4]", "model.activation=tanh"],
    "norm-a": ["model.hidden=[16]", "model.batch_norm=true", "seed=1", "trainer.max_epochs=8"],
    "norm-b": ["model.hidden=[16]", "model.batch_norm=true", "seed=2", "trainer.max_epochs=8"],
    "rough": ["trainer.precision=bf16-true"],
}


@pytest.fixture(scope="module")
def runs(composed, tmp_path_factory):
    """Those without hidden layer have a loss that is convex in the weights."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: run(composed(*LINEAR, *more), folder / name) for name, more in RUNS.items()}


def _path(result):
    return Path(result.folder)


def _line(article):
    return {round(row["position"], 2): row for row in article.sections[0].table.rows}


def test_at_the_runs_the_loss_is_what_their_tests_found_and_between_them_it_is_convex(runs):
    article = loss_landscape([_path(runs["a"]), _path(runs["b"])], samples=10_000, resolution=3)
    line = _line(article)
    for position, name in ((0.0, "a"), (1.0, "b")):
        assert line[position]["loss"] == pytest.approx(runs[name].metrics["test/loss"], rel=1e-5)
        assert line[position]["accuracy"] == pytest.approx(runs[name].metrics["test/accuracy"])
    losses = np.array([row["loss"] for row in article.sections[0].table.rows])
    assert (np.diff(losses, 2) > -1e-6).all()
    assert article.subtitle == "a and b, 360 test samples"


def test_the_planes_rows_are_b_and_its_columns_a(runs):
    paths = [_path(runs["a"]), _path(runs["b"])]
    article = loss_landscape(paths, samples=300, resolution=5)
    line, plane = _line(article), {(row["a"], row["b"]): row for row in article.sections[1].table.rows}
    assert len(plane) == 25
    for a in (-0.5, 0.0, 0.5, 1.0, 1.5):
        assert plane[a, 0.0]["loss"] == pytest.approx(line[a]["loss"], rel=1e-5)
    landscape, other = landscapes_of([open_run(path) for path in paths], 300)
    u, v = directions([weights_of(landscape), weights_of(other)], 0)
    there = landscape.at(moved(weights_of(landscape), (1.5, u), (-0.5, v)))
    assert (plane[1.5, -0.5]["loss"], plane[1.5, -0.5]["accuracy"]) == pytest.approx(there, rel=1e-5)
    losses = [row["loss"] for row in plane.values()]
    assert [cell[3] for cell in article.sections[1].table.cells] == [f"{min(losses):.4f}", f"{max(losses):.4f}"]


def test_around_one_run_the_seed_decides_the_direction_and_the_run_is_in_the_middle(runs):
    articles = [loss_landscape([_path(runs["a"])], 200, 3, seed) for seed in (0, 0, 5)]
    lines = [[row["loss"] for row in article.sections[0].table.rows] for article in articles]
    assert lines[0] == lines[1] != lines[2]
    assert lines[0][20] == lines[2][20] == pytest.approx(_line(articles[0])[0.0]["loss"])
    assert min(_line(articles[0])) == -max(_line(articles[0])) == -1


def test_fewer_samples_give_another_loss(runs):
    few, many = (_line(loss_landscape([_path(runs["a"])], samples, 2))[0.0] for samples in (7, 360))
    assert few["loss"] != many["loss"]
    assert few["accuracy"] * 7 == pytest.approx(round(few["accuracy"] * 7))


def test_batch_normalisation_takes_its_statistics_at_each_point(runs):
    """With the first run's statistics the second one's loss is several times its own."""
    names = ("norm-a", "norm-b")
    line = _line(loss_landscape([_path(runs[name]) for name in names], samples=2000, resolution=2))
    for position, name in ((0.0, names[0]), (1.0, names[1])):
        # one batch of all training samples in place of the running statistics of the last ones
        assert line[position]["loss"] == pytest.approx(runs[name].metrics["test/loss"], rel=0.1)
        assert line[position]["accuracy"] == pytest.approx(runs[name].metrics["test/accuracy"], abs=0.03)


def test_a_random_direction_has_the_norms_of_the_rows_and_leaves_biases():
    weights = {"weight": torch.rand(3, 5), "bias": torch.rand(3)}
    direction = filter_normalised(weights, 0)
    assert torch.allclose(direction["weight"].norm(dim=1), weights["weight"].norm(dim=1))
    assert direction["bias"].tolist() == [0, 0, 0]
    there = moved(weights, (0.5, direction), (-0.5, direction))
    assert all(torch.allclose(there[name], value) for name, value in weights.items())


def test_a_direction_has_nothing_to_do_with_the_first_weights_of_a_run_of_the_same_seed():
    torch.manual_seed(3)
    first = {"weight": torch.randn(200, 300)}
    cosine = dot(first, found := filter_normalised(first, 3)) / (norm(first) * norm(found))
    assert abs(cosine) < 5 / 60_000**0.5


def test_directions_are_perpendicular_and_between_runs_as_long():
    torch.manual_seed(0)
    one, other = ({"weight": torch.randn(4, 6), "bias": torch.randn(4)} for _ in range(2))
    for given in ([one], [one, other]):
        u, v = directions(given, 0)
        assert abs(dot(u, v)) < 1e-5 * norm(u) * norm(v)
    assert norm(v) == pytest.approx(norm(u))
    assert all(torch.allclose(one[name] + u[name], other[name]) for name in one)
    by_hand = across({"w": torch.tensor([2.0, 0])}, {"w": torch.tensor([3.0, 4])})
    assert by_hand["w"].tolist() == [0, 4]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "wide"], "the two runs have other weights: choose runs of one architecture"),
        (["wide", "tanh"], "the two runs compute otherwise from the same weights: choose runs that differ in training"),
        (["a", "a"], "both runs have the same weights: name two that differ, or one"),
        (["a", "a", "a"], "3 runs are too many: give --run once or twice"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(names, message, runs):
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        loss_landscape([_path(runs[name]) for name in names], 100, 2)


def test_data_of_another_scale_or_order_is_refused(runs):
    (one,) = landscapes_of([open_run(_path(runs["a"]))], 50)
    check_same_function(one, one)
    for other in (replace(one, inputs=255 * one.inputs), replace(one, targets=one.targets.flip(0))):
        with pytest.raises(ConfigurationError, match="the two runs read other data, or scale it otherwise: choose"):
            check_same_function(one, other)


def test_a_run_in_half_precision_is_seen_in_float32(runs):
    line = _line(loss_landscape([_path(runs["rough"])], 360, 2))
    assert line[0.0]["loss"] == pytest.approx(runs["rough"].metrics["test/loss"], rel=0.02)
    assert line[0.05]["loss"] != line[0.0]["loss"]


def test_the_barrier_is_the_highest_loss_between_the_runs_less_the_mean_of_theirs():
    a = np.linspace(-0.5, 1.5, 5)
    line = np.array([[9.0, 0], [1.0, 0.9], [4.0, 0.4], [2.0, 0.5], [9.0, 0]])
    view = study.View(("first", "second"), (1, 1, 1), a, line, a, a, np.zeros((5, 5, 2)))
    assert view.barriers() == (2.5, pytest.approx(0.3))  # of 0.5 and 0.3, and of 0.1, 0.6 and 0.5


def _drawn(losses):
    """The axes of a plane of 3 × 3 losses, drawn without a warning."""
    at = np.linspace(-1, 1, 3)
    plane = np.stack([losses, losses], axis=2)
    view = study.View(("run",), (1, 1, 1), at, plane[0], at, at, plane)
    with np.errstate(all="raise"):
        figure = study.plane_figure(view)
        figure.savefig(Path("/dev/null"), format="png")
    return figure.axes


@pytest.mark.parametrize("loss", [0.7, 0.0])
def test_a_flat_plane_says_its_loss_in_place_of_lines(loss):
    (axes,) = _drawn(np.full((3, 3), loss))
    assert axes.get_title("left") == f"test loss {loss:g} everywhere"
    assert not axes.collections
    assert [text.get_text() for text in axes.texts] == ["run"]


def test_a_plane_is_left_empty_where_its_loss_is_not_finite():
    axes, scale = _drawn(np.array([[1, np.nan, 2], [0, 1, np.inf], [1] * 3]))
    shades, lines = axes.collections[:2]
    assert scale.get_ylabel() == "test loss"
    assert lines.levels[[0, -1]] == pytest.approx([2e-6, 2])  # of 0, which a logarithm has no place for, to 2
    shaded = lambda x, y: any(path.contains_point((x, y)) for path in shades.get_paths())
    assert shaded(-0.5, 0.5)
    assert not shaded(0.5, -0.5)  # between NaN and infinity


@pytest.mark.parametrize("name", ["output.bias", "output.weight"])
def test_a_run_whose_loss_is_not_finite_is_refused(runs, name, monkeypatch):
    broken = open_run(_path(runs["a"]))
    with torch.no_grad():
        broken.model.get_parameter(name).fill_(torch.nan)
    monkeypatch.setattr(study, "open_run", lambda folder: broken)
    with pytest.raises(ConfigurationError, match=r"the loss of .*/a is nan: choose a run that has not diverged"):
        loss_landscape([_path(runs["a"])], 50, 2)


@pytest.mark.parametrize("others", [[], ["b"]])
def test_a_run_of_zeros_has_no_direction(runs, others, monkeypatch):
    def zeros(folder):
        opened = open_run(folder)
        with torch.no_grad():
            for value in opened.model.parameters() if folder.name == "a" else ():
                value.zero_()
        return opened

    monkeypatch.setattr(study, "open_run", zeros)
    with pytest.raises(ConfigurationError, match="all weights of the run are zero, which gives a random direction no"):
        loss_landscape([_path(runs[name]) for name in ["a", *others]], 50, 2)


def test_runs_of_two_precisions_are_seen_in_the_wider(runs, monkeypatch):
    def wide(folder):
        opened = open_run(folder)
        return replace(opened, model=opened.model.double()) if folder.name == "b" else opened

    monkeypatch.setattr(study, "open_run", wide)
    line = _line(loss_landscape([_path(runs["a"]), _path(runs["b"])], 360, 2))
    assert line[1.0]["loss"] == pytest.approx(runs["b"].metrics["test/loss"], rel=1e-5)


def test_one_sample_is_too_few_for_batch_normalisation(runs):
    with pytest.raises(ConfigurationError, match="--samples=1 is too few for batch normalisation: set 2 or more"):
        loss_landscape([_path(runs["norm-a"])], 1, 2)


def test_samples_are_drawn_from_everywhere(runs):
    (landscape,) = landscapes_of([open_run(_path(runs["a"]))], 100)
    stored = data_of(open_run(_path(runs["a"]))).test.targets
    assert landscape.targets.tolist() != stored[:100].tolist()
    assert len(landscape.training) == 100
    assert set(landscape.targets.tolist()) == set(range(10))


def test_without_a_run_two_small_ones_are_trained():
    article = loss_landscape(samples=100, resolution=2)
    assert article.subtitle == "seed-0 and seed-1, 100 test samples"
    assert article.title == "The loss between two networks"
    (row,) = [row for row in article.sections[0].table.rows if round(row["position"], 2) == 0.5]
    assert row["loss"] > 2 * _line(article)[0.0]["loss"]  # trained from different starts
