"""Early stopping and the plateau schedule beside Keras's callbacks: the same series, the same epochs."""

from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from keras_twin import keras, keras_warnings
from pytorch_lightning.callbacks import EarlyStopping

from dlproj.config.callbacks import CallbacksConfig, EarlyStoppingConfig
from dlproj.config.scheduler import PlateauConfig
from dlproj.training.callbacks import build_callbacks

pytestmark = [
    keras_warnings,
    # Lightning 2.6 asks torch's tree utilities for something that torch 2.15 calls deprecated.
    pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)"),
]
nan, inf = float("nan"), float("inf")


class Replay(pl.LightningModule):
    """Learns nothing and logs a given series, a value an epoch."""

    def __init__(self, monitor, series):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.monitor, self.series = monitor, series

    def training_step(self, batch, batch_idx):
        pass

    def validation_step(self, batch, batch_idx):
        self.log(self.monitor, self.series[self.current_epoch])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1.0)


def our_epochs(config, series, tmp_path):
    """Epochs until Lightning's loop stops, driven by the callback that CallbacksConfig builds."""
    stopping = [one for one in build_callbacks(CallbacksConfig(config), tmp_path) if isinstance(one, EarlyStopping)]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=len(series),
        callbacks=stopping,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    batches = [torch.zeros(1)]
    trainer.fit(Replay(config.monitor, series), batches, batches)
    return trainer.current_epoch


def their_epochs(config, series):
    mode = config.direction()
    callback = keras.callbacks.EarlyStopping("val", min_delta=config.min_delta, patience=config.patience, mode=mode)
    callback.set_model(SimpleNamespace(stop_training=False))
    callback.on_train_begin()
    for epoch, value in enumerate(series):
        callback.on_epoch_end(epoch, {"val": value})
        if callback.model.stop_training:
            return epoch + 1
    return len(series)


def walk(seed):
    """Twelve values on a grid of eighths, so that ties happen and float32 holds them exactly."""
    return (np.random.default_rng(seed).integers(-3, 3, 12).cumsum() / 8).tolist()


SERIES = {
    "the early_stopping row of lab2": [2.0, 1.0, 1.5, 1.25, 1.125, 0.5],
    "falls to the end": [float(value) for value in range(8, 0, -1)],
    "never falls": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    "by exactly min_delta": [1.0, 0.875, 0.75, 0.625, 0.5, 0.375],
    "not a number in between": [2.0, nan, 1.0, nan, nan, nan, 0.5, 0.25],
    "not a number from the second on": [2.0, nan, nan, nan, nan, nan],
    "infinite": [2.0, inf, 1.0, inf, inf, inf, inf, 0.5],
} | {f"walk {seed}": walk(seed) for seed in range(6)}


@pytest.mark.parametrize(("patience", "min_delta"), [(1, 0.0), (2, 0.0), (3, 0.0), (2, 0.125)])
@pytest.mark.parametrize("name", SERIES)
def test_training_stops_after_the_same_epoch(name, patience, min_delta, tmp_path):
    config = EarlyStoppingConfig(patience=patience, min_delta=min_delta)
    assert our_epochs(config, SERIES[name], tmp_path) == their_epochs(config, SERIES[name])


@pytest.mark.parametrize("seed", range(4))
def test_training_stops_after_the_same_epoch_where_more_is_better(seed, tmp_path):
    config = EarlyStoppingConfig(monitor="val/accuracy", patience=2)
    assert our_epochs(config, walk(seed), tmp_path) == their_epochs(config, walk(seed))


def test_the_early_stopping_row_of_lab2_stops_after_epoch_5(tmp_path):
    series = SERIES["the early_stopping row of lab2"]
    assert our_epochs(EarlyStoppingConfig(patience=3), series, tmp_path) == 5


def test_a_run_that_starts_with_no_number_can_still_improve(tmp_path):
    # Keras 3 takes the first value for the best, whatever it is: nothing is less than NaN, so it stops here.
    series = [nan, 2.0, 1.0, 0.5, 0.25, 0.125]
    config = EarlyStoppingConfig(patience=2)
    assert our_epochs(config, series, tmp_path) == 6
    assert their_epochs(config, series) == 3


@pytest.mark.parametrize("patience", [1, 2])
@pytest.mark.parametrize("seed", range(2))
def test_the_plateau_schedule_lowers_the_rate_after_the_same_epochs(seed, patience):
    series = walk(seed)
    ours = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    schedule = PlateauConfig(factor=0.5, patience=patience).build(ours, len(series), len(series))["scheduler"]
    theirs = keras.optimizers.SGD(1.0)
    callback = keras.callbacks.ReduceLROnPlateau("val", factor=0.5, patience=patience, mode="min", min_delta=0.0)
    callback.set_model(SimpleNamespace(optimizer=theirs))
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(series):
        ours.step()
        schedule.step(value)
        callback.on_epoch_end(epoch, {"val": value})
        rates.append((ours.param_groups[0]["lr"], float(theirs.learning_rate.numpy())))
    assert rates == [(their, their) for _, their in rates]
