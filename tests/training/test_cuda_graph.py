"""Steps captured as a CUDA graph: the weights of single steps.

On the CPU everything but the capture itself is tested: there, a recording repeats the steps in Python.
"""

import pytest
import pytorch_lightning as pl
import torch

from dlproj.training.averaging import AverageWeights
from dlproj.training.callbacks import build_callbacks
from dlproj.training.cuda_graph import CapturedSteps, _capturable, why_not_capturable
from dlproj.training.run import train
from dlproj.training.stepping import StepsPerExecution
from dlproj.training.trainer import build_trainer, prepare_process

# Lightning 2.6 asks torch's tree utilities for something that torch 2.15 calls deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)")
# 45 batches of 29 an epoch, the last one shorter: blocks of 7 of which the last holds 3.
SETTINGS = [
    *("data=digits", "data.batch_size=29", "model.hidden=[16]", "trainer.max_epochs=3"),
    *("trainer.threads=1", "trainer.progress_bar=false", "figures=none", "trainer.steps_per_execution=7"),
]
gpu = pytest.mark.gpu


class Captured(pl.Callback):
    """Has a fit on the CPU take the way of one on a GPU, and counts what is replayed."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def on_train_start(self, trainer, model):
        (optimizer,) = trainer.optimizers

        def record(function):
            self.recorded += 1

            def replay():
                self.replayed += 1
                groups = [dict(group) for group in optimizer.param_groups]
                function()
                for group, old in zip(optimizer.param_groups, groups, strict=True):
                    group.update(old)

            return replay

        model.stepper.captured = CapturedSteps(model.stepper.bare_steps, optimizer, record)


def trained(composed, folder, *overrides, callback=None):
    config = composed(*SETTINGS, *overrides)
    prepare_process(config.trainer)
    pl.seed_everything(0, verbose=False)
    data = config.data.build(0)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    own = [AverageWeights(config.optim)] if config.optim.averages() else []
    callbacks = [*own, *build_callbacks(config.callbacks, folder), *([callback] if callback else [])]
    trainer = build_trainer(config.trainer, callbacks, folder)
    trainer.fit(model, datamodule=data)
    return trainer, {key: value.clone() for key, value in model.state_dict().items()}


def assert_close(first, second, tolerance):
    assert first.keys() == second.keys()
    assert all((first[key].double() - second[key].double()).abs().max() <= tolerance for key in first)


WAYS = [
    ["optim=adam"],
    ["optim=adamw", "model.dropout=0.3"],
    ["optim=sgd", "optim.learning_rate=0.1"],
    ["optim=nesterov", "scheduler=step", "scheduler.step_size=1"],
    ["trainer.gradient_clip_val=0.1", "scheduler.warmup_epochs=0.5"],
    ["optim.ema_decay=0.9", "optim.layer_decay=0.5", "optim.learning_rate=0.0009765625", "scheduler=constant"],
    ["optim.swa_start=0.3", "scheduler=one_cycle", "scheduler.cycle_momentum=false"],
    # Rates that are the same in float32, in which replayed steps read them: these ways would show the difference.
    ["model.weight_l2=0.001", "model.batch_norm=true", "scheduler=plateau", "optim.learning_rate=0.0009765625"],
    [
        "model.order=[linear,activation,batch_norm,activation]",
        "model.batch_norm=true",
        "model.eval_mode=false",
        "model.activation=swish",
        "model.swish_beta=2",
        "model.bias=false",
        "optim.learning_rate=0.0009765625",
        "scheduler=constant",
    ],
    ["data.mixup=0.4", "model.class_weights=balanced", "model.label_smoothing=0.1", "scheduler=constant"],
    ["trainer.precision=bf16-mixed", "scheduler=constant", "optim.learning_rate=0.0009765625"],
]


@pytest.mark.parametrize("overrides", WAYS)
def test_replayed_steps_end_where_single_ones_do(overrides, composed, tmp_path):
    cpu, callback = "trainer.accelerator=cpu", Captured()
    one, expected = trained(composed, tmp_path / "one", cpu, *overrides)
    other, found = trained(composed, tmp_path / "other", cpu, *overrides, callback=callback)
    # Two full blocks before: one that is done step by step, and one that is captured, which replays it, too.
    assert (callback.recorded, callback.replayed) == (1, 3 * 6 - 1)
    assert_close(expected, found, 2e-6)
    assert other.global_step == one.global_step
    for key in ("train/accuracy", "learning_rate"):
        assert float(other.callback_metrics[key]) == pytest.approx(float(one.callback_metrics[key]), rel=1e-3)
    for first, second in zip(one.lr_scheduler_configs, other.lr_scheduler_configs, strict=True):
        assert first.scheduler.last_epoch == second.scheduler.last_epoch


@pytest.mark.parametrize("kind", [RuntimeError, AssertionError])  # the latter by optimizers of torch
def test_steps_that_cannot_be_captured_are_done_one_by_one_and_the_log_says_why(kind, composed, tmp_path, caplog):
    class Fails(Captured):
        def on_train_start(self, trainer, model):
            def record(function):
                nothing = torch.full((29, 10), float("nan"))
                model.training_sums.add(nothing, torch.zeros(29), torch.tensor(float("nan")), None)
                raise kind("operation not permitted when stream is capturing\nmore")

            model.stepper.captured = CapturedSteps(model.stepper.bare_steps, trainer.optimizers[0], record)

    one, expected = trained(composed, tmp_path / "one", "trainer.accelerator=cpu")
    other, found = trained(composed, tmp_path / "other", "trainer.accelerator=cpu", callback=Fails())
    assert_close(expected, found, 0)
    assert other.callback_metrics["train/loss"] == one.callback_metrics["train/loss"]
    (message,) = [record.message for record in caplog.records if "CUDA graph" in record.message]
    assert message == "no CUDA graph: operation not permitted when stream is capturing"


def test_training_ends_at_the_step_that_is_asked_for(composed, tmp_path):
    config = composed(*SETTINGS, "trainer.accelerator=cpu")
    data = config.data.build(0)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    trainer = build_trainer(config.trainer, [Captured()], tmp_path)
    trainer.fit_loop.epoch_loop.max_steps = 17
    trainer.fit(model, datamodule=data)
    assert trainer.global_step == 17


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw"])
def test_most_optimizers_can_be_captured(name, composed):
    assert why_not_capturable(composed("data=digits", f"optim={name}").optim.build([torch.zeros(1)])) is None


def test_momentum_that_changes_with_each_step_cannot_be_captured(composed, tmp_path):
    class Ask(pl.Callback):
        def on_train_start(self, trainer, model):
            (steps,) = [one for one in trainer.callbacks if isinstance(one, StepsPerExecution)]
            self.reason = steps._why_no_graph(trainer)

    for optim, reason in (
        ("adam", "the momentum changes with each step: set scheduler.cycle_momentum=false"),
        ("sgd", None),
    ):
        ask = Ask()
        trained(
            composed, tmp_path / optim, "trainer.accelerator=cpu", "scheduler=one_cycle", f"optim={optim}", callback=ask
        )
        assert ask.reason == reason


def test_adagrad_cannot_be_captured(composed):
    optimizer = composed("data=digits", "optim=adagrad").optim.build([torch.zeros(1)])
    assert why_not_capturable(optimizer) == "Adagrad reads its state on the host"


class OfOnesOwn(torch.optim.SGD):
    """A step of it may do anything."""


def test_an_optimizer_of_ones_own_is_not_captured():
    assert why_not_capturable(OfOnesOwn([torch.zeros(1)])) == "OfOnesOwn is no optimizer of torch's own"


def test_all_that_an_optimizer_keeps_is_on_the_device_while_it_is_captured():
    weights = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.NAdam([weights])
    weights.grad = torch.ones(3)
    optimizer.step()
    with _capturable(optimizer, torch.device("meta")):
        assert all(value.is_meta for value in optimizer.state[weights].values())
        assert optimizer.param_groups[0]["capturable"]
    assert not optimizer.param_groups[0]["capturable"]


OF_TORCH = [
    ["optim=custom", f"optim.target=torch.optim.{name}"]
    for name in ("NAdam", "RAdam", "Adamax", "Adadelta", "ASGD", "Rprop", "Adafactor")
]


@gpu
@pytest.mark.parametrize(
    "overrides",
    [
        *OF_TORCH,
        *WAYS,
        ["optim=rmsprop"],
        ["optim=adagrad"],
        ["model=lstm", "model.hidden=[8]", "model.image_reading=rows"],
    ],
)
def test_a_gpu_ends_with_the_same_weights_with_and_without_the_graph(overrides, composed, tmp_path):
    half = "trainer.precision=bf16-mixed" in overrides
    _, expected = trained(composed, tmp_path / "one", "trainer=gpu", "trainer.cuda_graph=false", *overrides)
    trainer, found = trained(composed, tmp_path / "other", "trainer=gpu", *overrides)
    assert_close(expected, found, 1e-2 if half else 1e-4)
    assert trainer.datamodule.train.inputs.is_cuda


@gpu
@pytest.mark.parametrize("overrides", [[], ["model.dropout=0.2"], ["optim=rmsprop"], ["optim=momentum"]])
def test_a_gpu_replays_the_graph(overrides, composed, tmp_path, caplog):
    caplog.set_level("INFO")  # at which the reasons against a graph are logged
    train(composed(*SETTINGS, "trainer=gpu", *overrides), tmp_path)
    assert "no CUDA graph" not in caplog.text


@gpu
def test_a_gpu_trains_without_making_the_host_wait(composed, tmp_path):
    class NoWaiting(pl.Callback):
        def on_train_epoch_start(self, trainer, model):
            if trainer.current_epoch == 1:  # the first one has made and captured everything
                torch.cuda.set_sync_debug_mode("error")

        def on_validation_start(self, *args):
            torch.cuda.set_sync_debug_mode("default")

    trained(composed, tmp_path, "trainer=gpu", "trainer.progress_bar=true", callback=NoWaiting())  # torch raises
    assert torch.cuda.get_sync_debug_mode() == 0
