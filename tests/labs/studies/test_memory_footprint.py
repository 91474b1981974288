"""Numbers that a network keeps: the document's sums, each part by hand, and what torch itself counts."""

import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.config.optim import AdamConfig, SGDConfig
from dlproj.labs.studies.memory_footprint import by_hand, memory_footprint
from dlproj.labs.studies.parts.footprint import (
    NETWORKS,
    OPTIMIZERS,
    Shape,
    build,
    formula,
    inference_bytes,
    mlp_at_once,
    parts,
    sums,
    training_bytes,
)
from dlproj.live_bytes import LiveBytes

DOCUMENT = Shape(inputs=100, hidden=50, outputs=10, batch=1)
OTHER = Shape(inputs=7, hidden=5, outputs=3, batch=4)


def test_the_documents_case_comes_to_its_sums():
    rows = {row["kept"]: row for row in by_hand(DOCUMENT).rows}
    assert (rows["inference"]["values"], rows["inference"]["bytes"]) == (5770, 23_080)
    document = rows["training by the document's formula"]
    assert (document["values"], document["bytes"]) == (11380, 45_520)
    assert rows["training"]["values"] == 11440 == sum(row["values"] for row in list(rows.values())[:-3])
    assert [row["reported_values"] for row in list(rows.values())[-3:]] == [5770, None, 11380]
    assert rows["weights"]["values"] + rows["biases"]["values"] == 5560


def test_the_documents_formula_counts_the_biases_gradients_and_drops_one_h_and_one_q():
    d, h, q = 7, 5, 3
    counts = {name: count for name, (_, count) in sums(replace(OTHER, batch=1)).items()}
    assert counts["inference"] == h * d + q * h + 3 * h + 2 * q + d
    assert counts["training by the document's formula"] == 2 * (h * d + h + q * h + q) + d + 3 * h + q
    assert counts["training"] - counts["training by the document's formula"] == h + q


def test_sums_stand_beside_what_torch_holds():
    rows = {row["kept"]: row["torch_bytes"] for row in by_hand(DOCUMENT).rows}
    inference, training = inference_bytes("MLP", DOCUMENT), training_bytes("MLP", DOCUMENT, SGDConfig())[0]
    assert list(rows.values()) == [None] * (len(rows) - 3) + [inference, training, training]


def test_nothing_is_reported_of_another_case():
    assert all(row["reported_values"] is None for row in by_hand(OTHER).rows)


def test_a_batch_repeats_what_is_not_a_parameter():
    # 8 · 5 + 6 · 3 = 58 parameters; 4 · (7 + 5 + 5 + 3) = 80 values; 4 · 13 have gradients, 4 · 5 of h
    assert [count for _, count in sums(OTHER).values()] == [138, 138 + 58 + 52, 138 + 58 + 4 * 5]


@pytest.mark.parametrize("shape", [DOCUMENT, OTHER])
def test_all_ways_to_count_agree(shape):
    assert formula("MLP", shape, training=False) == sums(shape)["inference"][1]
    assert formula("MLP", shape, training=True) == sums(shape)["training"][1]
    assert sum(count for _, count in parts(shape).values()) == sums(shape)["training"][1]


@pytest.mark.parametrize(
    "shape",
    [
        DOCUMENT,
        OTHER,
        replace(DOCUMENT, batch=1024),  # the most at once while ReLU is differentiated
        Shape(inputs=126, hidden=9, outputs=201, batch=64),  # while the loss is
        Shape(inputs=60, hidden=190, outputs=208, batch=64),  # while the output layer is
    ],
)
def test_what_an_mlp_needs_at_once_is_what_torch_holds_to_the_byte(shape):
    assert inference_bytes("MLP", shape) == 4 * mlp_at_once(shape, training=False)
    assert training_bytes("MLP", shape, SGDConfig())[0] == 4 * mlp_at_once(shape, training=True)


def test_an_lstm_by_hand():
    # 4 · 5 weights and biases of (1 input + 5 states + 1) and 6 · 2 of the output; a time step has sums and gates of
    # 5 each, four times over, and 5 cell states, their tanh and the outputs: 55, three times; 2 outputs, 3 inputs
    shape = Shape(inputs=3, hidden=5, outputs=2, batch=1)
    assert formula("LSTM", shape, training=False) == 140 + 12 + 3 * 55 + 2 + 3
    assert formula("LSTM", shape, training=True, states=2) == 2 * (140 + 12 + 3 * 55 + 2) + 2 * (140 + 12) + 3


def test_a_network_that_the_machine_cannot_hold_is_refused_before_it_is_built(monkeypatch):
    monkeypatch.setattr("dlproj.machine.memory_bytes", lambda: 10**9)
    with pytest.raises(ConfigurationError, match="samples takes 3 GB, the machine has 1: set --batch, "):
        memory_footprint(batch=100)


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_those_of_the_projects_network(name):
    assert NETWORKS[name].parameters(OTHER) == build(name, OTHER, SGDConfig()).parameter_count()


def test_the_live_bytes_of_an_mlp_by_hand():
    # Parameters, x, z and h at once; o comes when z is gone.
    assert inference_bytes("MLP", DOCUMENT) == 4 * (5560 + 100 + 50 + 50)
    assert 4 * 2 * 5560 < training_bytes("MLP", DOCUMENT, SGDConfig())[0] < 4 * 11440


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_keeps_as_many_states_as_it_says(name):
    config, states = OPTIMIZERS[name]
    peak, kept = training_bytes("MLP", DOCUMENT, config)
    assert kept == 4 * states * 5560
    assert peak >= 4 * (2 + states) * 5560


def test_every_optimizer_of_the_project_is_there():
    folder = Path(__file__).parents[3] / "conf" / "optim"
    assert set(OPTIMIZERS) == {file.stem for file in folder.glob("*.yaml")} - {"custom"}


def test_adam_keeps_two_numbers_more_a_weight_than_sgd():
    plain, adam = (training_bytes("MLP", DOCUMENT, config)[0] for config in (SGDConfig(), AdamConfig()))
    assert adam - plain == pytest.approx(4 * 2 * 5560, rel=0.01)


def test_live_bytes_are_the_most_at_once():
    with LiveBytes() as live:
        first = torch.zeros(1000)
        del first
        second = torch.zeros(300)
    assert live.peak == 4000
    del second


def test_earlier_tensors_that_wait_for_the_garbage_collector_do_not_count():
    with LiveBytes():
        waiting = [torch.zeros(100)]
    waiting.append(waiting)  # a cycle
    del waiting
    with LiveBytes() as live:
        gc.collect()
        kept = torch.zeros(1000)
    assert live.peak == kept.nbytes


def test_a_forgotten_peak_does_not_count_but_what_is_held_does():
    with LiveBytes() as live:
        first = torch.zeros(1000)
        kept = torch.zeros(10)
        del first
        live.forget_peak()
        more = torch.zeros(20)
    assert live.peak == 4 * 30
    del kept, more


def test_the_article_holds_both_networks_and_all_optimizers():
    hand, counted, optimizers = memory_footprint(inputs=7, hidden=5, outputs=3, batch=2).sections
    assert hand.table.name == "by_hand"
    assert {(row["network"], row["use"]) for row in counted.table.rows} == {
        (network, use) for network in NETWORKS for use in ("inference", "training")
    }
    assert [row["optimizer"] for row in optimizers.table.rows] == list(OPTIMIZERS)
    assert set(counted.figures) | set(optimizers.figures) == {"batches", "optimizers"}
    assert [axes.get_title(loc="left") for axes in counted.figures["batches"].axes] == list(NETWORKS)
