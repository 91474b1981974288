"""The base of all classifiers: loss, penalties, metrics and logging."""

from abc import abstractmethod
from typing import Any, Self

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from dlproj.config.checks import one_of, require
from dlproj.config.data import DataSpec
from dlproj.config.layers import describe_output
from dlproj.config.model import BALANCED, NOTHING_TO_TRAIN, ModelConfig, output_activation
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.data.base import DataModule
from dlproj.data.batches import Batch
from dlproj.models.criterion import balanced_weights, criterion
from dlproj.models.execution import Execution
from dlproj.models.layers import BATCH_NORMS, layer_modules, linear, linear_penalties, output_modules
from dlproj.models.losses import LossFunction, loss_function
from dlproj.models.metrics import Evaluation, TrainingSums, training_means
from dlproj.models.optimized import OptimizedModule
from dlproj.models.penalties import Penalties, Penalty


class Classifier(OptimizedModule):
    """A LightningModule that trains a network to classify.

    A subclass defines forward(), which maps inputs to logits (B, outputs), and sequential_layers(). A batch is
    (inputs, targets (B,)). Metrics are logged once per epoch: {train,val,test}/loss and accuracy; for val and test also
    top2_accuracy and macro_f1; with penalties also data_loss and penalty, whose sum is loss. If the data module also
    provides the training set for evaluation, train_eval/* is logged with val/*.
    """

    penalties: Penalties
    is_chain = True  # True if the modules are applied one after another, so that they can be drawn in their order

    def __init__(self, config: ModelConfig, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> None:
        super().__init__(optim, scheduler)
        config.check_data(spec)
        self.classes = spec.classes
        self.activation = output_activation(config.loss, config.output.activation, config.outputs_for(spec))
        self.config = config
        self.loss = loss_function(config.loss, self.activation, config.loss_from, config.focal_gamma)
        weights = config.class_weights
        self.class_weights: list[float] | None = list(map(float, weights)) if isinstance(weights, list) else None
        self.criterion = self._criterion()
        self.eval_mode = config.eval_mode
        self.execution = Execution(self)
        self.samples_trained = 0  # in all epochs and processes; a sample counts once per epoch
        self.test_confusion_matrix: list[list[int]] = []
        self.further_metrics: dict[str, Metric] = {}  # for validation and test, by name: see metrics.further_metrics()

    def add_output(self, config: ModelConfig, spec: DataSpec, width: int) -> list[Penalty]:
        """Set self.output to a linear layer with inputs (B, width) and return its penalties."""
        layer = describe_output(config.output, config.outputs_for(spec), config)
        self.output = linear(width, layer)
        return linear_penalties(self.output, layer)

    @abstractmethod
    def sequential_layers(self) -> list[nn.Module]:
        """List the layers in order; applied one after another, they compute forward() without masking.

        Together they hold all parameters. Pipelines and layer splits cut between layers; FSDP2 gathers one at a time.
        """

    def sharded_modules(self) -> list[nn.Module]:
        """List the modules whose weights FSDP2 gathers one after another: by default those of the layers."""
        # One by one: of a group of modules, such as an embedding and what reads it, torch refuses the first to run.
        return [module for layer in self.sequential_layers() for module in layer_modules(layer)]

    def hidden_outputs(self) -> dict[str, nn.Module]:
        """Map each hidden layer's name to the module that outputs it: (…, units) or (B, units, height, width)."""
        return output_modules(self)

    def configure_model(self) -> None:
        """Freeze layers, and split the weights if the strategy does so. Raises ConfigurationError."""
        names = tuple(name for name, module in self.named_modules() if name and any(True for _ in module.parameters()))
        for name in self.config.freeze:
            one_of("model.freeze", name, names)
            self.get_submodule(name).requires_grad_(False)
        trains = any(parameter.requires_grad for parameter in self.parameters())
        require(trains or not self.config.freeze, NOTHING_TO_TRAIN)
        self.execution.configure()

    def train(self, mode: bool = True) -> Self:
        """Set the mode; batch norm of a frozen layer stays in eval mode, so that its statistics do not change."""
        super().train(mode)
        for name in self.config.freeze:
            for module in self.get_submodule(name).modules():
                if isinstance(module, BATCH_NORMS):
                    module.eval()
        return self

    @abstractmethod
    def forward(self, inputs: Tensor) -> Tensor:
        """Compute logits (B, outputs)."""

    def training_loss(self, batch: Batch) -> Tensor:
        """Return the loss of one batch, penalties included. Logging here would cost more than the arithmetic."""
        inputs, targets = batch
        logits, data_loss = self.execution.loss(inputs, targets)
        penalty = self.execution.penalty() if self.penalties else None
        self.training_sums.add(logits, targets, data_loss, penalty)
        return data_loss if penalty is None else data_loss + penalty

    def add_up(self) -> None:
        """Add up the epoch's loss and hits."""
        self.training_sums.flush()

    def forget(self) -> None:
        """Drop the batches that have not been added up."""
        self.training_sums.forget()

    def setup(self, stage: str) -> None:
        """Create the sums once per fit, since a CUDA graph adds to these very tensors, and the training loss."""
        if stage == "fit":
            self.training_sums = TrainingSums(self.device)
            data = self.trainer.datamodule  # type: ignore[attr-defined]
            if self.config.class_weights == BALANCED:
                message = (
                    "model.class_weights=balanced counts the samples of a dlproj data module: set a list of weights"
                )
                require(isinstance(data, DataModule), message)
                self.class_weights = balanced_weights(data.train.targets, len(self.classes)).tolist()
            self.criterion = self._criterion(self.device, isinstance(data, DataModule) and data.config.mixup > 0)

    def _criterion(self, device: torch.device | None = None, mixes: bool = False) -> LossFunction:
        weights = None if self.class_weights is None else torch.tensor(self.class_weights, device=device)
        return criterion(self.config, self.activation, self.loss, weights, mixes)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the weights of the classes."""
        if self.class_weights is not None:
            checkpoint["class_weights"] = self.class_weights

    def on_train_start(self) -> None:
        """Put batch norm of frozen layers in eval mode; before, Lightning would warn of it."""
        self.train()

    def on_train_epoch_start(self) -> None:
        """Reset the sums and record the epoch's initial learning rate."""
        self.training_sums.reset()
        self._learning_rate = self.optimizer().param_groups[0]["lr"]

    def epoch_so_far(self) -> dict[str, Any]:
        """Return this process's sums of the current epoch, its learning rate and the latest metrics."""
        so_far = {"sums": self.training_sums.state(), "learning_rate": self._learning_rate}
        return so_far | {"metrics": self.latest_metrics()}

    def resume_epoch(self, so_far: dict[str, Any]) -> None:
        """Resume an epoch from the result of epoch_so_far()."""
        self.training_sums.resume(so_far["sums"])
        self._learning_rate = so_far["learning_rate"]
        self.metrics_before = so_far["metrics"]

    def on_train_epoch_end(self) -> None:
        """Log the epoch's training metrics and learning rate."""
        totals = self.trainer.strategy.reduce(self.training_sums.totals(), self.execution.data_group, "sum")
        self.samples_trained += int(totals[-1])
        self._log("train", training_means(totals, bool(self.penalties)))
        self.log("learning_rate", self._learning_rate, sync_dist=self.trainer.world_size > 1)
        self.step_plateau()

    def running_metrics(self) -> dict[str, float]:
        """Return this process's loss and accuracy in the epoch so far, for the progress bar; on a GPU one call late."""
        return training_means(self.training_sums.totals_without_waiting(), penalized=bool(self.penalties))

    def on_validation_model_eval(self) -> None:
        """Switch to eval mode, or to training mode if model.eval_mode is false."""
        self.train(not self.eval_mode)

    def on_test_model_eval(self) -> None:
        """Switch to eval mode, or to training mode if model.eval_mode is false."""
        self.train(not self.eval_mode)

    def on_validation_epoch_start(self) -> None:
        """Start the evaluation of each loader: the validation set and, if evaluated, the training set."""
        self.evaluations = [self._new_evaluation() for _ in self.trainer.num_val_batches]

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch to its loader's evaluation."""
        self._evaluate(batch, self.evaluations[dataloader_idx])

    def on_validation_epoch_end(self) -> None:
        for name, evaluation in zip(("val", "train_eval"), self.evaluations, strict=False):
            self._log(name, self.compute_metrics(evaluation))

    def on_test_epoch_start(self) -> None:
        self.evaluation = self._new_evaluation()

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Add a batch to the evaluation; return its logits, for callbacks."""
        return self._evaluate(batch, self.evaluation)

    def on_test_epoch_end(self) -> None:
        """Log the metrics and keep the confusion matrix."""
        self._log("test", self.compute_metrics(self.evaluation))
        self.test_confusion_matrix = self.evaluation.confusion_matrix()

    def _new_evaluation(self) -> Evaluation:
        return Evaluation(len(self.classes), self.device, self.execution.data_group, self.further_metrics)

    def _evaluate(self, batch: Batch, evaluation: Evaluation) -> Tensor:
        inputs, targets = batch
        logits = self.execution.logits(inputs)
        evaluation.add(logits, targets, self.loss(logits, targets))
        return logits

    def compute_metrics(self, evaluation: Evaluation) -> dict[str, float]:
        """Return the metrics of an evaluation by name, with the penalty of the current weights."""
        penalty = float(self.execution.penalty()) if self.penalties else 0.0
        return evaluation.compute(penalty, bool(self.penalties))

    def _log(self, split: str, metrics: dict[str, float]) -> None:
        # The values are equal on all ranks, but without sync_dist Lightning would warn.
        values = {f"{split}/{name}": value for name, value in metrics.items()}
        self.log_dict(values, sync_dist=self.trainer.world_size > 1)

    def parameter_count(self) -> int:
        """Count all parameters, including embedding rows that no word uses."""
        return sum(parameter.numel() for parameter in self.parameters())
