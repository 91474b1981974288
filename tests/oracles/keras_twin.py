"""A Keras model and a dlproj model of the same weights, and what it takes to compare them step by step."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dlproj.config.data import DataSpec, Kind
from dlproj.config.model import ModelConfig
from dlproj.config.optim import OptimConfig, SGDConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.classifier import Classifier
from dlproj.models.losses import probabilities
from dlproj.models.metrics import TrainingSums

keras = pytest.importorskip("keras")

NAMES = tuple("abcdefghij")
# Keras 3.15 makes arrays by np.array(tensor), and torch's __array__ lacks the argument `copy` that NumPy 2 asks for.
keras_warnings = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def features(count: int, classes: int) -> DataSpec:
    return DataSpec(Kind.features, (count,), NAMES[:classes])


def words(length: int, vocabulary: int, padding: str = "pre") -> DataSpec:
    return DataSpec(Kind.sequence, (length,), NAMES[:2], vocabulary, padding)


def torch_weights(model: Any) -> list[np.ndarray]:
    """The trained weights of a Keras model, laid out and ordered as in the dlproj model's parameters()."""
    return [weight for layer in model.layers for weight in _of_layer(layer)]


def _of_layer(layer: Any) -> Iterator[np.ndarray]:
    if isinstance(layer, keras.layers.Bidirectional):
        yield from _of_layer(layer.forward_layer)
        yield from _of_layer(layer.backward_layer)
        return
    weights = [keras.ops.convert_to_numpy(weight) for weight in layer.trainable_weights]
    if isinstance(layer, keras.layers.GRU):  # gates z, r, h in Keras, r, z, n in torch
        kernel, recurrent, bias = (
            np.concatenate([r, z, n], axis=-1) for z, r, n in (np.split(w, 3, -1) for w in weights)
        )
        yield from (kernel.T, recurrent.T, *bias)
    elif isinstance(layer, keras.layers.Embedding):
        yield from weights
    else:  # kernels are (inputs, outputs) in Keras, (outputs, inputs) in torch; an LSTM's gates have one order in both
        yield from (weight.T for weight in weights)


def weights_as_in(ours: Classifier, theirs: Any) -> list[np.ndarray]:
    """The same, the embedding in two parts where the rows that no word reads stand apart in ours."""
    weights = torch_weights(theirs)
    if "embedding.0.unread" not in ours.state_dict():
        return weights
    return [*np.split(weights[0], [len(ours.get_parameter("embedding.0.weight"))]), *weights[1:]]


def randomize(model: Any, scale: float) -> None:
    """Draw all of a Keras model's trained weights: its zero biases would hide a bias that is mixed up."""
    draw = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(draw.normal(0.0, scale, weight.shape))


def twin(
    keras_model: Any, config: ModelConfig, spec: DataSpec, optim: OptimConfig | None = None, scale: float = 0.4
) -> Classifier:
    """Random weights for the Keras model, and the dlproj model of the same weights."""
    randomize(keras_model, scale)
    model = config.build(spec, optim or SGDConfig(), SchedulerConfig())
    with torch.no_grad():
        for ours, theirs in zip(model.parameters(), weights_as_in(model, keras_model), strict=True):
            assert ours.shape == theirs.shape
            ours.copy_(torch.tensor(theirs))
    return model


def assert_same_weights(ours: Classifier, theirs: Any, tolerance: float = 1e-5) -> None:
    for (name, parameter), expected in zip(ours.named_parameters(), weights_as_in(ours, theirs), strict=True):
        torch.testing.assert_close(
            parameter.detach(),
            torch.tensor(expected).to(parameter.dtype),
            rtol=tolerance,
            atol=tolerance,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def assert_same_outputs(ours: Classifier, theirs: Any, inputs: Tensor) -> None:
    """The same probabilities."""
    with torch.no_grad():
        mine = probabilities(ours.eval()(inputs), ours.activation)
        expected = theirs(inputs.numpy(), training=False)
    ours.train()
    torch.testing.assert_close(mine, expected.to(mine.dtype), rtol=1e-5, atol=1e-5)


def assert_same_steps(
    ours: Classifier,
    theirs: Any,
    inputs: Tensor,
    targets: Tensor,
    steps: int = 2,
    class_weight: dict[int, float] | None = None,
) -> None:
    """The same loss, in total and by its parts, before each of some updates, and the same weights after each.

    targets (B,) are classes; the Keras model, compiled, gets them as its loss wants them. The parts of the dlproj
    model's loss are read from TrainingSums, since that is what is logged.
    """
    optimizer = ours.optim.build(ours.parameters())
    wanted = _keras_targets(theirs, targets)
    for _ in range(steps):
        penalty = sum(float(part.detach()) for part in theirs.losses)
        expected = theirs.train_on_batch(inputs.numpy(), wanted, class_weight=class_weight)
        ours.training_sums = TrainingSums(torch.device("cpu"))
        optimizer.zero_grad()
        loss = ours.training_step((inputs, targets), 0)
        loss.backward()
        optimizer.step()
        samples = len(targets)
        data_loss, our_penalty = (ours.training_sums.totals()[:2] / samples).tolist()
        assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5, abs=1e-5)
        assert our_penalty == pytest.approx(penalty, rel=1e-5, abs=1e-5)
        # The difference of two float32 numbers of the penalty's size.
        assert data_loss == pytest.approx(float(expected) - penalty, rel=1e-5, abs=1e-5 * max(1.0, penalty))
        assert_same_weights(ours, theirs)


def _keras_targets(model: Any, targets: Tensor) -> np.ndarray:
    outputs = model.output_shape[-1]
    if isinstance(model.loss, keras.losses.SparseCategoricalCrossentropy):
        return targets.numpy()
    if outputs == 1:
        return targets.numpy()[:, None].astype("float32")
    return np.eye(outputs, dtype="float32")[targets.numpy()]
