"""Callbacks that record data for a run's figures: weights, gradients, dead units, test samples."""

import base64
import io
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn

from dlproj.config.figures import FiguresConfig
from dlproj.data.base import DataModule
from dlproj.data.batches import generator
from dlproj.models.classifier import Classifier
from dlproj.models.losses import class_probabilities
from dlproj.models.metrics import gathered
from dlproj.runs.inspection import Histogram, Inspection, Sample, inspection_of
from dlproj.training.fit_callback import FitCallback
from dlproj.training.monitors.loggers import EpochTensorBoard

_MOST_BINS = 512  # many, since a few outliers leave few bins for the other values
_FEATURE_MAPS = 4  # dimensions of (B, units, height, width)
_SAMPLED_STEPS = 20  # per epoch, for gradients and updates
_SAME = 1e-6  # a unit is dead if its outputs differ by no more than this


def inspectors(config: FiguresConfig, inspection: Inspection, tensorboard: EpochTensorBoard) -> list[Callback]:
    """Build the callbacks that fill `inspection` and log to TensorBoard by epoch, as the settings say."""
    enabled: dict[type[_Inspector], bool] = {
        WeightHistograms: config.histograms,
        DeadUnits: config.dead_units,
        Gradients: config.gradients,
    }
    callbacks: list[Callback] = [cls(inspection, tensorboard) for cls, is_enabled in enabled.items() if is_enabled]
    if callbacks:
        callbacks.insert(0, KeepInspection(inspection, tensorboard))
    if config.gallery or config.most_wrong:
        callbacks.append(TestSamples(inspection, tensorboard, config))
    return callbacks


class _Inspector(Callback):
    def __init__(self, inspection: Inspection, tensorboard: EpochTensorBoard) -> None:
        self.inspection = inspection
        self.tensorboard = tensorboard


class KeepInspection(_Inspector, FitCallback):
    """Saves what has been recorded in each checkpoint, for resuming."""

    def on_save_checkpoint(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["inspection"] = asdict(self.inspection)

    def resume(self, trainer: pl.Trainer, model: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the inspection."""
        kept = inspection_of(checkpoint["inspection"], Path(str(trainer.ckpt_path)))
        for field in fields(kept):
            setattr(self.inspection, field.name, getattr(kept, field.name))


class WeightHistograms(_Inspector):
    """Records histograms of each trained parameter: of each epoch in TensorBoard, of the first and last in the run."""

    def on_train_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        if not self.inspection.histograms:  # a resumed run has them
            self._note(trainer, model, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._note(trainer, model, trainer.current_epoch + 1)

    def _note(self, trainer: pl.Trainer, model: pl.LightningModule, epoch: int) -> None:
        assert isinstance(model, Classifier)
        for name, parameter in model.execution.full_parameters().items():
            values = parameter.cpu().float().flatten()
            histogram = histogram_of(values[values.isfinite()]) if trainer.is_global_zero else None
            if histogram is not None:
                self.tensorboard.log_histogram(name, histogram, values, epoch)
                start = dict(list(self.inspection.histograms.get(name, {}).items())[:1])
                self.inspection.histograms[name] = start | {epoch: histogram}


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that require gradients, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def histogram_of(values: Tensor) -> Histogram | None:
    """Return the histogram of finite values (N,), or None if N = 0. Around equal values it has a small margin."""
    if not len(values):
        return None
    values = values.double()  # in float32, the range of extreme values would overflow
    low, high = float(values.min()), float(values.max())
    if low == high:
        margin = max(1e-3, 1e-3 * abs(low))
        low, high = low - margin, high + margin
    bins = min(max(int(len(values) ** 0.5), 8), _MOST_BINS)
    return Histogram(low, high, torch.histc(values, bins, low, high).long().tolist())


class DeadUnits(_Inspector):
    """Records, by epoch, the share of each layer's units whose output is the same for all validation samples.

    Examples are a ReLU that is never above zero and a saturated sigmoid.
    """

    def on_validation_epoch_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Hook into the layers to record the range of each unit's outputs."""
        assert isinstance(model, Classifier)
        self._ranges: dict[str, tuple[Tensor, Tensor]] = {}
        layers = model.hidden_outputs() if model.execution.has_all_units() else {}
        self._hooks = [module.register_forward_hook(partial(self._watch, name)) for name, module in layers.items()]

    def _watch(self, name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        outputs = (output[0] if isinstance(output, tuple) else output).detach()
        if outputs.dim() == _FEATURE_MAPS:
            outputs = outputs.movedim(1, -1)
        outputs = outputs.flatten(0, -2)
        low, high = outputs.aminmax(dim=0)
        if name in self._ranges:
            low, high = torch.minimum(low, self._ranges[name][0]), torch.maximum(high, self._ranges[name][1])
        self._ranges[name] = low, high

    def on_validation_batch_start(
        self, trainer: pl.Trainer, model: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Remove the hooks before the training samples."""
        if dataloader_idx:
            self._remove_hooks()

    def _remove_hooks(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def on_validation_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Record the shares, and remove the hooks."""
        self._remove_hooks()
        for name, (low, high) in self._ranges.items():
            alive = trainer.strategy.reduce((high - low > _SAME).float(), reduce_op="sum")
            share = float((alive == 0).float().mean())
            self.inspection.dead_units.setdefault(name, {})[trainer.current_epoch + 1] = share
            self.tensorboard.log_scalar(f"dead_units/{name}", share, trainer.current_epoch + 1)


class Gradients(_Inspector):
    """Records, by epoch and parameter, the gradient norm and the norm of a step's update relative to the weights'.

    Both are means over about twenty steps of the epoch; gradients are taken before clipping. The steps must be taken by
    single batches.
    """

    def on_train_epoch_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._steps = 0
        self._before: dict[str, Tensor] = {}
        self._norms: dict[str, list[float]] = {}
        self._ratios: dict[str, list[float]] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps, "norms": self._norms, "ratios": self._ratios}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._steps, self._norms, self._ratios = state_dict["steps"], state_dict["norms"], state_dict["ratios"]
        self._before = {}

    def on_before_optimizer_step(self, trainer: pl.Trainer, model: pl.LightningModule, optimizer: Any) -> None:
        """Record the gradient norms, and keep the weights before the step."""
        assert isinstance(model, Classifier)
        every = max(1, int(trainer.num_training_batches) // trainer.accumulate_grad_batches // _SAMPLED_STEPS)
        if self._steps % every == 0:
            for name, parameter in trained_parameters(model).items():
                if parameter.grad is not None:
                    gradient = model.execution.full_tensor(parameter.grad)
                    self._norms.setdefault(name, []).append(float(gradient.norm()))
                    self._before[name] = model.execution.full_tensor(parameter.detach()).clone()
        self._steps += 1

    def on_train_batch_end(self, trainer: pl.Trainer, model: pl.LightningModule, *args: Any) -> None:
        """Compare the weights after the step with those before it."""
        assert isinstance(model, Classifier)
        parameters = trained_parameters(model)
        for name, before in self._before.items():
            if norm := float(before.norm()):  # biases initialised to zero have no ratio yet
                after = model.execution.full_tensor(parameters[name].detach())
                self._ratios.setdefault(name, []).append(float((after - before).norm()) / norm)
        self._before.clear()

    def on_train_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        for tag, recorded, kept in (
            ("gradient_norm", self._norms, self.inspection.gradient_norms),
            ("update_ratio", self._ratios, self.inspection.update_ratios),
        ):
            for name, values in recorded.items():
                kept.setdefault(name, {})[epoch] = mean = float(np.mean(values))
                self.tensorboard.log_scalar(f"{tag}/{name}", mean, epoch)


class TestSamples(_Inspector):
    """Records test samples: a random draw, and those classified wrongly with the most confidence."""

    def __init__(self, inspection: Inspection, tensorboard: EpochTensorBoard, config: FiguresConfig) -> None:
        super().__init__(inspection, tensorboard)
        self.config = config

    def on_test_epoch_start(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        self._parts: list[tuple[Tensor, ...]] = []

    def on_test_batch_end(
        self, trainer: pl.Trainer, model: pl.LightningModule, logits: Any, batch: Any, *args: Any
    ) -> None:
        """Keep the confidence in each sample's predicted and true class, not in all classes."""
        assert isinstance(model, Classifier)
        # NaN from a diverged model counts as no confidence.
        confidences, targets = class_probabilities(logits, model.activation).nan_to_num(), batch[1]
        guesses = confidences.argmax(1)
        sure = [confidences.gather(1, classes[:, None])[:, 0] for classes in (guesses, targets)]
        self._parts.append((targets, guesses, *sure))

    def on_test_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Choose among the samples of all processes, gathered in the order of the test set."""
        assert isinstance(model, Classifier)
        data = trainer.datamodule  # type: ignore[attr-defined]
        results = [
            gathered(torch.cat(parts), model.execution.data_group).cpu() for parts in zip(*self._parts, strict=True)
        ]
        self._parts.clear()
        if data.shard().world_size > 1 and len(results[0]) < len(data.test):
            return  # with a limit, each process evaluates the start of its part: indices no longer match the test set
        self._choose(data, *results)

    def _choose(self, data: DataModule, targets: Tensor, guesses: Tensor, sure: Tensor, sure_of_truth: Tensor) -> None:
        def sample(index: int) -> Sample:
            truth, guess = int(targets[index]), int(guesses[index])
            shown = data.shown(data.test.inputs[index])
            picture = {"text": shown} if isinstance(shown, str) else {"image": _png(shown)}
            return Sample(index, truth, guess, float(sure[index]), float(sure_of_truth[index]), **picture)

        order = torch.randperm(len(targets), generator=generator("gallery", data.seed))
        self.inspection.gallery = [sample(index) for index in order[: self.config.gallery].tolist()]
        wrong = (guesses != targets).nonzero()[:, 0]
        by_confidence = wrong[sure[wrong].argsort(descending=True, stable=True)]
        self.inspection.most_wrong = [sample(index) for index in by_confidence[: self.config.most_wrong].tolist()]


def _png(pixels: np.ndarray) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return base64.b64encode(file.getvalue()).decode()
