"""Optimizers and schedules: what they build, the rate over the epochs by hand formulas, and what they refuse."""

import math
import re

import pytest
import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop

from dlproj.config.checks import ConfigurationError
from dlproj.config.optim import AdagradConfig, AdamConfig, AdamWConfig, RMSpropConfig, SGDConfig
from dlproj.config.scheduler import CosineConfig, ExponentialConfig, PlateauConfig, SchedulerConfig, StepConfig


def parameter(value=1.0):
    return torch.nn.Parameter(torch.full((3,), value))


@pytest.mark.parametrize(
    ("config", "cls", "arguments"),
    [
        (SGDConfig(), SGD, {"lr": 0.01, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False}),
        (
            SGDConfig(0.2, 0.3, momentum=0.4, nesterov=True),
            SGD,
            {"lr": 0.2, "momentum": 0.4, "weight_decay": 0.3, "nesterov": True, "dampening": 0},
        ),
        (
            RMSpropConfig(),
            RMSprop,
            {"lr": 0.001, "alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.0, "centered": False},
        ),
        (
            RMSpropConfig(0.2, 0.3, alpha=0.4, epsilon=0.5, momentum=0.6, centered=True),
            RMSprop,
            {"lr": 0.2, "weight_decay": 0.3, "alpha": 0.4, "eps": 0.5, "momentum": 0.6, "centered": True},
        ),
        (AdamConfig(), Adam, {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}),
        (
            AdamConfig(0.2, 0.3, beta1=0.4, beta2=0.5, epsilon=0.6, amsgrad=True),
            Adam,
            {"lr": 0.2, "betas": (0.4, 0.5), "eps": 0.6, "weight_decay": 0.3, "amsgrad": True},
        ),
        (
            AdamWConfig(),
            AdamW,
            {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False},
        ),
        (
            AdamWConfig(0.2, 0.3, beta1=0.4, beta2=0.5, epsilon=0.6, amsgrad=True),
            AdamW,
            {"lr": 0.2, "betas": (0.4, 0.5), "eps": 0.6, "weight_decay": 0.3, "amsgrad": True},
        ),
        (
            AdagradConfig(),
            Adagrad,
            {"lr": 0.01, "eps": 1e-10, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "lr_decay": 0},
        ),
        (
            AdagradConfig(0.2, 0.3, epsilon=0.4, initial_accumulator_value=0.5),
            Adagrad,
            {"lr": 0.2, "weight_decay": 0.3, "eps": 0.4, "initial_accumulator_value": 0.5, "lr_decay": 0},
        ),
    ],
    ids=str,
)
def test_optimizer_and_its_arguments(config, cls, arguments):
    optimizer = config.build([parameter()])
    assert type(optimizer) is cls
    assert {name: optimizer.defaults[name] for name in arguments} == arguments


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SGDConfig(0.1, weight_decay=0.5), 2.0 - 0.1 * (1.0 + 0.5 * 2.0)),
        # The first step of Adam is the rate, whatever the gradient's size; of AdamW too, beside the decay.
        (AdamConfig(0.1, weight_decay=0.5), 2.0 - 0.1),
        (AdamWConfig(0.1, weight_decay=0.5), 2.0 * (1 - 0.1 * 0.5) - 0.1),
    ],
    ids=str,
)
def test_weight_decay_joins_the_gradient_but_for_adamw(config, expected):
    weights = parameter(2.0)
    optimizer = config.build([weights])
    weights.grad = torch.ones(3)
    optimizer.step()
    torch.testing.assert_close(weights.detach(), torch.full((3,), expected))


def rates(config, epochs, steps, values=None):
    """The rate at the start of each epoch, or of each step of a schedule by the step, and after the last one."""
    optimizer = SGD([parameter()], 0.8)
    schedule = config.build(optimizer, epochs, steps)
    by_step = schedule.get("interval") == "step"
    found = [optimizer.param_groups[0]["lr"]]
    for time in range(steps if by_step else epochs):
        optimizer.step()
        schedule["scheduler"].step(*([values[time]] if values else []))
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_a_constant_rate_has_no_schedule():
    assert SchedulerConfig().build(SGD([parameter()], 0.8), 5, 50) == {}


def test_step_multiplies_the_rate_every_so_many_epochs():
    found = rates(StepConfig(step_size=3, gamma=0.5), epochs=7, steps=70)
    assert found == pytest.approx([0.8] * 3 + [0.4] * 3 + [0.2] * 2)


def test_exponential_multiplies_the_rate_after_each_epoch():
    assert rates(ExponentialConfig(gamma=0.9), epochs=6, steps=60) == pytest.approx([0.8 * 0.9**e for e in range(7)])


@pytest.mark.parametrize(("warmup_epochs", "warmup_steps"), [(0.0, 0), (0.5, 5), (1.0, 10), (4.9, 49)])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_rises_over_the_warm_up_and_falls_to_the_end(warmup_epochs, warmup_steps, final):
    def formula(step):
        if step < warmup_steps:
            return 0.8 * (step + 1) / (warmup_steps + 1)
        share = (step - warmup_steps) / (50 - warmup_steps)
        return final + (0.8 - final) * (1 + math.cos(math.pi * share)) / 2

    found = rates(CosineConfig(warmup_epochs, final), epochs=5, steps=50)
    assert found == pytest.approx([formula(step) for step in range(51)], abs=1e-12)


def test_plateau_lowers_the_rate_after_so_many_epochs_without_improvement():
    losses = [3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    #         best  best  1    2    best  1    2    1    2
    expected = [0.8] * 4 + [0.4] * 3 + [0.2] * 2 + [0.1]
    assert rates(PlateauConfig(factor=0.5, patience=2), 9, 90, losses) == pytest.approx(expected)


def test_plateau_counts_the_least_improvement():
    losses = [1.0 - 1e-6 * epoch for epoch in range(8)]
    assert rates(PlateauConfig(factor=0.5, patience=1), 8, 80, losses) == [0.8] * 9


def test_plateau_watches_for_more_where_more_is_better():
    rising = [0.1 * epoch for epoch in range(8)]
    assert rates(PlateauConfig("val/accuracy", factor=0.5, patience=1), 8, 80, rising) == [0.8] * 9
    assert rates(PlateauConfig("val/loss", factor=0.5, patience=1), 8, 80, rising)[-1] < 0.8


def test_plateau_stops_at_its_lowest_rate():
    assert rates(PlateauConfig(factor=0.1, patience=1, min_learning_rate=0.05), 9, 90, [1.0] * 9)[-1] == 0.05


def test_plateau_tells_lightning_what_to_watch():
    assert PlateauConfig("val/macro_f1").build(SGD([parameter()], 0.8), 5, 50)["monitor"] == "val/macro_f1"


def test_plateau_refuses_a_metric_that_is_not_logged():
    with pytest.raises(ConfigurationError, match=re.escape("scheduler.monitor=val/los")):
        PlateauConfig(monitor="val/los")


@pytest.mark.parametrize("cls", [SGDConfig, RMSpropConfig, AdamConfig, AdamWConfig, AdagradConfig])
@pytest.mark.parametrize(
    ("name", "value", "interval"),
    [
        ("learning_rate", 0.0, "(0, inf)"),
        ("learning_rate", float("inf"), "(0, inf)"),
        ("learning_rate", float("nan"), "(0, inf)"),
        ("weight_decay", -0.1, "[0, inf)"),
    ],
)
def test_every_optimizer_refuses_an_impossible_rate_and_decay(cls, name, value, interval):
    message = f"optim.{name}={value} must be in {interval}"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        cls(**{name: value})


@pytest.mark.parametrize(
    ("cls", "key", "value", "interval"),
    [
        (SGDConfig, "optim.momentum", 1.0, "[0, 1)"),
        (RMSpropConfig, "optim.alpha", 1.0, "[0, 1)"),
        (RMSpropConfig, "optim.epsilon", 0.0, "(0, inf)"),
        (RMSpropConfig, "optim.momentum", -0.1, "[0, 1)"),
        (AdamConfig, "optim.beta1", 1.0, "[0, 1)"),
        (AdamConfig, "optim.beta2", -0.1, "[0, 1)"),
        (AdamConfig, "optim.epsilon", 0.0, "(0, inf)"),
        (AdamWConfig, "optim.beta1", 1.0, "[0, 1)"),
        (AdagradConfig, "optim.epsilon", 0.0, "(0, inf)"),
        (AdagradConfig, "optim.initial_accumulator_value", -0.1, "[0, inf)"),
        (StepConfig, "scheduler.step_size", 0, "[1, inf)"),
        (StepConfig, "scheduler.gamma", 1.1, "(0, 1]"),
        (ExponentialConfig, "scheduler.gamma", 0.0, "(0, 1]"),
        (CosineConfig, "scheduler.warmup_epochs", -1.0, "[0, inf)"),
        (CosineConfig, "scheduler.min_learning_rate", -1.0, "[0, inf)"),
        (PlateauConfig, "scheduler.factor", 1.0, "(0, 1)"),
        (PlateauConfig, "scheduler.patience", 0, "[1, inf)"),
        (PlateauConfig, "scheduler.min_learning_rate", -1.0, "[0, inf)"),
    ],
)
def test_impossible_settings_are_refused(cls, key, value, interval):
    message = f"{key}={value} must be in {interval}"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        cls(**{key.partition(".")[2]: value})


def test_nesterov_needs_momentum():
    message = "optim.nesterov=true needs optim.momentum above 0: set 0.9"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        SGDConfig(nesterov=True)
