"""Linear pieces against a network worked out by hand, activation patterns on fine grids, and known counts."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.config.data import DataSpec, Kind
from dlproj.config.layers import Activation
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import SGDConfig
from dlproj.config.rnn import RNNConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.inference.trained import open_run
from dlproj.labs.studies.parts import linear_pieces
from dlproj.labs.studies.parts.linear_pieces import (
    Pieces,
    at_most,
    orthonormal,
    patterns_at,
    pieces_along,
    plane_through,
    polygons_of,
    restricted,
    surely_possible,
)
from dlproj.labs.studies.parts.networks import prepared, scratch_copy
from dlproj.labs.studies.parts.relu_subject import of_run, refuse_all_but_relu, trained
from dlproj.labs.studies.parts.scratch import ScratchMLP
from dlproj.labs.studies.piecewise_linear import Line, curvature, deviations, piecewise_linear
from dlproj.training.run import run

SPEC = DataSpec(Kind.features, (5,), ("a", "b", "c"))


def random_network(random, *widths):
    layers = [
        (random.standard_normal((above, below)), random.standard_normal(above)) for below, above in pairwise(widths)
    ]
    return ScratchMLP(layers, np.float64)


def model_of(activation):
    torch.manual_seed(0)
    config = MLPConfig(hidden=[8, 8], activation=activation)
    return config.build(SPEC, SGDConfig(), SchedulerConfig()).double()


def test_break_points_by_hand():
    """f(t) = max(max(t - ¼, 0) + max(½ - t, 0) - ⅜, 0), which is ⅛ - t, then 0, then t - ⅝."""
    layers = [([[1], [-1]], [-0.25, 0.5]), ([[1, 1]], [-0.375]), ([[1]], [0])]
    pieces = pieces_along(ScratchMLP(layers, np.float64))
    assert pieces.ends.tolist() == [0, 0.125, 0.25, 0.5, 0.625, 1]
    assert pieces.layers.tolist() == [2, 1, 1, 2]
    assert pieces.patterns.astype(int).tolist() == [[0, 1, 1], [0, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1]]
    assert pieces.slopes[:, 0].tolist() == [-1, 0, 0, 0, 1]
    assert pieces.offsets[:, 0].tolist() == [0.125, 0, 0, 0, -0.625]
    assert (len(pieces), pieces.bends()) == (5, 2)


def test_zeros_in_one_place_are_one_break_and_those_at_the_ends_none():
    layers = [([[1], [3], [1], [1], [0]], [-0.3, -0.9, 0, -1, 0]), ([[1] * 5], [0])]
    pieces = pieces_along(ScratchMLP(layers, np.float64))
    assert pieces.ends == pytest.approx([0, 0.3, 1])
    assert pieces.slopes[:, 0] == pytest.approx([1, 5])


def test_without_a_break_there_is_one_piece():
    pieces = pieces_along(ScratchMLP([([[1]], [1]), ([[2]], [3])], np.float64))
    assert (len(pieces), pieces.bends(), pieces.offsets.item(), pieces.slopes.item()) == (1, 0, 5, 2)


@pytest.mark.parametrize("widths", [(1, 12, 3), (1, 7, 6, 2), (1, 6, 6, 6, 4)])
def test_there_are_as_many_pieces_as_patterns_on_a_very_fine_grid(widths):
    network = random_network(np.random.default_rng(2), *widths)
    t = np.linspace(0, 1, 200_001)
    pieces, patterns = pieces_along(network), patterns_at(network, t[:, None])
    assert np.diff(pieces.ends).min() > t[1]  # no piece can fall between the grid's points
    assert len(pieces) == len({pattern.tobytes() for pattern in patterns}) > 3
    piece = np.searchsorted(pieces.ends[1:-1], t)
    assert np.array_equal(pieces.patterns[piece], patterns)
    expected = pieces.offsets[piece] + t[:, None] * pieces.slopes[piece]
    assert np.abs(network.forward(t[:, None])[-1] - expected).max() < 1e-12


def test_a_relu_model_is_linear_inside_the_pieces_and_a_sigmoid_model_nowhere():
    relu, sigmoid = model_of(Activation.relu), model_of(Activation.sigmoid)
    random = np.random.default_rng(1)
    line = Line(*(5 * random.standard_normal((2, 5))))
    pieces = line.pieces(scratch_copy(relu, np.float64))
    assert len(pieces) > 4
    assert max(deviations(relu, line, pieces)) < 1e-12
    found, other = (curvature(line.logits(model), pieces) for model in (relu, sigmoid))
    large = curvature(lambda t: 1e6 * line.logits(relu)(t), pieces)
    assert large["share_bent"] == found["share_bent"]
    assert found["largest_distance_from_chord"] < 1e-12
    assert found["share_bent"] <= 2 * (len(pieces) - 1) / 999  # each break is within two differences
    assert other["largest_distance_from_chord"] > 1e-4
    assert other["share_bent"] == 1


def test_slopes_are_difference_quotients():
    line, model = Line(np.zeros(5), np.ones(5)), model_of(Activation.sigmoid)
    logits, t = line.logits(model), np.array([0.2, 0.7])
    assert line.slopes(model)(t) == pytest.approx((logits(t + 1e-6) - logits(t - 1e-6)) / 2e-6, abs=1e-8)


def test_a_chord_of_a_parabola():
    """t² is a quarter of a piece's squared length below its chord's middle; its second difference is 2 h²."""
    pieces = Pieces(np.array([0, 0.4, 1]), np.array([1]), *[np.zeros((2, 1))] * 3)
    found = curvature(lambda t: t[:, None] ** 2, pieces)
    assert found["largest_distance_from_chord"] == pytest.approx(0.09)
    assert found["smallest_second_difference"] == pytest.approx(2e-6, rel=1e-6)


def test_a_restricted_network_is_the_network_there():
    random = np.random.default_rng(0)
    network = random_network(random, 5, 6, 3)
    origin, directions, places = (random.standard_normal(shape) for shape in (5, (2, 5), (7, 2)))
    expected = network.forward(origin + places @ directions)[-1]
    assert restricted(network, origin, directions).forward(places)[-1] == pytest.approx(expected)


def test_three_lines_part_a_plane_into_seven_pieces():
    """x = 0.3, y = 0.4 and x + y = 1 cross within the window, from -¼ to 1¼; class 1 wins above x + y = 1.11."""
    layers = [([[1, 0], [0, 1], [1, 1]], [-0.3, -0.4, -1]), ([[0, 0, 0], [0, 0, 1]], [0.11, 0])]
    plane = plane_through(ScratchMLP(layers, np.float64), np.array([[0, 0], [1, 0], [0, 1.0]]), 61)
    assert plane.count() == len(plane.polygons) == at_most([3], 2) == 7
    assert plane.along == pytest.approx(np.linspace(-0.25, 1.25, 61))
    assert plane.corners == pytest.approx(np.array([[0, 0], [1, 0], [0, 1]]))
    x, y = np.meshgrid(plane.along, plane.across)
    assert np.array_equal(plane.classes, x + y > 1.11)
    assert len(np.unique(plane.regions[(x < 0.29) & (y < 0.39)])) == 1


SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])


def area(polygon):
    x, y = polygon.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_polygons_by_hand():
    """x = ¼ parts the square; above it the second unit's sum is x - ¼ + y - 1, zero on y = 1¼ - x; below it y - 1."""
    layers = [(np.array([[1, 0], [0, 1.0]]), np.array([-0.25, 0])), (np.array([[1, 1.0]]), np.array([-1]))]
    found = sorted(polygons_of(layers, SQUARE), key=area)
    assert [area(polygon) for polygon in found] == pytest.approx([0.25, 0.75**2 / 2, 1 - 0.25 - 0.75**2 / 2])
    left, upper, lower = found
    assert sorted(map(tuple, left)) == [(0, 0), (0, 1), (0.25, 0), (0.25, 1)]
    assert sorted(map(tuple, upper)) == [(0.25, 1), (1, 0.25), (1, 1)]
    assert sorted(map(tuple, lower)) == [(0.25, 0), (0.25, 1), (1, 0), (1, 0.25)]


def test_lines_along_the_windows_edges_and_through_its_corners_cut_what_they_cross_only():
    edges = [(np.array([[1, 0], [0, 1], [1, 0], [0, 0.0]]), np.array([0, -1, -1, 0]))]
    assert len([*polygons_of(edges, SQUARE)]) == 1
    diagonal = [(np.array([[1, -1.0]]), np.array([0]))]
    assert [area(polygon) for polygon in polygons_of(diagonal, SQUARE)] == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("widths", [(2, 14, 3), (2, 9, 8, 3), (2, 7, 7, 7, 3)])
def test_the_polygons_are_the_patterns_of_a_fine_grid_and_fill_the_window(widths):
    network = random_network(np.random.default_rng(5), *widths)
    polygons = [*polygons_of(network.layers[:-1], SQUARE)]
    assert sum(map(area, polygons)) == pytest.approx(1, abs=1e-12)
    middles = np.array([polygon.mean(0) for polygon in polygons])
    patterns = {pattern.tobytes() for pattern in patterns_at(network, middles)}
    assert len(patterns) == len(polygons) > 10
    x, y = np.meshgrid(*[np.linspace(0, 1, 701)[1:-1]] * 2)
    seen = {pattern.tobytes() for pattern in patterns_at(network, np.stack([x.ravel(), y.ravel()], axis=1))}
    assert seen <= patterns
    unseen = [
        area(polygon)
        for polygon, pattern in zip(polygons, patterns_at(network, middles), strict=True)
        if pattern.tobytes() not in seen
    ]
    assert max(unseen, default=0) < 4 * (1 / 700) ** 2 * 100  # slivers: thinner than the grid's cells


def test_a_network_of_two_layers_in_a_plane(monkeypatch):
    network = random_network(np.random.default_rng(3), 6, 10, 9, 4)
    corners = np.random.default_rng(4).standard_normal((3, 6))
    plane = plane_through(network, corners, 400)
    sides = [np.ptp(places) for places in (plane.along, plane.across)]
    assert sum(map(area, plane.polygons)) == pytest.approx(sides[0] * sides[1], rel=1e-12)
    first = plane_through(ScratchMLP([network.layers[0], (np.ones((1, 10)), np.zeros(1))], np.float64), corners, 400)
    assert len(plane.polygons) >= plane.count() > 2 * first.count()
    monkeypatch.setattr(linear_pieces, "MOST", len(plane.polygons) - 1)
    assert plane_through(network, corners, 20).polygons is None


def test_the_planes_axes_are_perpendicular_and_span_the_images():
    first, second = np.random.default_rng(0).standard_normal((2, 5))
    axes = orthonormal(first, second)
    assert axes @ axes.T == pytest.approx(np.eye(2))
    assert axes[0] * np.linalg.norm(first) == pytest.approx(first)
    assert (second @ axes.T) @ axes == pytest.approx(second)


def test_bounds_by_hand():
    assert at_most([5], 1) == 6
    assert at_most([4, 3], 2) == (1 + 4 + 6) * (1 + 3 + 3)
    assert surely_possible([4, 3], 1) == 4 * (1 + 3)
    assert surely_possible([5, 4], 2) == 2**2 * (1 + 4 + 6)
    assert surely_possible([1, 4], 2) is None


def test_the_study():
    article = piecewise_linear(hidden="6,5", epochs=1, resolution=24)
    tables = {section.table.name: section.table for section in article.sections if section.table}
    line = {row["quantity"]: row["value"] for row in tables["line"].rows}
    pieces = line["pieces"]
    assert line["break points of layer 1"] + line["break points of layer 2"] == pieces - 1
    assert line["different activation patterns at their midpoints"] == pieces
    assert line["midpoints with the pattern that was worked out"] == pieces
    assert line["largest distance of a logit from its piece's line"] < 1e-12
    cut, *seen = [row["pieces"] for row in tables["plane"].rows]
    assert [*seen, cut] == sorted([*seen, cut])
    assert tables["plane"].cells[1][0] == "a grid of 3 × 3 points"
    line, plane = tables["bounds"].rows
    assert line == {"where": "line", "pieces_seen": pieces, "surely_possible": 36, "at_most": 42}
    # 6 units fold to 3² and 5 part a plane into 1 + 5 + 10; at most (1 + 6 + 15) times those
    assert plane == {"where": "plane", "pieces_seen": cut, "surely_possible": 144, "at_most": 352}
    relu, sigmoid = tables["sigmoid"].rows
    assert relu["test_accuracy"] == accuracy(trained(prepared("digits", 0), [6, 5], Activation.relu, 1, 0))
    assert relu["largest_distance_from_chord"] < 1e-12 < sigmoid["smallest_second_difference"]
    top, middle, bottom = article.sections[0].figures["line"].axes
    assert bottom.get_xlabel() == "t, from 7 (test:0) to 6 (test:1)"
    assert sum(len(events.get_positions()) for events in middle.collections) == pieces - 1
    assert len(top.lines) == 10


def accuracy(model):
    data = prepared("digits", 0)
    hits = [
        int(model(data.transform(image[None]).double()).argmax()) == int(target)
        for image, target in zip(data.test.inputs, data.test.targets, strict=True)
    ]
    return sum(hits) / len(hits)


def test_a_plane_of_too_many_pieces_is_drawn_from_its_grid(monkeypatch):
    monkeypatch.setattr(linear_pieces, "MOST", 3)
    monkeypatch.setattr("dlproj.labs.studies.piecewise_linear.MOST", 3)
    article = piecewise_linear(hidden="6,5", epochs=1, resolution=24)
    plane, bounds = (section.table for section in article.sections[1:3])
    assert plane.cells[0] == ("cutting", "more than 3")
    assert bounds.rows[1]["pieces_seen"] == plane.rows[-1]["pieces"] > 3
    assert len(article.sections[1].figures["plane"].axes[0].images) == 1


def test_a_trained_run_is_opened(composed, tmp_path):
    quiet = ("trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false", "figures=none")
    run(composed("data=digits", "model.hidden=[9,4]", "trainer.max_epochs=1", *quiet), tmp_path / "run")
    threads = torch.get_num_threads()
    subject = of_run(tmp_path / "run")
    assert torch.get_num_threads() == threads
    assert subject.units() == [9, 4]
    assert subject.class_of(1) == "6"
    stored = subject.data.test.inputs[:20]
    logits = subject.network.forward(subject.data.transform(stored).flatten(1).double().numpy())[-1]
    assert logits == pytest.approx(open_run(tmp_path / "run").logits(stored).numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MLPConfig(activation=Activation.tanh), "--run has the activation tanh: set --run to an MLP with ReLU in all"),
        (MLPConfig(hidden=[4, {"units": 3, "activation": "elu"}]), "--run has the activation elu: "),
        (MLPConfig(hidden=[]), "--run has no hidden layer"),
        (MLPConfig(batch_norm=True), "--run has batch norm"),
        (RNNConfig(), "--run is not a multilayer perceptron"),
    ],
)
def test_other_networks_are_refused(config, message):
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        refuse_all_but_relu(config)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("0,1", "--images names other than three images: set such as 0,1,2"),
        ("0,1,1", "--images names other than three images"),
        ("0,1,360", "--images 360 is beyond the 360 test images: set less than 360"),
        ("zero", "--images=zero is not a list of whole numbers from 0"),
    ],
)
def test_images_are_checked(images, message):
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        piecewise_linear(images=images, hidden="2", epochs=1)
