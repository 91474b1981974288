"""MLPClassifier beside Keras: same weights in, same outputs, losses, penalties and updated weights out."""

import pytest
import torch
from keras_twin import assert_same_outputs, assert_same_steps, features, keras, keras_warnings, twin

from dlproj.config.layers import Activation, LayerPart, OutputConfig
from dlproj.config.mlp import MLPConfig
from dlproj.config.model import Loss, LossFrom
from dlproj.config.optim import SGDConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.losses import loss_function

pytestmark = keras_warnings
initializers, layers = keras.initializers, keras.layers
losses, regularizers = keras.losses, keras.regularizers
INPUTS, CLASSES = 6, 3


def keras_mlp(*after_input, loss=None):
    model = keras.Sequential([keras.Input((INPUTS,)), *after_input])
    model.compile(keras.optimizers.SGD(0.1), loss or losses.SparseCategoricalCrossentropy())
    return model


def batch(generator, classes=CLASSES):
    return torch.randn(10, INPUTS, generator=generator), torch.randint(classes, (10,), generator=generator)


ACTIVATIONS = {
    Activation.relu: lambda: layers.ReLU(),
    Activation.leaky_relu: lambda: layers.LeakyReLU(negative_slope=0.01),
    Activation.prelu: lambda: layers.PReLU(shared_axes=[1]),
    Activation.elu: lambda: layers.ELU(alpha=1.0),
    Activation.sigmoid: lambda: layers.Activation("sigmoid"),
    Activation.tanh: lambda: layers.Activation("tanh"),
    Activation.swish: lambda: layers.Activation("swish"),
    Activation.softmax: lambda: layers.Softmax(),
    Activation.identity: lambda: layers.Activation("linear"),
}


def test_every_activation_has_an_oracle():
    assert set(ACTIVATIONS) == set(Activation)


@pytest.mark.parametrize("activation", list(Activation), ids=lambda activation: activation.name)
def test_same_steps_with_each_activation(activation, generator):
    hidden = [part for units in (8, 5) for part in (layers.Dense(units), ACTIVATIONS[activation]())]
    theirs = keras_mlp(*hidden, layers.Dense(CLASSES, activation="softmax"))
    config = MLPConfig(hidden=[8, 5], activation=activation)
    ours = twin(theirs, config, features(INPUTS, CLASSES), SGDConfig(learning_rate=0.1))
    inputs, targets = batch(generator)
    assert_same_outputs(ours, theirs, inputs)
    assert_same_steps(ours, theirs, inputs, targets)


PARAMETRIC = {
    Activation.leaky_relu: ("negative_slope", lambda: layers.LeakyReLU(negative_slope=0.3)),
    Activation.elu: ("elu_alpha", lambda: layers.ELU(alpha=0.3)),
    Activation.prelu: (
        "prelu_init",
        lambda: layers.PReLU(alpha_initializer=initializers.Constant(0.3), shared_axes=[1]),
    ),
}


@pytest.mark.parametrize("activation", PARAMETRIC, ids=lambda activation: activation.name)
def test_same_steps_with_another_parameter_of_an_activation(activation, generator):
    name, theirs_of = PARAMETRIC[activation]
    theirs = keras_mlp(layers.Dense(8), theirs_of(), layers.Dense(CLASSES, activation="softmax"))
    config = MLPConfig(hidden=[8], activation=activation, **{name: 0.3})
    ours = config.build(features(INPUTS, CLASSES), SGDConfig(), SchedulerConfig())
    if activation is Activation.prelu:
        slope = keras.ops.convert_to_numpy(theirs.layers[1].alpha)
        assert ours.hidden[0].activation.weight.item() == slope.item() == pytest.approx(0.3)
    ours = twin(theirs, config, features(INPUTS, CLASSES), SGDConfig(learning_rate=0.1))
    inputs, targets = batch(generator)
    assert_same_outputs(ours, theirs, inputs)
    assert_same_steps(ours, theirs, inputs, targets)


def test_same_steps_without_biases_and_with_relu_before_and_after_batch_norm(generator):
    theirs = keras_mlp(
        layers.Dense(8, activation="relu", use_bias=False),
        layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
        layers.ReLU(),
        layers.Dense(CLASSES, activation="softmax", use_bias=False),
    )
    order = [LayerPart.linear, LayerPart.activation, LayerPart.batch_norm, LayerPart.activation]
    config = MLPConfig(hidden=[8], bias=False, batch_norm=True, order=order)
    ours = twin(theirs, config, features(INPUTS, CLASSES), SGDConfig(learning_rate=0.1))
    inputs, targets = batch(generator)
    assert_same_outputs(ours, theirs, inputs)
    assert_same_steps(ours, theirs, inputs, targets)


def test_same_steps_on_the_network_of_lab2(generator):
    theirs = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(784, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    theirs.compile(keras.optimizers.SGD(0.1), losses.SparseCategoricalCrossentropy())
    ours = twin(theirs, MLPConfig(hidden=[784]), features(784, 10), SGDConfig(learning_rate=0.1), scale=0.03)
    inputs = torch.rand(16, 28, 28, generator=generator)
    targets = torch.randint(10, (16,), generator=generator)
    assert_same_outputs(ours, theirs, inputs)
    assert_same_steps(ours, theirs, inputs, targets)


@pytest.mark.parametrize(
    ("loss", "their_loss", "activation"),
    [
        (Loss.binary_cross_entropy, losses.BinaryCrossentropy, Activation.softmax),
        (Loss.binary_cross_entropy, losses.BinaryCrossentropy, Activation.sigmoid),
        (Loss.mean_squared_error, losses.MeanSquaredError, Activation.identity),
        (Loss.mean_squared_error, losses.MeanSquaredError, Activation.sigmoid),
        (Loss.mean_squared_error, losses.MeanSquaredError, Activation.softmax),
    ],
)
def test_same_steps_with_losses_on_one_hot_targets(loss, their_loss, activation, generator):
    name = "linear" if activation is Activation.identity else activation.name
    theirs = keras_mlp(layers.Dense(8, activation="relu"), layers.Dense(CLASSES, activation=name), loss=their_loss())
    config = MLPConfig(hidden=[8], loss=loss, output=OutputConfig(activation=activation))
    ours = twin(theirs, config, features(INPUTS, CLASSES), SGDConfig(learning_rate=0.1))
    inputs, targets = batch(generator)
    assert_same_outputs(ours, theirs, inputs)
    assert_same_steps(ours, theirs, inputs, targets)


@pytest.mark.parametrize(
    ("loss", "their_loss", "output"),
    [
        (Loss.binary_cross_entropy, losses.BinaryCrossentropy, OutputConfig()),
        (Loss.mean_squared_error, losses.MeanSquaredError, OutputConfig(activation=Activation.sigmoid)),
    ],
)
def test_same_steps_with_a_single_sigmoid_output(loss, their_loss, output, generator):
    theirs = keras_mlp(layers.Dense(8, activation="relu"), layers.Dense(1, activation="sigmoid"), loss=their_loss())
    config = MLPConfig(hidden=[8], loss=loss, outputs=1, output=output)
    ours = twin(theirs, config, features(INPUTS, 2), SGDConfig(learning_rate=0.1))
    inputs, targets = batch(generator, classes=2)
    assert_same_outputs(ours, theirs, inputs)
    assert_same_steps(ours, theirs, inputs, targets)


@pytest.mark.parametrize(
    ("loss", "their_loss", "activation"),
    [
        (Loss.cross_entropy, losses.CategoricalCrossentropy, Activation.softmax),
        (Loss.binary_cross_entropy, losses.BinaryCrossentropy, Activation.softmax),
        (Loss.binary_cross_entropy, losses.BinaryCrossentropy, Activation.sigmoid),
    ],
)
@pytest.mark.parametrize("source", [LossFrom.logits, LossFrom.probabilities])
def test_same_steps_with_each_form_of_a_cross_entropy(loss, their_loss, activation, source, generator):
    # From logits, the Keras model has no activation, whose logits Keras 2 would take.
    name, from_logits = (activation.name, False) if source is LossFrom.probabilities else (None, True)
    theirs = keras_mlp(
        layers.Dense(8, activation="relu"),
        layers.Dense(CLASSES, activation=name),
        loss=their_loss(from_logits=from_logits),
    )
    config = MLPConfig(hidden=[8], loss=loss, loss_from=source, output=OutputConfig(activation=activation))
    ours = twin(theirs, config, features(INPUTS, CLASSES), SGDConfig(learning_rate=0.1), scale=4.0)
    assert_same_steps(ours, theirs, *batch(generator))


@pytest.mark.parametrize("size", [30.0, 300.0])
def test_same_cross_entropy_of_a_saturated_softmax(size):
    logits = torch.tensor([[size, 0.0, 0.0], [0.0, size, 0.0]])
    targets = torch.tensor([0, 2])
    expected = losses.CategoricalCrossentropy()(torch.eye(3)[targets], logits.softmax(1))
    ours = loss_function(Loss.cross_entropy, Activation.softmax, LossFrom.probabilities)(logits, targets)
    assert float(ours) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("size", [30.0, 300.0])
def test_same_binary_cross_entropy_of_a_saturated_softmax(size):
    logits = torch.tensor([[size, 0.0, 0.0], [0.0, size, 0.0]])
    targets = torch.tensor([0, 2])
    expected = losses.BinaryCrossentropy()(torch.eye(3)[targets], logits.softmax(1))
    ours = loss_function(Loss.binary_cross_entropy, Activation.softmax)(logits, targets)
    assert float(ours) == pytest.approx(float(expected), rel=1e-5)


PENALTIES = {
    "weight_l1": ("kernel_regularizer", lambda: regularizers.L1(0.01)),
    "weight_l2": ("kernel_regularizer", lambda: regularizers.L2(0.01)),
    "bias_l1": ("bias_regularizer", lambda: regularizers.L1(0.01)),
    "bias_l2": ("bias_regularizer", lambda: regularizers.L2(0.01)),
}


@pytest.mark.parametrize("setting", PENALTIES)
def test_same_penalty_on_every_layer_and_same_steps(setting, generator):
    argument, regularizer = PENALTIES[setting]
    theirs = keras_mlp(
        layers.Dense(8, activation="relu", **{argument: regularizer()}),
        layers.Dense(CLASSES, activation="softmax", **{argument: regularizer()}),
    )
    config = MLPConfig(hidden=[8], **{setting: 0.01})
    ours = twin(theirs, config, features(INPUTS, CLASSES), SGDConfig(learning_rate=0.1))
    assert_same_steps(ours, theirs, *batch(generator))


def test_same_penalties_layer_by_layer_and_same_steps(generator):
    theirs = keras_mlp(
        layers.Dense(
            8,
            activation="relu",
            kernel_regularizer=regularizers.L1L2(0.01, 0.02),
            bias_regularizer=regularizers.L2(0.05),
        ),
        layers.Dense(5, activation="relu"),
        layers.Dense(CLASSES, activation="softmax", kernel_regularizer=regularizers.L2(0.03)),
    )
    own = {"units": 8, "weight_l1": 0.01, "weight_l2": 0.02, "bias_l2": 0.05}
    config = MLPConfig(hidden=[own, 5], output=OutputConfig(weight_l2=0.03))
    ours = twin(theirs, config, features(INPUTS, CLASSES), SGDConfig(learning_rate=0.1))
    assert_same_steps(ours, theirs, *batch(generator))


def test_same_steps_with_batch_norm_before_the_activation(generator):
    # torch's defaults, momentum 0.1 and epsilon 1e-5, in Keras's terms.
    theirs = keras_mlp(
        layers.Dense(8),
        layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
        layers.ReLU(),
        layers.Dense(CLASSES, activation="softmax"),
    )
    config = MLPConfig(hidden=[8], batch_norm=True)
    ours = twin(theirs, config, features(INPUTS, CLASSES), SGDConfig(learning_rate=0.1))
    inputs, targets = batch(generator)
    assert_same_outputs(ours, theirs, inputs)
    assert_same_steps(ours, theirs, inputs, targets)
