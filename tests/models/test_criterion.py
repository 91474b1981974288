"""What training minimises beside cases worked out by hand, scikit-learn and torch; other losses are the plain ones."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from dlproj.config.checks import ConfigurationError
from dlproj.config.layers import Activation, OutputConfig
from dlproj.config.mlp import MLPConfig
from dlproj.config.model import Loss, LossFrom
from dlproj.data.mixup import Mixup
from dlproj.models.criterion import balanced_weights, criterion
from dlproj.models.losses import loss_function, one_hot
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.run import run

DIGITS = [
    *("data=digits", "model.hidden=[8]", "trainer.max_epochs=1", "figures=none", "optim=sgd"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false", "scheduler=constant"),
]
FORMS = [
    (Loss.cross_entropy, Activation.softmax, LossFrom.logits),
    (Loss.cross_entropy, Activation.softmax, LossFrom.probabilities),
    (Loss.binary_cross_entropy, Activation.sigmoid, LossFrom.logits),
    (Loss.binary_cross_entropy, Activation.softmax, LossFrom.auto),
    (Loss.mean_squared_error, Activation.softmax, LossFrom.auto),
    (Loss.focal, Activation.softmax, LossFrom.auto),
    (Loss.focal, Activation.sigmoid, LossFrom.auto),
]


def made(
    weights=None, mixes=False, loss=Loss.cross_entropy, activation=Activation.softmax, source=LossFrom.auto, **more
):
    config = MLPConfig(loss=loss, loss_from=source, output=OutputConfig(activation=activation), **more)
    plain = loss_function(loss, activation, source, config.focal_gamma)
    return criterion(config, activation, plain, None if weights is None else torch.tensor(weights), mixes), plain


def test_without_these_settings_training_minimises_the_plain_loss():
    training, plain = made()
    assert training is plain


def test_weights_multiply_each_sample_and_the_sum_is_divided_by_the_batch_size():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    training, _ = made([2.0, 10.0])
    assert float(training(logits, torch.tensor([0, 1]))) == pytest.approx((2 * math.log(2) + 10 * math.log(4)) / 2)


def test_smoothing_moves_a_share_of_the_target_to_all_classes():
    logits = torch.tensor([[math.log(6), math.log(3), 0.0]])  # probabilities 0.6, 0.3 and 0.1
    training, _ = made(label_smoothing=0.3)
    by_hand = -(0.8 * math.log(0.6) + 0.1 * math.log(0.3) + 0.1 * math.log(0.1))
    assert float(training(logits, torch.tensor([0]))) == pytest.approx(by_hand)


def test_a_focal_loss_is_that_of_the_paper():
    logits = torch.tensor([[math.log(9), 0.0], [0.0, math.log(4)]])  # the true classes have 0.9 and 0.2
    _, plain = made(loss=Loss.focal, focal_gamma=2.0)
    by_hand = -(0.1**2 * math.log(0.9) + 0.8**2 * math.log(0.2)) / 2
    assert float(plain(logits, torch.tensor([0, 0]))) == pytest.approx(by_hand)


@pytest.mark.parametrize("activation", [Activation.softmax, Activation.sigmoid])
def test_a_focal_loss_without_focus_is_the_cross_entropy(activation, generator):
    logits, targets = torch.randn(20, 4, generator=generator), torch.randint(4, (20,), generator=generator)
    plain = loss_function(Loss.focal, activation, gamma=0.0)
    entropy = Loss.cross_entropy if activation is Activation.softmax else Loss.binary_cross_entropy
    assert float(plain(logits, targets)) == pytest.approx(float(loss_function(entropy, activation)(logits, targets)))


@pytest.mark.parametrize("activation", [Activation.softmax, Activation.sigmoid])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_a_focal_loss_and_its_gradient_stay_finite_on_saturated_outputs(activation, gamma):
    logits = torch.tensor([[1000.0, 0.0, -1000.0], [-1000.0, 1000.0, 0.0]], requires_grad=True)
    value = loss_function(Loss.focal, activation, gamma=gamma)(logits, torch.tensor([2, 1]))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(("loss", "activation", "source"), FORMS)
def test_equal_weights_change_nothing(loss, activation, source, generator):
    logits, targets = torch.randn(20, 4, generator=generator), torch.randint(4, (20,), generator=generator)
    training, plain = made([1.0] * 4, loss=loss, activation=activation, source=source)
    assert float(training(logits, targets)) == pytest.approx(float(plain(logits, targets)), rel=1e-6)


@pytest.mark.parametrize(("loss", "activation", "source"), FORMS)
def test_a_mixed_sample_has_the_mixed_loss_of_its_two_classes(loss, activation, source, generator):
    logits, (a, b) = torch.randn(20, 4, generator=generator), torch.randint(4, (2, 20), generator=generator)
    weights = [0.5, 2.0, 1.0, 3.0]
    mixed, _ = made(weights, True, loss, activation, source)
    single, _ = made(weights, False, loss, activation, source)
    shares = 0.3 * functional.one_hot(a, 4) + 0.7 * functional.one_hot(b, 4)
    expected = 0.3 * single(logits, a) + 0.7 * single(logits, b)
    assert float(mixed(logits, shares)) == pytest.approx(float(expected), rel=1e-6)


def test_the_mixed_cross_entropy_is_that_of_torch_for_shares_of_classes(generator):
    logits, targets = torch.randn(20, 4, generator=generator), torch.randint(4, (20,), generator=generator)
    _, shares = Mixup(1.0, 4, 0)(torch.zeros(20, 1), targets, 0, 0)
    mixed, _ = made(mixes=True, label_smoothing=0.1)
    expected = functional.cross_entropy(logits, shares, label_smoothing=0.1)
    assert float(mixed(logits, shares)) == pytest.approx(float(expected), rel=1e-6)


def test_in_half_precision_the_loss_is_computed_in_float32(generator):
    logits, targets = torch.randn(20, 4, generator=generator).bfloat16(), torch.randint(4, (20,), generator=generator)
    for loss, activation, source in FORMS:
        training, _ = made([0.5, 2.0, 1.0, 3.0], False, loss, activation, source)
        assert torch.equal(training(logits, targets), training(logits.float(), targets))


def test_balanced_weights_are_those_of_scikit_learn(generator):
    targets = torch.randint(5, (300,), generator=generator).square() // 4  # 0, 1, 2 and 4, but no 3
    found = balanced_weights(targets, 5)
    present = np.unique(targets)
    assert found[present].numpy() == pytest.approx(compute_class_weight("balanced", classes=present, y=targets.numpy()))
    assert found[3] == 0
    assert float(found[targets].mean()) == pytest.approx(1)


def test_a_run_keeps_the_balanced_weights_of_its_training_samples(composed, tmp_path):
    config = composed(*DIGITS, "model.class_weights=balanced")
    result = run(config, tmp_path)
    data = config.data.build(0)
    data.setup()
    wanted = balanced_weights(data.train.targets, 10).tolist()
    kept = torch.load(checkpoint_path(tmp_path, "last"), weights_only=True)["class_weights"]
    assert kept == result.class_weights == wanted
    assert all(type(weight) is float for weight in kept)


def test_a_plain_trainer_is_told_that_balanced_weights_need_the_data(composed):
    config = composed(*DIGITS, "model.class_weights=balanced")
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    samples = torch.utils.data.TensorDataset(torch.zeros(4, 1, 8, 8), torch.arange(4))
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(ConfigurationError, match="counts the samples of a dlproj data module: set a list of weights"):
        trainer.fit(model, *[torch.utils.data.DataLoader(samples)] * 2)


def test_validation_and_test_have_the_plain_loss(composed, tmp_path):
    """With the weights of the network at its start, since the learning rate is as good as 0."""
    still = [*DIGITS, "optim.learning_rate=1e-30"]
    plain = run(composed(*still), tmp_path / "plain").metrics
    changed = ["model.class_weights=[1,2,3,4,5,6,7,8,9,10]", "model.label_smoothing=0.2", "data.mixup=0.5"]
    other = run(composed(*still, *changed), tmp_path / "changed").metrics
    for metric in ("val/loss", "test/loss", "val/accuracy", "test/accuracy"):
        assert other[metric] == plain[metric]
    assert other["train/loss"] > 2 * plain["train/loss"]


def test_a_class_of_weight_zero_is_not_learnt(composed, tmp_path):
    without_0 = ["model.class_weights=[0,1,1,1,1,1,1,1,1,1]", "optim.learning_rate=0.5", "trainer.max_epochs=4"]
    counts = torch.tensor(run(composed(*DIGITS, *without_0), tmp_path).confusion_matrix)
    assert counts[:, 0].sum() == 0
    assert counts.trace() / counts.sum() > 0.5


def test_a_single_output_weighs_and_mixes_its_two_classes():
    logits = torch.tensor([[0.0], [math.log(3)]])  # σ is 1/2 and 3/4
    more = {"loss": Loss.binary_cross_entropy, "activation": Activation.sigmoid, "outputs": 1}
    training, _ = made([2.0, 10.0], **more)
    by_hand = (2 * math.log(2) + 10 * math.log(4 / 3)) / 2
    assert float(training(logits, torch.tensor([0, 1]))) == pytest.approx(by_hand)
    mixed, _ = made([2.0, 10.0], True, **more)
    shares = torch.tensor([[0.4, 0.6], [1.0, 0.0]])
    by_hand = (0.4 * 2 * math.log(2) + 0.6 * 10 * math.log(2) + 2 * math.log(4)) / 2
    assert float(mixed(logits, shares)) == pytest.approx(by_hand)
    assert one_hot(logits, torch.tensor([0, 1])).tolist() == [[0.0], [1.0]]
