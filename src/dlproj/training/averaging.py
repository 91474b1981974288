"""Averages of the weights over training, which are evaluated and kept in place of the weights that are trained."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn, update_bn

from dlproj.config.optim import OptimConfig
from dlproj.data.batches import Batch
from dlproj.models.classifier import Classifier
from dlproj.models.layers import BATCH_NORMS
from dlproj.training.fit_callback import FitCallback

_log = logging.getLogger(__name__)


class AverageWeights(FitCallback):
    """Averages the trained weights, and swaps the averages in for each validation and at the end of training.

    With optim.ema_decay the average moves after each optimizer step; a hook of the optimizer does this, also within
    blocks of steps and CUDA graphs. It starts from the weights after the first step, as in Keras and in torch's
    AveragedModel. With optim.swa_start it is the mean of the weights at the end of each epoch beyond that share of
    training (Izmailov et al. 2018). The statistics of batch norm are averaged along with the weights by ema_decay, and
    computed anew from the training samples for swa_start.

    A checkpoint's state_dict holds the averages, for evaluation and prediction, and `averaging` the weights that are
    trained, for resuming. Lightning's WeightAveraging works on batches and would update once a block.
    """

    def __init__(self, config: OptimConfig) -> None:
        self.config = config
        self.count = 0  # of averaged weights; counts no further than 1 with ema_decay
        self.swapped = False  # True while the model holds the averages
        self._resumed: dict[str, Any] | None = None
        self._trained: list[Tensor] = []
        self._averages: list[Tensor] = []

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Take the averages of a resumed run from the model, which has loaded them, and restore the trained weights."""
        self._named = averaged_tensors(model)
        self._trained = list(self._named.values())
        self._averages = [tensor.clone() for tensor in self._trained]
        if self._resumed:
            self.count = self._resumed["count"]
            model.load_state_dict(self._resumed["state_dict"])
            self._resumed = None
        if self.config.ema_decay is not None:
            self._move = get_ema_multi_avg_fn(self.config.ema_decay)
            trainer.optimizers[0].register_step_post_hook(lambda *_: self._follow())
        else:
            assert isinstance(model, Classifier)
            _, steps = model.training_length()
            self._first_step = steps * (self.config.swa_start or 0.0)

    def _follow(self) -> None:
        if self.count:
            self._move(self._averages, self._trained, self.count)
        else:
            self._start()

    @torch.no_grad()
    def _start(self) -> None:
        self.count = 1
        for average, tensor in zip(self._averages, self._trained, strict=True):
            average.copy_(tensor)

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any) -> None:
        """At the end of an epoch, before its validation, add the weights to the mean of swa_start."""
        ended = trainer.is_last_batch or trainer.global_step == trainer.max_steps
        if self.config.swa_start is None or not ended or trainer.global_step <= self._first_step:
            return
        get_swa_multi_avg_fn()(self._averages, self._trained, self.count)
        self.count += 1
        if _batch_norms(model):
            self._update_statistics(trainer, model)

    def _update_statistics(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Compute the statistics of batch norm with the averaged weights, in a pass over the training samples."""
        counts = [module.num_batches_tracked.clone() for module in _batch_norms(model).values()]
        with self._swapped(), trainer.precision_plugin.forward_context():
            update_bn(_training_batches(trainer), model)
        for module, count in zip(_batch_norms(model).values(), counts, strict=True):
            module.num_batches_tracked.copy_(count)

    @contextmanager
    def _swapped(self) -> Iterator[None]:
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange the values in place: CUDA graphs and kernels of recurrent layers know the addresses."""
        self.swapped = not self.swapped
        for average, tensor in zip(self._averages, self._trained, strict=True):
            value = tensor.clone()
            tensor.copy_(average)
            average.copy_(value)

    def on_validation_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        if self.count:
            self._swap()

    def on_validation_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Restore the trained weights before checkpoints are written."""
        if self.swapped:
            self._swap()

    def on_train_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Leave the averages in the model, for the test."""
        if self.count:
            self._swap()
        else:
            _log.warning("training ended before optim.swa_start: no weights were averaged")

    def on_save_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the averages as the model's weights, and the trained weights beside them."""
        if not self.count:
            return
        held = checkpoint["state_dict"]
        others = held | dict(zip(self._named, self._averages, strict=True))
        averages, trained = (held, others) if self.swapped else (others, held)
        checkpoint["state_dict"] = averages
        checkpoint["averaging"] = {"state_dict": trained, "count": self.count}

    def resume(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the trained weights until training starts; if it does not, the averages are tested."""
        self._resumed = checkpoint.get("averaging")


def averaged_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the trained parameters and the running statistics of batch norm by their names in the state_dict."""
    parameters = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    running = {
        f"{name}.{statistic}": getattr(module, statistic)
        for name, module in _batch_norms(model).items()
        for statistic in ("running_mean", "running_var")
    }
    return parameters | running


def _batch_norms(model: nn.Module) -> dict[str, Any]:
    modules = {name: module for name, module in model.named_modules() if isinstance(module, BATCH_NORMS)}
    return {name: module for name, module in modules.items() if module.track_running_stats}


def _training_batches(trainer: pl.Trainer) -> Iterator[Batch]:
    loader = trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
    loader.steps_per_execution = 1
    for batch in loader:
        converted = trainer.precision_plugin.convert_input(batch)
        yield trainer.strategy.batch_to_device(converted)
