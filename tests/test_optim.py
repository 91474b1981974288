"""Optimizers and schedules: what they build, the rate over the epochs by hand formulas, and what they refuse."""

import math
import re

import pytest
import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop

from dlproj.config.checks import ConfigurationError
from dlproj.config.optim import AdagradConfig, AdamConfig, AdamWConfig, RMSpropConfig, SGDConfig
from dlproj.config.scheduler import (
    CosineConfig,
    ExponentialConfig,
    OneCycleConfig,
    PlateauConfig,
    SchedulerConfig,
    StepConfig,
)


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
    (schedule,) = config.schedules(optimizer, epochs, steps)
    by_step = schedule.get("interval") == "step"
    found = [optimizer.param_groups[0]["lr"]]
    for time in range(steps if by_step else epochs):
        optimizer.step()
        schedule["scheduler"].step(*([values[time]] if values else []))
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_a_constant_rate_has_no_schedule():
    assert SchedulerConfig().schedules(SGD([parameter()], 0.8), 5, 50) == []


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


def rates_by_step(config, epochs, steps_an_epoch, values=None, optimizer=None):
    """The rate of each step, where both the warm-up and the schedule are stepped as in training."""
    optimizer = optimizer or SGD([parameter()], 0.8)
    schedules = config.schedules(optimizer, epochs, epochs * steps_an_epoch)
    found = []
    for epoch in range(epochs):
        for _ in range(steps_an_epoch):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for schedule in schedules:
                if schedule.get("interval") == "step":
                    schedule["scheduler"].step()
        for schedule in schedules:
            if schedule.get("interval") != "step" and epoch >= config.warmup_epochs:
                schedule["scheduler"].step(*([values[epoch]] if values else []))
    return found


RISE = [0.8 * (step + 1) / 16 for step in range(15)]  # 1.5 epochs of 10 steps


@pytest.mark.parametrize(
    ("config", "after"),
    [
        (SchedulerConfig(1.5), [0.8] * 45),
        (StepConfig(1.5, step_size=2, gamma=0.5), [0.8] * 25 + [0.4] * 20),
        (ExponentialConfig(1.5, gamma=0.5), [0.8] * 15 + [0.4] * 10 + [0.2] * 10 + [0.1] * 10),
    ],
    ids=str,
)
def test_every_schedule_starts_after_its_warm_up(config, after):
    assert rates_by_step(config, 6, 10) == pytest.approx(RISE + after)


def test_plateau_does_not_count_the_epochs_of_the_warm_up():
    config = PlateauConfig(2.0, factor=0.5, patience=1)
    losses = [1.0, 2.0, 3.0, 3.0, 3.0]  # the first two are of the warm-up; the third is the best, the fourth is not
    rise = [0.8 * (step + 1) / 21 for step in range(20)]
    assert rates_by_step(config, 5, 10, losses) == pytest.approx(rise + [0.8] * 20 + [0.4] * 10)


def one_cycle(step, steps, pct_start, div_factor, final_div_factor):
    """Smith & Topin's cycle with fast.ai's cosines, for a highest rate of 0.8."""
    low, end, top = 0.8 / div_factor, 0.8 / div_factor / final_div_factor, pct_start * steps - 1
    start, stop, share = (low, 0.8, step / top) if step <= top else (0.8, end, (step - top) / (steps - 1 - top))
    return stop + (start - stop) * (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize(("steps", "pct_start"), [(50, 0.3), (100, 0.25), (20, 0.5)])
def test_one_cycle_rises_to_the_rate_and_falls_to_almost_nothing(steps, pct_start):
    config = OneCycleConfig(pct_start=pct_start, div_factor=10.0, final_div_factor=100.0)
    expected = [one_cycle(step, steps, pct_start, 10.0, 100.0) for step in range(steps)]
    assert rates(config, 5, steps)[:steps] == pytest.approx(expected)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("pct_start", [0.01, 0.1, 0.5, 0.99])
def test_one_cycle_has_a_rate_for_each_step_of_the_shortest_training(steps, pct_start):
    assert all(0 < rate <= 0.8 for rate in rates(OneCycleConfig(pct_start=pct_start), 1, steps)[:steps])


@pytest.mark.parametrize(
    ("optim", "name", "cycled"),
    [
        (SGDConfig(momentum=0.9), "momentum", True),
        (SGDConfig(), "momentum", False),
        (RMSpropConfig(momentum=0.9), "momentum", True),
        (AdamConfig(), "betas", True),
        (AdagradConfig(), "eps", False),
    ],
    ids=str,
)
def test_one_cycle_moves_momentum_against_the_rate_where_there_is_any(optim, name, cycled):
    optimizer = optim.build([parameter()])
    before = optimizer.param_groups[0][name]
    (schedule,) = OneCycleConfig(pct_start=0.5).schedules(optimizer, 1, 20)
    value = lambda: optimizer.param_groups[0]["betas"][0] if name == "betas" else optimizer.param_groups[0][name]
    found = []
    for _ in range(10):
        found.append(value())
        optimizer.step()
        schedule["scheduler"].step()
    if cycled:
        assert (found[0], found[9]) == pytest.approx((0.95, 0.85))
    else:
        assert set(found) == {before}


def test_a_frozen_layer_counts_in_the_decay_of_those_before_it(composed):
    config = composed("data=digits", "model.hidden=[16,8]", "optim.learning_rate=0.1", "optim.layer_decay=0.5")
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    model.hidden[1].requires_grad_(False)
    rates = {
        group["params"][0].shape[0]: group["lr"] for group in config.optim.groups(model.execution.trained_layers())
    }
    assert rates == {10: 0.1, 16: 0.025}


@pytest.mark.parametrize("scheduler", ["constant", "step", "exponential", "cosine", "plateau", "one_cycle"])
def test_the_rate_of_a_layer_is_that_of_the_next_one_times_the_decay(scheduler, composed):
    shared = ["data=digits", "model.hidden=[16,8]", f"scheduler={scheduler}", "optim.learning_rate=0.1"]
    config = composed(*shared, "optim.layer_decay=0.5", *(["scheduler.step_size=1"] if scheduler == "step" else []))
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    optimizer = config.optim.build(config.optim.groups(model.execution.trained_layers()))
    shapes = [[tuple(value.shape) for value in group["params"]] for group in optimizer.param_groups]
    assert shapes == [[(10, 8), (10,)], [(8, 16), (8,)], [(16, 64), (16,)]]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.05, 0.025]
    schedules = config.scheduler.schedules(optimizer, 10, 10)
    for _ in range(7):
        optimizer.step()
        for schedule in schedules:
            schedule["scheduler"].step(*([1.0] if scheduler == "plateau" else []))
        first, second, third = (group["lr"] for group in optimizer.param_groups)
        assert (second, third) == pytest.approx((first / 2, first / 4))
    assert scheduler == "constant" or first != 0.1


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
    assert rates(PlateauConfig(monitor="val/accuracy", factor=0.5, patience=1), 8, 80, rising) == [0.8] * 9
    assert rates(PlateauConfig(monitor="val/loss", factor=0.5, patience=1), 8, 80, rising)[-1] < 0.8


def test_plateau_stops_at_its_lowest_rate():
    assert rates(PlateauConfig(factor=0.1, patience=1, min_learning_rate=0.05), 9, 90, [1.0] * 9)[-1] == 0.05


def test_plateau_tells_lightning_what_to_watch():
    assert PlateauConfig(monitor="val/macro_f1").build(SGD([parameter()], 0.8), 5, 50)["monitor"] == "val/macro_f1"


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
        (AdamConfig, "optim.layer_decay", 0.0, "(0, 1]"),
        (AdamConfig, "optim.ema_decay", 1.0, "(0, 1)"),
        (AdamConfig, "optim.swa_start", 1.0, "[0, 1)"),
        (SchedulerConfig, "scheduler.warmup_epochs", -1.0, "[0, inf)"),
        (OneCycleConfig, "scheduler.pct_start", 1.0, "(0, 1)"),
        (OneCycleConfig, "scheduler.div_factor", 0.5, "[1, inf)"),
        (OneCycleConfig, "scheduler.max_momentum", 1.0, "[0, 1)"),
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
