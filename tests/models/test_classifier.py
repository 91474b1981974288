"""The base of both models: the training step, what is logged, and the wiring of optimizer and schedule."""

import math

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import Logger
from sklearn import metrics
from torch import nn
from torch.nn import functional

from dlproj.config.data import DataSpec, Kind
from dlproj.config.layers import LayerPart
from dlproj.config.mlp import MLPConfig
from dlproj.config.model import Loss
from dlproj.config.optim import AdamConfig, AdamWConfig, SGDConfig
from dlproj.config.rnn import RNNConfig
from dlproj.config.scheduler import CosineConfig, PlateauConfig, SchedulerConfig, StepConfig
from dlproj.data.batches import EvaluationBatches, Samples, TrainingBatches
from dlproj.models.metrics import TrainingSums

# Lightning 2.6 asks torch's tree utilities for something that torch 2.15 calls deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)")
SPEC = DataSpec(Kind.features, (6,), ("a", "b", "c"))
TRAIN, VAL = 50, 23
FROZEN = SGDConfig(learning_rate=1e-30)  # training metrics are then those of one and the same network
MODELS = {
    "mlp": MLPConfig(hidden=[5]),
    "mlp with penalty": MLPConfig(hidden=[5], weight_l2=0.01, bias_l1=0.1),
    "rnn": RNNConfig(hidden=[4]),
    "rnn with penalty": RNNConfig(hidden=[4], recurrent_l2=0.05),
}


class Rows(Logger):
    """Keeps what is logged."""

    name, version = "rows", 0

    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append(metrics)

    def log_hyperparams(self, params, *args, **kwargs):
        pass


def samples(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return Samples(torch.randn(count, 6, generator=generator), torch.randint(3, (count,), generator=generator))


def batches():
    train = TrainingBatches(samples(TRAIN, 1), 8, 0, lambda inputs, *_: inputs)
    return train, EvaluationBatches(samples(VAL, 2), 10, lambda inputs: inputs)


def trainer_for(epochs, **settings):
    return pl.Trainer(
        **settings,
        accelerator="cpu",
        max_epochs=epochs,
        logger=Rows(),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )


def fitted(config, optim=FROZEN, scheduler=None, epochs=1):
    model = config.build(SPEC, optim, scheduler or SchedulerConfig())
    trainer = trainer_for(epochs)
    trainer.fit(model, *batches())
    return model, trainer


def logged(trainer, name):
    return [row[name] for row in trainer.logger.rows if name in row]


def alone(config):
    """A model as it is inside an epoch, without a trainer."""
    model = config.build(SPEC, SGDConfig(), SchedulerConfig())
    model.training_sums = TrainingSums(torch.device("cpu"))
    return model


def batch():
    data = samples(8, 3)
    return data.inputs, data.targets


@pytest.mark.parametrize("name", MODELS)
def test_training_step_returns_the_data_loss_and_the_penalty_and_adds_them_up_apart(name):
    model = alone(MODELS[name])
    inputs, targets = batch()
    data_loss = functional.cross_entropy(model(inputs), targets).item()
    penalty = model.penalties().item() if model.penalties else 0.0
    assert (penalty > 0) is ("penalty" in name)
    loss = model.training_step((inputs, targets), 0)
    assert loss.item() == pytest.approx(data_loss + penalty)
    expected = {"loss": data_loss + penalty, "accuracy": metrics.accuracy_score(targets, model(inputs).argmax(1))}
    if penalty:
        expected |= {"data_loss": data_loss, "penalty": penalty}
    assert model.running_metrics() == pytest.approx(expected)


@pytest.mark.parametrize("name", MODELS)
def test_training_step_logs_nothing(name, monkeypatch):
    model = alone(MODELS[name])

    def fail(*args, **kwargs):
        raise AssertionError("logged in a training step")

    monkeypatch.setattr(model, "log", fail)
    monkeypatch.setattr(model, "log_dict", fail)
    model.training_step(batch(), 0)
    with pytest.raises(AssertionError):
        model.log("anything", 1.0)


def test_the_loss_that_is_minimised_is_the_one_that_is_set():
    inputs, targets = batch()
    values = {loss: alone(MLPConfig(hidden=[5], loss=loss)).training_step((inputs, targets), 0).item() for loss in Loss}
    assert len(set(values.values())) == len(Loss)
    model = alone(MLPConfig(hidden=[5], loss=Loss.mean_squared_error))
    expected = metrics.mean_squared_error(np.eye(3)[targets], model(inputs).detach())
    assert model.training_step((inputs, targets), 0).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", MODELS)
def test_an_epoch_logs_each_splits_metrics_once(name):
    model, trainer = fitted(MODELS[name])
    common = {"loss", "accuracy"} | ({"data_loss", "penalty"} if "penalty" in name else set())
    expected = {f"train/{metric}" for metric in common} | {"learning_rate", "epoch"}
    expected |= {f"val/{metric}" for metric in common | {"top2_accuracy", "macro_f1"}}
    names = [metric for row in trainer.logger.rows for metric in row if metric != "epoch"]
    assert sorted(names) == sorted(expected - {"epoch"})
    model.eval()
    penalty = model.penalties().item() if model.penalties else 0.0
    for split, data in (("train", samples(TRAIN, 1)), ("val", samples(VAL, 2))):
        logits = model(data.inputs).detach()
        loss = metrics.log_loss(data.targets, logits.double().softmax(1), labels=range(3))
        assert logged(trainer, f"{split}/loss") == [pytest.approx(loss + penalty, rel=1e-5)]
        accuracy = metrics.accuracy_score(data.targets, logits.argmax(1))
        assert logged(trainer, f"{split}/accuracy") == [pytest.approx(accuracy)]
        if penalty:
            assert logged(trainer, f"{split}/data_loss") == [pytest.approx(loss, rel=1e-5)]
            assert logged(trainer, f"{split}/penalty") == [pytest.approx(penalty, rel=1e-5)]


def test_testing_logs_its_metrics_and_keeps_the_confusion_matrix():
    model = MODELS["mlp with penalty"].build(SPEC, FROZEN, SchedulerConfig())
    trainer = trainer_for(1)
    trainer.test(model, batches()[1], verbose=False)
    data = samples(VAL, 2)
    with torch.no_grad():
        logits = model.eval()(data.inputs)
        penalty = model.penalties().item()
    predicted = logits.argmax(1)
    assert model.test_confusion_matrix == metrics.confusion_matrix(data.targets, predicted, labels=range(3)).tolist()
    loss = metrics.log_loss(data.targets, logits.double().softmax(1), labels=range(3))
    expected = {
        "test/loss": loss + penalty,
        "test/data_loss": loss,
        "test/penalty": penalty,
        "test/accuracy": metrics.accuracy_score(data.targets, predicted),
        "test/macro_f1": metrics.f1_score(data.targets, predicted, average="macro"),
        "test/top2_accuracy": metrics.top_k_accuracy_score(data.targets, logits.numpy(), k=2, labels=range(3)),
    }
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert found == pytest.approx(expected, rel=1e-5)


def test_training_accuracy_is_the_one_with_dropout_on_and_validation_accuracy_the_one_without():
    config = MLPConfig(hidden=[{"units": 5, "dropout": 0.99}])
    model, trainer = fitted(config)
    data = samples(TRAIN, 1)
    clean = functional.cross_entropy(model.eval()(data.inputs), data.targets).item()
    assert logged(trainer, "train/loss")[0] != pytest.approx(clean, rel=1e-3)
    data = samples(VAL, 2)
    clean = functional.cross_entropy(model.eval()(data.inputs), data.targets).item()
    assert logged(trainer, "val/loss") == [pytest.approx(clean, rel=1e-5)]


@pytest.mark.parametrize("name", MODELS)
def test_training_lowers_the_training_loss(name):
    _, trainer = fitted(MODELS[name], AdamConfig(learning_rate=0.02), epochs=6)
    losses = logged(trainer, "train/loss")
    assert len(losses) == 6
    assert losses[-1] < losses[0] - 0.01


def clipped(gradients, algorithm, largest):
    """The definition, in float64."""
    if algorithm == "value":
        return [gradient.clip(-largest, largest) for gradient in gradients]
    norm = math.sqrt(sum((gradient**2).sum() for gradient in gradients))
    return [gradient * min(1, largest / norm) for gradient in gradients]


def trained_by_hand(model, optimizer, precision, algorithm, largest):
    """The weights after an epoch of torch's own steps, with gradients that NumPy clips."""
    parameters = list(model.parameters())
    for inputs, targets in batches()[0]:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = model.training_step((inputs.to(model.dtype), targets), 0)
        loss.backward()
        gradients = [parameter.grad.double().numpy() for parameter in parameters]
        for parameter, gradient in zip(parameters, clipped(gradients, algorithm, largest), strict=True):
            parameter.grad = torch.from_numpy(gradient).to(parameter.dtype)
        optimizer.step()
    return torch.cat([parameter.detach().flatten().double() for parameter in parameters])


@pytest.mark.parametrize(
    ("name", "algorithm", "largest"),
    [("mlp with penalty", "norm", 0.1), ("rnn with penalty", "norm", 0.1), ("mlp with penalty", "value", 0.02)],
)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
@pytest.mark.parametrize(
    ("optim", "theirs"),
    [
        (SGDConfig(learning_rate=0.5), lambda parameters: torch.optim.SGD(parameters, 0.5)),
        (AdamConfig(learning_rate=0.05), lambda parameters: torch.optim.Adam(parameters, 0.05)),
        (AdamWConfig(learning_rate=0.05), lambda parameters: torch.optim.AdamW(parameters, 0.05)),
    ],
    ids=["SGD", "Adam", "AdamW"],
)
def test_gradients_are_clipped_as_by_hand_at_each_precision(name, optim, theirs, precision, algorithm, largest):
    model = MODELS[name].build(SPEC, optim, SchedulerConfig())
    model.to(torch.bfloat16 if precision == "bf16-true" else torch.float32)
    found = []
    for bound in (largest, math.inf):
        twin = alone(MODELS[name]).to(model.dtype)
        twin.load_state_dict(model.state_dict())
        found.append(trained_by_hand(twin, theirs(twin.parameters()), precision, algorithm, bound))
    trainer = trainer_for(1, precision=precision, gradient_clip_val=largest, gradient_clip_algorithm=algorithm)
    trainer.fit(model, *batches())
    ours = torch.cat([parameter.detach().flatten().double() for parameter in model.parameters()])
    tolerance = 0.02 if precision == "bf16-true" else 1e-5  # weights near 1 are 1/256 apart in bfloat16
    by_hand, unclipped = ((ours - other).abs().max() for other in found)
    assert by_hand < tolerance
    assert unclipped > 2 * tolerance


def test_every_epochs_samples_are_counted():
    model, _ = fitted(MODELS["mlp"], epochs=3)
    assert model.samples_trained == 3 * TRAIN


STEPS = -(-TRAIN // 8)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (SchedulerConfig(), [1.0] * 5),
        (StepConfig(step_size=2, gamma=0.5), [1.0, 1.0, 0.5, 0.5, 0.25]),
        # Warm-up in the first epoch from 1 / (steps + 1), then half a cosine by the step.
        (
            CosineConfig(warmup_epochs=1.0),
            [1 / (STEPS + 1)] + [(1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)],
        ),
        # At such a rate the accuracy never changes: nothing is better than the first epoch.
        (PlateauConfig(monitor="val/accuracy", factor=0.5, patience=2), [1.0, 1.0, 1.0, 0.5, 0.5]),
    ],
)
def test_the_rate_that_an_epoch_starts_with_is_logged(scheduler, expected):
    _, trainer = fitted(MODELS["mlp"], SGDConfig(learning_rate=1e-6), scheduler, epochs=5)
    assert logged(trainer, "learning_rate") == pytest.approx([1e-6 * rate for rate in expected], rel=1e-5, abs=0)


def test_parameter_count_is_of_all_parameters():
    model = alone(MODELS["mlp"])
    assert model.parameter_count() == 6 * 5 + 5 + 5 * 3 + 3


NORMALISED = {
    "hidden": [4],
    "batch_norm": True,
    "order": [LayerPart.linear, LayerPart.activation, LayerPart.batch_norm],
}


@pytest.mark.parametrize("eval_mode", [True, False])
def test_without_eval_mode_training_validation_and_test_are_those_of_a_loop_that_never_calls_eval(eval_mode):
    """Validation moves the running statistics, and each of its batches is normalised by itself."""
    model = MLPConfig(**NORMALISED, eval_mode=eval_mode).build(SPEC, SGDConfig(learning_rate=0.1), SchedulerConfig())
    theirs = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 3))
    theirs.load_state_dict(dict(zip(theirs.state_dict(), model.state_dict().values(), strict=True)))
    train, val = batches()
    trainer = trainer_for(2)
    trainer.fit(model, train, val)
    logged = {split: trainer.callback_metrics[f"{split}/loss"].item() for split in ("train", "val")}
    optimizer = torch.optim.SGD(theirs.parameters(), 0.1)
    again, val = batches()
    for epoch in range(2):
        again.batch_sampler.sampler.set_epoch(epoch)
        train_loss = 0.0
        for inputs, targets in again:
            optimizer.zero_grad()
            loss = functional.cross_entropy(theirs(inputs), targets)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * len(targets) / TRAIN
        theirs.train(not eval_mode)
        with torch.no_grad():
            val_loss = sum(functional.cross_entropy(theirs(x), y, reduction="sum").item() / VAL for x, y in val)
        theirs.train()
    assert logged == pytest.approx({"train": train_loss, "val": val_loss}, rel=1e-5)
    for ours, other in zip(model.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, other)
    assert int(model.hidden[0].batch_norm.num_batches_tracked) == 2 * (7 if eval_mode else 7 + 3)
    assert model.training


def test_without_eval_mode_a_first_validation_gives_the_running_mean_worked_out_by_hand():
    """Weights of zero: each unit puts out max(0, bias), so all batches have that mean, and no variance."""
    model = MLPConfig(**NORMALISED, eval_mode=False).build(SPEC, FROZEN, SchedulerConfig())
    with torch.no_grad():
        model.hidden[0].linear.weight.zero_()
        model.hidden[0].linear.bias.copy_(torch.tensor([1.0, 2.0, 3.0, -4.0]))
    trainer = trainer_for(1)
    _, val = batches()  # three batches, momentum 0.1: (1 − 0.9³) · mean, and variance 0.9³
    trainer.validate(model, val, verbose=False)
    found = model.hidden[0].batch_norm
    torch.testing.assert_close(found.running_mean, 0.271 * torch.tensor([1.0, 2.0, 3.0, 0.0]))
    torch.testing.assert_close(found.running_var, torch.full((4,), 0.729))
    trainer.test(model, val, verbose=False)
    torch.testing.assert_close(found.running_mean, (1 - 0.9**6) * torch.tensor([1.0, 2.0, 3.0, 0.0]))


def test_without_eval_mode_dropout_drops_in_the_test_too():
    model = MLPConfig(hidden=[50], dropout=0.5, eval_mode=False).build(SPEC, FROZEN, SchedulerConfig())
    _, val = batches()
    found = {trainer_for(1).test(model, val, verbose=False)[0]["test/loss"] for _ in range(3)}
    assert len(found) == 3
