"""The documents' parameter counts, to the digit, beside Keras's count_params()."""

import pytest
import torch
from keras_twin import NAMES, features, keras, words

from dlproj.config.data import DataSpec, Kind
from dlproj.config.layers import Activation, Cell
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import SGDConfig
from dlproj.config.rnn import RNNConfig
from dlproj.config.scheduler import SchedulerConfig

layers = keras.layers
IMDB = words(200, 10_000)
TABLE = {"embedding_rows": 88_584, "embedding_dim": 128}
IMAGE = DataSpec(Kind.image, (1, 28, 28), NAMES)


def raw(*recurrent):
    return [keras.Input((None, 1)), *recurrent, layers.Dense(2)]


def embedded(*recurrent):
    return [keras.Input((None,)), layers.Embedding(88_584, 128), *recurrent, layers.Dense(2)]


CASES = {
    "lab2": (
        623_290,
        IMAGE,
        MLPConfig(hidden=[784]),
        lambda: [keras.Input((784,)), layers.Dense(784), layers.Dense(10)],
    ),
    "lab4 simple_rnn": (
        40_802,
        IMDB,
        RNNConfig(cell=Cell.simple, hidden=[200], activation=Activation.relu),
        lambda: raw(layers.SimpleRNN(200)),
    ),
    "lab4 simple_rnn_2": (
        121_002,
        IMDB,
        RNNConfig(cell=Cell.simple, hidden=[200, 200], activation=Activation.relu),
        lambda: raw(layers.SimpleRNN(200, return_sequences=True), layers.SimpleRNN(200)),
    ),
    "lab4 lstm": (11_602_354, IMDB, RNNConfig(hidden=[200], **TABLE), lambda: embedded(layers.LSTM(200))),
    "lab4 lstm_2": (
        11_669_922,
        IMDB,
        RNNConfig(hidden=[200, 64], **TABLE),
        lambda: embedded(layers.LSTM(200, return_sequences=True), layers.LSTM(64)),
    ),
    "lab4 gru": (11_537_154, IMDB, RNNConfig(cell=Cell.gru, hidden=[200], **TABLE), lambda: embedded(layers.GRU(200))),
    "any activation": (
        40_802,
        IMDB,
        RNNConfig(cell=Cell.simple, hidden=[200], activation=Activation.sigmoid),
        lambda: raw(layers.SimpleRNN(200, activation="sigmoid")),
    ),
    "both directions": (
        5_802,
        features(9, 2),
        RNNConfig(hidden=[20, 6], bidirectional=True),
        lambda: raw(layers.Bidirectional(layers.LSTM(20, return_sequences=True)), layers.Bidirectional(layers.LSTM(6))),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_parameters_are_as_many_as_in_keras_and_in_the_document(case):
    count, spec, config, keras_layers = CASES[case]
    with torch.device("meta"):
        ours = config.build(spec, SGDConfig(), SchedulerConfig())
    assert ours.parameter_count() == count
    assert keras.Sequential(keras_layers()).count_params() == count
