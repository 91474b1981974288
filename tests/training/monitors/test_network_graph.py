"""The computational graph: what is traced of a network, how it is drawn, and that training does not notice."""

import json

import pytest
import torch
from folders import inspection, write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlproj.config.checks import DataError
from dlproj.reports.comparison_report import run_report
from dlproj.reports.network_figure import MOST_ROWS, network
from dlproj.reports.style import png
from dlproj.runs.inspection import GraphNode, read_inspection
from dlproj.runs.record import read_run
from dlproj.training.monitors.network_graph import graph_of
from dlproj.training.run import train

QUICK = [
    *("data=digits", "data.batch_size=128", "trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.threads=1"),
    *("trainer.progress_bar=false", "figures=none"),
]


def built(config):
    spec = config.data.spec()
    return config.model.build(spec, config.optim, config.scheduler), spec


@pytest.fixture
def graph(composed):
    """Call with overrides: the graph of the network that they make."""

    def of(*overrides):
        config = composed("data=digits", *overrides)
        return graph_of(*built(config), config.model.loss_words())

    return of


def operations(nodes):
    """Each operation with its shape and the names of what it reads."""
    return [
        (node.operation, node.shape, [nodes[read].name for read in node.reads])
        for node in nodes
        if node.kind == "operation"
    ]


MLP = [
    ("flatten", [64], ["inputs"]),
    ("matmul", [16], ["inputs.flatten", "hidden.0.linear.weight"]),
    ("add", [16], ["hidden.0.linear", "hidden.0.linear.bias"]),
    ("ReLU", [16], ["hidden.0.linear.add"]),
    ("matmul", [10], ["hidden.0.activation", "output.weight"]),
    ("add", [10], ["output", "output.bias"]),
    ("softmax, cross entropy", [], ["output.add", "targets"]),
]


def test_an_mlp_goes_from_the_inputs_over_products_and_sums_to_the_loss(graph):
    nodes = graph("model.hidden=[16]")
    assert operations(nodes) == MLP
    assert {node.name: node.shape for node in nodes if node.kind == "parameter"} == {
        "hidden.0.linear.weight": [16, 64],
        "hidden.0.linear.bias": [16],
        "output.weight": [10, 16],
        "output.bias": [10],
    }


def test_without_a_bias_nothing_is_added(graph):
    nodes = graph("model.hidden=[16]", "model.bias=false")
    assert [operation for operation, *_ in operations(nodes)] == [
        "flatten",
        "matmul",
        "ReLU",
        "matmul",
        "softmax, cross entropy",
    ]
    assert not any("bias" in node.name or node.operation == "add" for node in nodes)


def test_without_hidden_layers_the_output_reads_the_inputs(graph):
    assert [operation for operation, *_ in operations(graph("model.hidden=[]"))] == [
        "flatten",
        "matmul",
        "add",
        "softmax, cross entropy",
    ]


def test_the_loss_is_named_by_what_it_reads(graph):
    binary = ("model.loss=binary_cross_entropy", "model.output.activation=softmax")
    named = {
        "sigmoid, binary cross entropy": (*binary, "model.loss_from=logits"),
        "softmax, clipped, binary cross entropy": binary,
        "softmax, clipped, cross entropy": ("model.loss_from=probabilities",),
        "identity, mean squared error": ("model.loss=mean_squared_error",),
    }
    for words, overrides in named.items():
        assert operations(graph(*overrides))[-1][0] == words


def test_batch_norm_dropout_and_penalties_are_in_it(graph):
    nodes = graph("model.hidden=[16]", "model.batch_norm=true", "model.dropout=0.25", "model.weight_l2=0.1")
    words = [operation for operation, *_ in operations(nodes)]
    assert words[3:6] == ["BatchNorm1d", "ReLU", "Dropout(0.25), in training"]
    assert operations(nodes)[-2:] == [
        ("penalty", [], ["hidden.0.linear.weight", "output.weight"]),
        ("add", [], ["loss", "penalty"]),
    ]


def test_two_directions_read_the_same_and_their_last_steps_are_put_together(graph):
    nodes = graph("model=gru", "model.hidden=[4]", "model.image_reading=rows", "model.bidirectional=true")
    first, second = (f"layers.0.directions.{place}" for place in (0, 1))
    own = [[f"{one}.{kind}_{of}_l0" for kind in ("weight", "bias") for of in ("ih", "hh")] for one in (first, second)]
    found = [
        (operation, shape, [reads[0], *sorted(reads[1:], key=lambda name: "bias" in name)])
        for operation, shape, reads in operations(nodes)[:5]
    ]
    assert found == [
        ("reshape", [8, 8], ["inputs"]),
        ("GRU", [8, 4], ["inputs.reshape", *own[0]]),
        ("GRU", [8, 4], ["inputs.reshape", *own[1]]),
        ("concatenate", [8, 8], [first, second]),
        ("last time step of each", [8], [f"{second}.concatenate"]),
    ]


def test_words_are_looked_up_and_the_last_time_step_is_read(composed, tmp_path):
    config = composed(
        "data=imdb",
        f"data.root={tmp_path}",
        "model=lstm",
        "model.hidden=[6]",
        "model.embedding_dim=3",
        "data.length=5",
        "data.vocabulary_size=20",
    )
    nodes = graph_of(*built(config), "softmax, cross entropy")
    assert [one[:2] for one in operations(nodes)[:3]] == [
        ("Embedding", [5, 3]),
        ("LSTM", [5, 6]),
        ("last time step", [6]),
    ]


def test_tracing_leaves_the_model_and_the_random_numbers_as_they_were(composed):
    model, spec = built(composed("data=digits", "model.hidden=[16]", "model.batch_norm=true", "model.dropout=0.5"))
    model.hidden[0].dropout.eval()
    state, numbers = {key: value.clone() for key, value in model.state_dict().items()}, torch.get_rng_state()
    graph_of(model, spec, "cross_entropy")
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), numbers)
    assert (model.training, model.hidden[0].batch_norm.training, model.hidden[0].dropout.training) == (
        True,
        True,
        False,
    )
    assert not any(module._forward_hooks for module in model.modules())


def test_a_run_leaves_it_as_data_as_a_picture_and_in_tensorboard_and_trains_the_same(composed, tmp_path):
    settings = [*QUICK, "model.hidden=[16]", "model.dropout=0.5"]
    train(composed(*settings), tmp_path / "without")
    train(composed(*settings, "figures.graph=true", "figures.report=true"), tmp_path / "with")
    last = [
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("without", "with")
    ]
    assert all(torch.equal(last[0][key], last[1][key]) for key in last[0])
    nodes = read_inspection(tmp_path / "with").graph
    assert [node.operation for node in nodes if node.kind == "operation"][:3] == ["flatten", "matmul", "add"]
    assert (tmp_path / "with/figures/graph.png").read_bytes().startswith(b"\x89PNG")
    assert 'aria-label="Computational graph"' in (tmp_path / "with/report.html").read_text()
    drawn = EventAccumulator(str(tmp_path / "with")).Reload().Graph()
    assert [node.name for node in drawn.node] == [node.name.replace(".", "/") for node in nodes]
    product = next(node for node in drawn.node if node.op == "matmul")
    assert list(product.input) == ["inputs/flatten", "hidden/0/linear/weight"]
    assert [size.size for size in product.attr["_output_shapes"].list.shape[0].dim] == [16]


def test_every_run_has_it_in_tensorboard_and_the_layers_on_its_page(composed, tmp_path):
    train(composed(*QUICK, "model.hidden=[16]", "figures.report=true"), tmp_path)
    assert any(node.op == "matmul" for node in EventAccumulator(str(tmp_path)).Reload().Graph().node)
    page = (tmp_path / "report.html").read_text()
    assert "<strong>hidden.0</strong>" in page
    assert "1,040 parameters" in page
    assert "Computational graph" not in page
    assert not (tmp_path / "figures/graph.png").exists()


@pytest.mark.parametrize("wanted", [True, False])
def test_a_network_that_cannot_be_traced_trains_and_a_graph_that_was_asked_for_is_missed(
    composed, tmp_path, caplog, monkeypatch, wanted
):
    def fail(*arguments):
        raise ValueError("cannot take ones")

    monkeypatch.setattr("dlproj.training.monitors.network_graph.graph_of", fail)
    result = train(composed(*QUICK, "model.hidden=[16]", f"figures.graph={wanted}"), tmp_path)
    assert result.status == "completed"
    words = "figures.graph=true cannot draw a network that cannot be traced: ValueError: cannot take ones"
    assert (words in caplog.messages) == wanted


def test_a_network_in_double_precision_is_traced_in_it(composed):
    model, spec = built(composed("data=digits", "model.hidden=[16]"))
    assert operations(graph_of(model.double(), spec, "softmax, cross entropy")) == MLP


def boxes(figure):
    """The first line of each box by its column and row."""
    (axes,) = figure.axes
    found = {
        (text.get_position()[0], round(text.get_position()[1], 3)): text.get_text().split("\n")
        for text in axes.texts
        if text.get_text()
    }
    columns, rows = (sorted({place[at] for place in found}) for at in (0, 1))
    return {(columns.index(x), rows.index(y)): words for (x, y), words in found.items()}


def test_the_drawing_has_operations_below_one_another_and_parameters_on_their_left(graph):
    found = boxes(network(graph("model.hidden=[16]", "model.bias_l1=0.1")))
    assert [found[1, row] for row in range(9)] == [
        ["inputs", "1 × 8 × 8"],
        ["flatten", "64"],
        ["matmul · hidden.0.linear", "16"],
        ["add", "16"],
        ["ReLU · hidden.0.activation", "16"],
        ["matmul · output", "10"],
        ["add", "10"],
        ["softmax, cross entropy", "scalar"],
        ["add", "scalar"],
    ]
    assert {place: words for place, words in found.items() if place[0] == 0} == {
        (0, 2): ["hidden.0.linear.weight", "16 × 64"],
        (0, 3): ["hidden.0.linear.bias", "16"],
        (0, 5): ["output.weight", "10 × 16"],
        (0, 6): ["output.bias", "10"],
        (0, 7): ["targets", "scalar"],
        (0, 8): ["penalty", "scalar"],
    }


def test_the_second_direction_stands_beside_the_first(graph):
    settings = ("model=gru", "model.hidden=[4]", "model.image_reading=rows", "model.bidirectional=true")
    found = boxes(network(graph(*settings)))
    assert [found[column, 2][0] for column in range(4)] == [
        "layers.0.directions.0.weight_ih_l0",
        "GRU · layers.0.directions.0",
        "GRU · layers.0.directions.1",
        "layers.0.directions.1.weight_ih_l0",
    ]
    assert found[1, 6][0] == "concatenate"


def test_of_a_very_deep_network_the_beginning_is_drawn(graph):
    nodes = graph(f"model.hidden={[2] * MOST_ROWS}")
    figure = network(nodes)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert any(one.startswith("… and ") for one in words)
    assert figure.get_size_inches()[1] < 0.62 * (MOST_ROWS + 2)
    assert png(figure)


def test_an_older_run_has_none_and_a_damaged_one_is_refused(tmp_path):
    older = write_run(tmp_path / "older", inspected=inspection())
    assert read_run(older).inspection.graph == []
    assert "Computational graph" not in run_report(read_run(older))
    node = {"name": "a", "operation": "a", "kind": "operation", "shape": [1], "reads": [0]}
    with pytest.raises(DataError, match=r"inspection.json is missing or damaged"):
        read_run(write_run(tmp_path / "damaged", inspected=inspection(graph=[node])))


def test_a_graph_is_drawn_from_what_the_folder_holds(tmp_path):
    nodes = [GraphNode("inputs", "inputs", "data", [4]), GraphNode("a", "ReLU", "operation", [4], [0])]
    content = [
        {"name": one.name, "operation": one.operation, "kind": one.kind, "shape": one.shape, "reads": one.reads}
        for one in nodes
    ]
    run = read_run(write_run(tmp_path / "run", inspected=inspection(graph=json.loads(json.dumps(content)))))
    assert run.inspection.graph == nodes
    assert "ReLU · a" in run_report(run)


def test_a_graph_of_unknown_kinds_is_damaged(tmp_path):
    graph = [{"name": "inputs", "operation": "inputs", "kind": "weird", "shape": [2], "reads": []}]
    with pytest.raises(DataError, match=r"inspection\.json is missing or damaged"):
        read_run(write_run(tmp_path / "run", inspected=inspection(graph=graph)))
