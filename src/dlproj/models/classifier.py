"""The LightningModule that MLPClassifier and RNNClassifier share: loss, penalties, metrics and the optimizer."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.strategies import SingleDeviceStrategy
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from dlproj.data.base import DataSpec
from dlproj.data.batches import Batch, Block, TrainingBatches
from dlproj.models.captured import CapturedSteps
from dlproj.models.layers import LayerSettings, OutputConfig, describe_output, linear, linear_penalties
from dlproj.models.losses import Loss, loss_function, output_activation
from dlproj.models.metrics import Evaluation, TrainingSums, training_means
from dlproj.models.penalties import Penalties, Penalty
from dlproj.optim import OptimConfig, SchedulerConfig
from dlproj.settings import require, within


@dataclass(slots=True)
class ModelConfig(LayerSettings):
    """Settings that every model has. Those of LayerSettings hold for each layer that does not say otherwise."""

    hidden: list[Any] = field(default_factory=list)  # a layer each: its width, or a mapping of its own settings
    inputs: int | None = None  # numbers that the first layer reads (RNN: a time step); unset: as many as the data has
    outputs: int | None = None  # unset: one a class; 1: a single probability, for two classes
    output: OutputConfig = field(default_factory=OutputConfig)
    loss: Loss = Loss.cross_entropy

    def __post_init__(self) -> None:
        self.check("model")
        self.hidden_layers()
        within("model.inputs", self.inputs, "[1, inf)")
        require(
            self.outputs in (None, 1), f"model.outputs={self.outputs}: leave it unset for one output a class, or set 1"
        )
        output_activation(self.loss, self.output.activation, self.outputs or 0)
        describe_output(self.output, self.outputs or 2, self)

    @abstractmethod
    def hidden_layers(self) -> list[Any]:
        """The description of each hidden layer. Raises ConfigurationError."""

    @abstractmethod
    def inputs_of(self, spec: DataSpec) -> int:
        """Numbers that the first layer reads from such data. Raises ConfigurationError if the model cannot read it."""

    @abstractmethod
    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "Classifier":
        """The classifier for such data."""

    def check_data(self, spec: DataSpec) -> None:
        """Raise ConfigurationError unless the model can read and classify such data."""
        inputs = self.inputs_of(spec)
        shape = " × ".join(map(str, spec.shape))
        has = f"the data has {inputs} ({spec.kind.name} of {shape})"
        require(
            self.inputs in (None, inputs),
            f"model.inputs={self.inputs}, but {has}: set model.inputs={inputs} or leave it out",
        )
        message = f"model.outputs=1 is for two classes, the data has {len(spec.classes)}: leave model.outputs unset"
        require(self.outputs is None or len(spec.classes) == 2, message)

    def outputs_for(self, spec: DataSpec) -> int:
        """Units of the output layer."""
        return self.outputs or len(spec.classes)


class Classifier(pl.LightningModule):
    """Trains a network to tell classes apart.

    forward() maps a batch of inputs to logits (B, outputs); a subclass says how. A batch is (inputs, targets (B,)).
    Metrics are logged once an epoch: {train,val,test}/loss and accuracy, for val and test also top2_accuracy and
    macro_f1, and with penalties also data_loss and penalty, whose sum is loss.
    """

    penalties: Penalties
    slow_steps = False  # whether a step on a CPU takes tenths of a second, beside which a call costs nothing

    def __init__(self, config: ModelConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__()
        config.check_data(spec)
        self.optim = optim
        self.scheduler = scheduler
        self.classes = spec.classes
        self.activation = output_activation(config.loss, config.output.activation, config.outputs_for(spec))
        self.loss = loss_function(config.loss, self.activation)
        self.captured_steps: CapturedSteps | None = None  # of a GPU: set by StepsPerExecution
        self.samples_trained = 0  # over all processes, an epoch's samples counted every epoch
        self.test_confusion_matrix: list[list[int]] = []

    def add_output(self, config: ModelConfig, spec: DataSpec, width: int) -> list[Penalty]:
        """Set self.output, a linear layer that reads (B, width); return its penalties."""
        layer = describe_output(config.output, config.outputs_for(spec), config)
        self.output = linear(width, layer)
        return linear_penalties(self.output, layer)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as without mixed precision: there, Lightning refuses a fused optimizer, as if gradients were scaled.

        They are in 16-mixed alone, for which TrainerConfig refuses clipping.
        """
        algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
        Precision.clip_gradients(self.trainer.precision_plugin, optimizer, gradient_clip_val or 0.0, algorithm)

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, outputs)."""

    def training_step(self, batch: Batch | Block, batch_idx: int) -> Tensor | None:
        """The loss of one batch, for Lightning to step by; or a step for each batch of a block, by hand."""
        if self.automatic_optimization:
            assert not isinstance(batch, Block)
            return self.training_loss(batch)
        self._train(batch if isinstance(batch, Block) else [batch])
        return None

    def training_loss(self, batch: Batch) -> Tensor:
        """The loss of one batch, penalties included. Logging here would cost more than the arithmetic."""
        inputs, targets = batch
        logits = self(inputs)
        data_loss = self.loss(logits, targets)
        penalty = self.penalties() if self.penalties else None
        self.training_sums.add(logits, targets, data_loss, penalty)
        return data_loss if penalty is None else data_loss + penalty

    def _train(self, block: Iterable[Batch]) -> None:
        """What Lightning does around each training_step of its own, without what it costs."""
        convert = self.trainer.precision_plugin.convert_input
        batches = map(convert, block)
        if self.captured_steps is None:
            self._train_one_by_one(batches)
        else:
            self._train_at_once(list(batches), self.captured_steps)
        if self.trainer.is_last_batch:
            self._step_scheduler("epoch")

    def _train_one_by_one(self, batches: Iterable[Batch]) -> None:
        trainer = self.trainer
        left = trainer.max_steps - trainer.global_step if trainer.max_steps >= 0 else None
        alone = _alone(trainer)
        for batch in islice(batches, left):
            if alone:
                self._bare_step(batch)
                self._count_step()
            else:
                self._step_by_lightning(batch)
            self._step_scheduler("step")

    def _train_at_once(self, batches: list[Batch], captured: CapturedSteps) -> None:
        trainer = self.trainer
        self.training_sums.flush()  # what is pending is not of these steps
        beyond_limit = 0 <= trainer.max_steps < trainer.global_step + len(batches)
        if beyond_limit or not captured.ready(batches):
            return self._train_one_by_one(batches)
        rates = []
        for _ in batches:
            rates.append(self._optimizer().param_groups[0]["lr"])
            self._count_step()
            self._step_scheduler("step")
        return captured.replay(batches, rates)

    def bare_steps(self, batches: Iterable[Batch]) -> None:
        """An optimizer step a batch with nothing of Lightning around it: what can be captured on a GPU."""
        for batch in batches:
            self._bare_step(batch)
        self.training_sums.flush()

    def _bare_step(self, batch: Batch) -> None:
        for parameter in self._trained:  # Optimizer.zero_grad takes ten times as long
            parameter.grad = None
        self.training_loss(batch).backward()
        self._clip()
        self._optimizer().optimizer.step()
        # Mixed precision keeps half-precision copies of the weights until its context ends, after the block.
        torch.clear_autocast_cache()

    def _step_by_lightning(self, batch: Batch) -> None:
        """The same by way of Lightning's strategy and precision, which know other processes and scaled gradients."""
        optimizer = self._optimizer()
        optimizer.zero_grad()
        self.manual_backward(self.training_loss(batch))
        self._clip()
        optimizer.step()
        torch.clear_autocast_cache()

    def _count_step(self) -> None:
        optimizer = self._optimizer()
        optimizer._on_before_step()
        optimizer._on_after_step()

    def _optimizer(self) -> LightningOptimizer:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)  # one, wrapped to count its steps
        return optimizer

    def _clip(self) -> None:
        value, algorithm = self.trainer.gradient_clip_val, self.trainer.gradient_clip_algorithm
        if value is not None:
            self.configure_gradient_clipping(self._optimizer().optimizer, value, algorithm)

    def _step_scheduler(self, interval: str) -> None:
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == interval and not isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step()

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step what Lightning steps at the right time: not a plateau, which would miss the epoch's checkpoint."""
        if metric is None:
            super().lr_scheduler_step(scheduler, metric)

    def _step_plateau(self) -> None:
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(self.trainer.callback_metrics[self._plateau_monitor])

    def on_train_start(self) -> None:
        """Make the sums, which stay where they are: captured steps add to them."""
        self.training_sums = TrainingSums(self.device)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums, and note the rate that it starts with."""
        self.training_sums.reset()
        self._learning_rate = self._optimizer().param_groups[0]["lr"]

    def on_train_epoch_end(self) -> None:
        """Log the epoch's training metrics and learning rate."""
        totals = self.trainer.strategy.reduce(self.training_sums.totals(), reduce_op="sum")
        self.samples_trained += int(totals[-1])
        self._log("train", training_means(totals, bool(self.penalties)))
        self.log("learning_rate", self._learning_rate, sync_dist=self.trainer.world_size > 1)
        self._step_plateau()

    def running_metrics(self) -> dict[str, float]:
        """Loss and accuracy of the running epoch on this process, for the progress bar; on a GPU, of the last call."""
        return training_means(self.training_sums.totals_without_waiting(), penalized=bool(self.penalties))

    def on_validation_epoch_start(self) -> None:
        """Start a pass."""
        self._evaluation = Evaluation(len(self.classes), self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the pass."""
        inputs, targets = batch
        logits = self(inputs)
        self._evaluation.add(logits, targets, self.loss(logits, targets))

    def on_validation_epoch_end(self) -> None:
        """Log the pass."""
        self._log("val", self._evaluation_means())

    def on_test_epoch_start(self) -> None:
        """Start a pass."""
        self.on_validation_epoch_start()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the pass."""
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        """Log the pass and keep its confusion matrix."""
        self._log("test", self._evaluation_means())
        self.test_confusion_matrix = self._evaluation.confusion_matrix()

    def _evaluation_means(self) -> dict[str, float]:
        penalty = float(self.penalties()) if self.penalties else 0.0
        return self._evaluation.means(penalty, bool(self.penalties))

    def _log(self, split: str, metrics: dict[str, float]) -> None:
        # The values are equal on all ranks; sync_dist says so to Lightning, which would warn otherwise.
        values = {f"{split}/{name}": value for name, value in metrics.items()}
        self.log_dict(values, sync_dist=self.trainer.world_size > 1)

    def configure_optimizers(self) -> Any:
        """The optimizer and, unless the rate is constant, its schedule."""
        self._trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = self.optim.build(self._trained)
        schedule = self.scheduler.build(optimizer, self.trainer.max_epochs or 1, self._total_steps())
        self._plateau_monitor = schedule.get("monitor", "")
        if not self.automatic_optimization:  # Lightning, which would not step a plateau then, wants no monitor
            schedule.pop("monitor", None)
        return {"optimizer": optimizer, "lr_scheduler": schedule} if schedule else optimizer

    def _total_steps(self) -> int:
        executions = int(self.trainer.estimated_stepping_batches)  # reads the loader where it has not been read yet
        loader = self.trainer.train_dataloader
        if self.automatic_optimization or not isinstance(loader, TrainingBatches):
            return executions
        executions_an_epoch = int(self.trainer.num_training_batches)
        return executions // executions_an_epoch * loader.batches_in(executions_an_epoch)

    def parameter_count(self) -> int:
        """All parameters, also those rows of an embedding that no word reads."""
        return sum(parameter.numel() for parameter in self.parameters())


def _alone(trainer: pl.Trainer) -> bool:
    """Whether backward and optimizer step need nothing of Lightning: one device, no scaled gradients.

    Its way through strategy, precision and the hooks that nobody has takes a twentieth of a small network's step.
    """
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return isinstance(trainer.strategy, SingleDeviceStrategy) and scaler is None
