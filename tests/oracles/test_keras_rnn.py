"""RNNClassifier beside Keras: same weights in, same outputs, losses, penalties and updated weights out."""

import pytest
import torch
from keras_twin import assert_same_outputs, assert_same_steps, keras, keras_warnings, twin, words

from dlproj.config.layers import Activation, Cell, OutputConfig
from dlproj.config.model import Loss
from dlproj.config.optim import SGDConfig
from dlproj.config.rnn import RNNConfig

pytestmark = keras_warnings
layers, losses, regularizers = keras.layers, keras.losses, keras.regularizers
LENGTH, VOCABULARY, DIM, UNITS = 7, 12, 4, 5
CELLS = {Cell.simple: layers.SimpleRNN, Cell.lstm: layers.LSTM, Cell.gru: layers.GRU}
each_cell = pytest.mark.parametrize("cell", list(Cell), ids=lambda cell: cell.name)


def keras_rnn(*recurrent, masking=False):
    model = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY, DIM, mask_zero=masking),
            *recurrent,
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1), losses.SparseCategoricalCrossentropy())
    return model


def config(cell, **settings):
    return RNNConfig(cell=cell, embedding_dim=DIM, **({"hidden": [UNITS]} | settings))


def reviews(lengths, padding, generator):
    """Word ids from 1 up, zeros before or after them."""
    ids = torch.randint(1, VOCABULARY, (len(lengths), LENGTH), generator=generator)
    time = torch.arange(LENGTH)
    for row, length in zip(ids, lengths, strict=True):
        row[time >= length if padding == "post" else time < LENGTH - length] = 0
    return ids


def assert_same(ours, theirs, generator, padding="pre"):
    inputs = reviews([7, 1, 4, 6, 2, 3], padding, generator)
    targets = torch.tensor([0, 1, 1, 0, 1, 0])
    assert_same_outputs(ours, theirs, inputs)
    assert_same_steps(ours, theirs, inputs, targets)


@each_cell
def test_same_steps_with_each_cell_reading_its_front_padding(cell, generator):
    theirs = keras_rnn(CELLS[cell](UNITS))
    assert_same(twin(theirs, config(cell), words(LENGTH, VOCABULARY), SGDConfig(learning_rate=0.1)), theirs, generator)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "elu", "softmax"])
def test_same_steps_with_a_simple_cell_of_another_activation(name, generator):
    theirs = keras_rnn(layers.SimpleRNN(UNITS, activation=name))
    ours = config(Cell.simple, activation=Activation[name])
    assert_same(twin(theirs, ours, words(LENGTH, VOCABULARY), SGDConfig(learning_rate=0.1)), theirs, generator)


@each_cell
def test_same_steps_with_two_layers(cell, generator):
    theirs = keras_rnn(CELLS[cell](UNITS, return_sequences=True), CELLS[cell](3))
    ours = config(cell, hidden=[UNITS, 3])
    assert_same(twin(theirs, ours, words(LENGTH, VOCABULARY), SGDConfig(learning_rate=0.1)), theirs, generator)


@each_cell
def test_same_steps_with_two_layers_in_both_directions(cell, generator):
    first = layers.Bidirectional(CELLS[cell](UNITS, return_sequences=True))
    theirs = keras_rnn(first, layers.Bidirectional(CELLS[cell](3)))
    ours = config(cell, hidden=[UNITS, 3], bidirectional=True)
    assert_same(twin(theirs, ours, words(LENGTH, VOCABULARY), SGDConfig(learning_rate=0.1)), theirs, generator)


@pytest.mark.parametrize("bidirectional", [False, True])
@each_cell
def test_same_steps_with_masking(cell, bidirectional, generator):
    around = layers.Bidirectional if bidirectional else lambda layer: layer
    theirs = keras_rnn(around(CELLS[cell](UNITS, return_sequences=True)), around(CELLS[cell](3)), masking=True)
    ours = config(cell, hidden=[UNITS, 3], bidirectional=bidirectional, masking=True)
    spec = words(LENGTH, VOCABULARY, "post")
    assert_same(twin(theirs, ours, spec, SGDConfig(learning_rate=0.1)), theirs, generator, padding="post")


def test_same_steps_with_masking_in_a_simple_cell_of_another_activation(generator):
    theirs = keras_rnn(layers.Bidirectional(layers.SimpleRNN(UNITS, activation="sigmoid")), masking=True)
    ours = config(Cell.simple, activation=Activation.sigmoid, bidirectional=True, masking=True)
    spec = words(LENGTH, VOCABULARY, "post")
    assert_same(twin(theirs, ours, spec, SGDConfig(learning_rate=0.1)), theirs, generator, padding="post")


REGULARIZERS = {
    "weight_l1": {"kernel_regularizer": regularizers.L1(0.01)},
    "weight_l2": {"kernel_regularizer": regularizers.L2(0.01)},
    "recurrent_l1": {"recurrent_regularizer": regularizers.L1(0.01)},
    "recurrent_l2": {"recurrent_regularizer": regularizers.L2(0.01)},
    "bias_l1": {"bias_regularizer": regularizers.L1(0.01)},
    "bias_l2": {"bias_regularizer": regularizers.L2(0.01)},
}


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("setting", REGULARIZERS)
@pytest.mark.parametrize("cell", [Cell.lstm, Cell.gru], ids=lambda cell: cell.name)
def test_same_penalty_of_a_recurrent_layer_and_same_steps(cell, setting, bidirectional, generator):
    layer = CELLS[cell](UNITS, **REGULARIZERS[setting])
    theirs = keras_rnn(layers.Bidirectional(layer) if bidirectional else layer)
    ours = config(cell, hidden=[{"units": UNITS, setting: 0.01}], bidirectional=bidirectional)
    assert_same(twin(theirs, ours, words(LENGTH, VOCABULARY), SGDConfig(learning_rate=0.1)), theirs, generator)


@pytest.mark.parametrize(("cell", "hidden"), [(Cell.simple, [8]), (Cell.simple, [8, 8]), (Cell.lstm, [8])])
def test_same_steps_on_word_ids_as_raw_numbers(cell, hidden, generator):
    activation = {"activation": "relu"} if cell is Cell.simple else {}
    earlier = [CELLS[cell](units, return_sequences=True, **activation) for units in hidden[:-1]]
    theirs = keras.Sequential(
        [
            keras.Input((LENGTH,)),
            layers.Reshape((LENGTH, 1)),
            *earlier,
            CELLS[cell](hidden[-1], **activation),
            layers.Dense(2, activation="sigmoid"),
        ]
    )
    theirs.compile(keras.optimizers.SGD(0.001), losses.BinaryCrossentropy())
    relu = {"activation": Activation.relu} if cell is Cell.simple else {}
    ours = RNNConfig(cell=cell, hidden=hidden, loss=Loss.binary_cross_entropy, **relu)
    spec = words(LENGTH, VOCABULARY)
    assert_same(twin(theirs, ours, spec, SGDConfig(learning_rate=0.001), scale=0.1), theirs, generator)


def test_same_steps_on_the_lstm_of_lab4_scaled_down(generator):
    theirs = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(VOCABULARY + 3, DIM),
            layers.LSTM(UNITS, kernel_regularizer=regularizers.L2(0.01), recurrent_regularizer=regularizers.L2(0.01)),
            layers.Dense(2, activation="sigmoid"),
        ]
    )
    theirs.compile(keras.optimizers.SGD(0.1), losses.BinaryCrossentropy())
    own = {"units": UNITS, "weight_l2": 0.01, "recurrent_l2": 0.01}
    ours = config(Cell.lstm, hidden=[own], embedding_rows=VOCABULARY + 3, loss=Loss.binary_cross_entropy)
    assert_same(twin(theirs, ours, words(LENGTH, VOCABULARY), SGDConfig(learning_rate=0.1)), theirs, generator)


def test_same_penalty_where_every_layer_has_it(generator):
    both = {"kernel_regularizer": regularizers.L2(0.01), "bias_regularizer": regularizers.L1(0.02)}
    theirs = keras_rnn(layers.LSTM(UNITS, recurrent_regularizer=regularizers.L1(0.03), **both))
    theirs.pop()
    theirs.add(layers.Dense(2, activation="sigmoid", **both))
    theirs.compile(keras.optimizers.SGD(0.1), losses.MeanSquaredError())
    ours = config(
        Cell.lstm,
        weight_l2=0.01,
        bias_l1=0.02,
        recurrent_l1=0.03,
        loss=Loss.mean_squared_error,
        output=OutputConfig(activation=Activation.sigmoid),
    )
    assert_same(twin(theirs, ours, words(LENGTH, VOCABULARY), SGDConfig(learning_rate=0.1)), theirs, generator)
