"""Several batches a call change the speed alone: the weights are those of single batches, bit for bit."""

import itertools

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LambdaCallback, ModelCheckpoint, WeightAveraging
from torch.nn import functional

from dlproj.config.checks import ConfigurationError
from dlproj.config.trainer import TrainerConfig
from dlproj.runs.record import read_epochs
from dlproj.training.callbacks import build_callbacks
from dlproj.training.run import run, train
from dlproj.training.stepping import STEPS, StepsPerExecution
from dlproj.training.trainer import build_trainer

# Lightning 2.6 asks torch's tree utilities for something that torch 2.15 calls deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)")
# 45 batches an epoch, of 29 samples but for the last one's 17: blocks of 20, 20 and 5, or of 7 and a last one of 3.
QUICK = [
    *("data=digits", "data.batch_size=29", "model.hidden=[16]", "trainer.max_epochs=2"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false", "figures=none"),
]


def checkpoint(folder, which="last"):
    return torch.load(folder / "checkpoints" / f"{which}.ckpt", weights_only=True)


def equal(first, second):
    """Whether two nests of dicts, lists and tensors are the same to the bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def state(folder, which="last"):
    saved = checkpoint(folder, which)
    return [saved[part] for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step")]


def assert_alike(composed, folder, *overrides, steps=20):
    for number in (1, steps):
        train(composed(*QUICK, *overrides, f"trainer.steps_per_execution={number}"), folder / str(number))
    assert equal(state(folder / "1"), state(folder / str(steps)))
    assert equal(state(folder / "1", "best"), state(folder / str(steps), "best"))
    assert (folder / "1" / "metrics.csv").read_text() == (folder / str(steps) / "metrics.csv").read_text()


@pytest.mark.parametrize("optim", ["sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "adagrad"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_blocks_end_with_the_weights_of_single_batches(optim, dropout, composed, tmp_path):
    assert_alike(composed, tmp_path, f"optim={optim}", f"model.dropout={dropout}")


@pytest.mark.parametrize(
    "overrides",
    [
        ["scheduler=cosine", "scheduler.warmup_epochs=0.7"],
        ["scheduler=step", "scheduler.step_size=1"],
        ["scheduler=exponential"],
        ["scheduler=exponential", "scheduler.warmup_epochs=1.3"],
        ["scheduler=constant", "scheduler.warmup_epochs=0.5", "optim.layer_decay=0.5"],
        ["scheduler=plateau", "scheduler.patience=1", "scheduler.warmup_epochs=1", "optim.learning_rate=0.5"],
        ["scheduler=one_cycle", "optim=momentum", "optim.layer_decay=0.7"],
        ["trainer.max_steps=100", "scheduler.warmup_epochs=0.5"],  # 10 steps of the third epoch
        ["scheduler=plateau", "scheduler.patience=1", "scheduler.monitor=val/accuracy", "optim.learning_rate=0.5"],
        ["trainer.gradient_clip_val=0.1"],
        ["trainer.gradient_clip_val=0.01", "trainer.gradient_clip_algorithm=value"],
        ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=0.1"],  # its copies of the weights must not be old
        ["trainer.precision=64-true"],
        ["trainer.precision=bf16-true"],
        ["model.weight_l2=0.01", "model.batch_norm=true", "data.drop_last=true"],
        [
            *("model.order=[linear,activation,dropout,batch_norm,activation,dropout]", "model.batch_norm=true"),
            *("model.dropout=0.1", "model.eval_mode=false", "model.bias=false", "model.activation=prelu"),
        ],
        ["model=gru", "model.hidden=[8]", "model.image_reading=rows", "model.input_dropout=0.2"],
        ["trainer.limit_train_batches=14"],
        ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "optim.learning_rate=1"],
        ["data.batch_size=2000"],  # an epoch is one batch
        ["data.mixup=0.4", "model.class_weights=balanced", "model.label_smoothing=0.1", "data.random_flip=true"],
        ["model.loss=focal", "data.sampling=balanced", "model.hidden=[16,8]", "model.freeze=[hidden.0]"],
    ],
)
def test_blocks_end_with_the_weights_of_single_batches_whatever_else_is_set(overrides, composed, tmp_path):
    assert_alike(composed, tmp_path, "trainer.max_epochs=3", *overrides, steps=7)


def test_the_weights_are_those_of_a_bare_loop(composed, tmp_path):
    config = composed(*QUICK, "scheduler=constant")
    train(config, tmp_path)
    data = config.data.build(config.seed)
    data.setup()
    pl.seed_everything(config.seed, verbose=False)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    optimizer = torch.optim.Adam(model.parameters(), config.optim.learning_rate, fused=True)
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.batch_sampler.sampler.set_epoch(epoch)
        for inputs, targets in loader:
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    assert equal(dict(model.state_dict()), checkpoint(tmp_path)["state_dict"])


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists")
@pytest.mark.parametrize("steps", [1, 20])
@pytest.mark.parametrize(
    "scheduler",
    ["cosine", "step", "plateau", "one_cycle", "plateau scheduler.warmup_epochs=1.5", "cosine optim.layer_decay=0.5"],
)
def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(steps, scheduler, composed, tmp_path):
    config = composed(
        *QUICK, *f"scheduler={scheduler}".split(), "optim.learning_rate=0.02", f"trainer.steps_per_execution={steps}"
    )
    config.trainer.max_epochs = 4

    def fit(folder, *callbacks, resume=None):
        pl.seed_everything(0, verbose=False)
        data = config.data.build(0)
        model = config.model.build(data.spec, config.optim, config.scheduler)
        trainer = build_trainer(config.trainer, [*build_callbacks(config.callbacks, folder), *callbacks], folder)
        trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
        return state(folder)

    def stop(trainer, model):
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt

    whole = fit(tmp_path / "whole")
    with pytest.raises(SystemExit):
        fit(tmp_path / "part", LambdaCallback(on_train_epoch_start=stop))
    assert checkpoint(tmp_path / "part")["epoch"] == 1
    resumed = fit(tmp_path / "part", resume=tmp_path / "part" / "checkpoints" / "last.ckpt")
    assert equal(whole, resumed)


@pytest.mark.usefixtures("forked_processes")
def test_processes_that_train_in_blocks_stay_in_step(composed, tmp_path):
    for steps in (1, 7):
        ddp = ["trainer=ddp", "trainer.threads=1", f"trainer.steps_per_execution={steps}"]
        run(composed(*QUICK, *ddp), tmp_path / str(steps))
    assert equal(state(tmp_path / "1"), state(tmp_path / "7"))


@pytest.mark.parametrize("steps", [1, 20])
def test_training_ends_after_so_many_steps_with_a_validation(steps, composed, tmp_path):
    limit = ["trainer.max_steps=100", f"trainer.steps_per_execution={steps}", "trainer.max_epochs=9"]
    result = run(composed(*QUICK, *limit), tmp_path)
    assert (result.steps, result.last_epoch, result.stop_reason) == (100, 3, "reached max_steps=100")
    assert checkpoint(tmp_path)["optimizer_states"][0]["state"][0]["step"] == 100
    rows = read_epochs(tmp_path)
    assert all("val/loss" in rows[epoch] for epoch in (1, 2, 3))
    assert checkpoint(tmp_path)["lr_schedulers"][0]["_last_lr"] == pytest.approx([0.0])  # the cosine ends there, too
    assert result.metrics["test/accuracy"] > 0


def test_max_epochs_ends_training_that_has_more_steps_left(composed, tmp_path):
    result = run(composed(*QUICK, "trainer.max_steps=1000"), tmp_path)
    assert (result.steps, result.stop_reason) == (90, "reached max_epochs=2")


class Watch(pl.Callback):
    """Notes what one fit is like from inside."""

    def on_train_epoch_start(self, trainer, model):
        self.by_hand = not model.automatic_optimization
        self.calls = trainer.num_training_batches

    def on_train_end(self, trainer, model):
        self.steps = trainer.global_step


class PerBatch(Watch):
    def on_train_batch_end(self, *args):
        self.batches = getattr(self, "batches", 0) + 1


def fitted(composed, watch, *overrides, **settings):
    config = composed(*QUICK, "data.batch_size=10", "trainer.max_epochs=1", *overrides)  # 130 batches an epoch
    data = config.data.build(0)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[StepsPerExecution(config.trainer.steps_per_execution), watch],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 1, "enable_checkpointing": False, **settings},
    )
    trainer.fit(model, datamodule=data)
    return trainer


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        ({}, 3),  # blocks of 50
        ({"accumulate_grad_batches": 2}, 130),
        ({"limit_train_batches": 100}, 2),
        ({"limit_train_batches": 30}, 30),
        ({"limit_train_batches": 0.5}, 65),
        ({"val_check_interval": 50}, 130),  # a block of 30 at the end would count as one of 50
        ({"val_check_interval": 30}, 130),
        ({"val_check_interval": 0.5}, 130),
    ],
)
def test_auto_takes_blocks_unless_something_needs_single_batches(settings, calls, composed):
    watch = Watch()
    fitted(composed, watch, **settings)
    assert (watch.calls, watch.by_hand) == (calls, calls <= 3)


def test_a_callback_with_hooks_of_its_own_by_the_batch_gets_single_batches(composed):
    watch = PerBatch()
    fitted(composed, watch)
    assert (watch.batches, watch.by_hand) == (130, False)
    seen = []
    hook = LambdaCallback(on_before_optimizer_step=lambda *_: seen.append(1))
    fitted(composed, hook)
    assert len(seen) == 130


def test_checkpoints_by_the_step_get_single_batches(composed, tmp_path):
    saving = ModelCheckpoint(tmp_path, every_n_train_steps=30, save_top_k=-1, filename="{step}")
    trainer = fitted(composed, saving, enable_checkpointing=True)
    assert trainer.lightning_module.automatic_optimization
    assert sorted(path.stem for path in tmp_path.iterdir()) == [f"step={step}" for step in (120, 30, 60, 90)]


@pytest.mark.filterwarnings("ignore:")  # of torch's averaged model
def test_lightnings_callbacks_that_look_at_each_step_get_single_batches(composed):
    trainer = fitted(composed, WeightAveraging())
    assert trainer.lightning_module.automatic_optimization


def test_asking_for_blocks_that_cannot_be_is_refused(composed):
    with pytest.raises(ConfigurationError, match=r"PerBatch\.on_train_batch_end needs each batch by itself: set tr"):
        fitted(composed, PerBatch(), "trainer.steps_per_execution=20")


def test_a_recurrent_network_on_the_cpu_takes_single_batches(composed):
    watch = Watch()
    fitted(composed, watch, "model=gru", "model.hidden=[4]", "model.image_reading=rows", limit_train_batches=50)
    assert watch.calls == 50


def test_validation_comes_at_the_batch_that_is_asked_for(composed):
    passes = []

    class Validations(pl.Callback):
        def on_validation_start(self, trainer, model):
            passes.append(trainer.global_step)

    fitted(composed, Validations(), "trainer.steps_per_execution=5", val_check_interval=50, num_sanity_val_steps=0)
    assert passes == [50, 100]


def test_training_ends_at_the_step_that_is_asked_for(composed):
    watch = Watch()
    fitted(composed, watch, max_steps=77, max_epochs=-1)
    assert watch.steps == 77


def test_every_step_is_counted_and_the_trainer_is_left_as_it_was(composed):
    watch = Watch()
    trainer = fitted(composed, watch, limit_train_batches=100, max_epochs=3)
    assert watch.steps == trainer.global_step == 3 * 100
    assert trainer.limit_train_batches == 100
    assert trainer.datamodule.steps_per_execution == 1


def test_a_model_that_was_trained_in_blocks_can_be_trained_without(composed):
    trainer = fitted(composed, Watch())
    model, data = trainer.lightning_module, trainer.datamodule
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    other = pl.Trainer(accelerator="cpu", max_epochs=1, enable_model_summary=False, **options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    other.fit(model, datamodule=data)
    assert other.global_step == 130
    assert not equal(before, dict(model.state_dict()))


def test_a_cosine_ends_with_the_last_step(composed):
    for steps, limit in itertools.product((1, 20), (None, 40)):
        trainer = fitted(composed, Watch(), f"trainer.steps_per_execution={steps}", limit_train_batches=limit)
        (schedule,) = trainer.lr_scheduler_configs
        assert schedule.scheduler.T_max == (limit or 130)


@pytest.mark.parametrize("steps", ["fast", 0, -1, 2.5, True, None])
def test_what_is_no_number_of_steps_is_refused(steps):
    with pytest.raises(ConfigurationError, match=r"trainer\.steps_per_execution="):
        TrainerConfig(steps_per_execution=steps)


NORMALISED = [
    "data=digits",
    "model.batch_norm=true",
    "model.hidden=[8]",
    "figures=none",  # 1,293 training samples
    "trainer.max_epochs=1",
    "trainer.threads=1",
    "trainer.progress_bar=false",
    "trainer.accelerator=cpu",
]


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        (["data.batch_size=4"], "1,293 in batches of 4 leave a batch of 1: .*drop_last=true or data.batch_size=5"),
        (["data.batch_size=34"], "set data.drop_last=true or data.batch_size=35"),
        (["data.batch_size=1292"], "set data.drop_last=true or data.batch_size=1293"),
        (["data.batch_size=1"], "in batches of 1 leave a batch of 1: set data.batch_size=3"),
        (["data.batch_size=1", "data.drop_last=true"], "set data.batch_size=3"),
        (["data.batch_size=4", "trainer.limit_train_batches=324"], "set data.drop_last=true"),
        (["data.batch_size=4", "trainer.steps_per_execution=5"], "set data.drop_last=true"),
        (["data.batch_size=4", "trainer.accumulate_grad_batches=3"], "set data.drop_last=true"),
        (["data.batch_size=4", "model.batch_norm=false", "model.hidden=[8,{units: 8, batch_norm: true}]"], "drop_last"),
        (
            ["data.batch_size=64", "data.eval_batch_size=143", "model.eval_mode=false"],
            "144 in batches of 143 leave a batch of 1: set model.eval_mode=true or data.eval_batch_size=144",
        ),
        (
            ["data.batch_size=64", "data.eval_batch_size=1", "model.eval_mode=false"],
            "144 in batches of 1 leave a batch of 1: set model.eval_mode=true or data.eval_batch_size=2",
        ),
        (
            ["data.batch_size=64", "data.eval_batch_size=359", "model.eval_mode=false"],
            "360 in batches of 359 leave a batch of 1: set model.eval_mode=true or data.eval_batch_size=360",
        ),
    ],
)
def test_batch_norm_refuses_a_batch_of_one_before_training(overrides, advice, composed, tmp_path):
    with pytest.raises(ConfigurationError, match=f"^batch norm needs at least 2 samples a batch, and .*{advice}"):
        run(composed(*NORMALISED, *overrides), tmp_path)
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.batch_size=4", "data.drop_last=true"],
        ["data.batch_size=4", "trainer.limit_train_batches=323"],
        ["data.batch_size=5"],
        ["data.batch_size=1293"],
        ["data.batch_size=1", "model.batch_norm=false", "trainer.limit_train_batches=3"],
        ["data.batch_size=64", "data.eval_batch_size=143"],  # evaluated alone, of 144 validation samples the last
        ["data.batch_size=64", "data.eval_batch_size=142", "model.eval_mode=false"],
        [
            *("data.batch_size=64", "data.eval_batch_size=143", "model.eval_mode=false"),
            *("trainer.limit_val_batches=1", "trainer.limit_test_batches=1"),
        ],
    ],
)
def test_batch_norm_trains_where_each_batch_has_two_samples(overrides, composed, tmp_path):
    assert run(composed(*NORMALISED, *overrides), tmp_path).status == "completed"


def test_settings_that_need_single_batches_are_refused_beside_blocks():
    with pytest.raises(ConfigurationError, match=r"trainer\.accumulate_grad_batches=2 does not go with"):
        TrainerConfig(steps_per_execution=20, accumulate_grad_batches=2)
    with pytest.raises(ConfigurationError, match=r"trainer\.limit_train_batches=30 does not go with"):
        TrainerConfig(steps_per_execution=20, limit_train_batches=30)
    TrainerConfig(steps_per_execution=20, limit_train_batches=60)
    TrainerConfig(steps_per_execution=1, limit_train_batches=7, accumulate_grad_batches=2)
    TrainerConfig(limit_train_batches=STEPS + 1)
