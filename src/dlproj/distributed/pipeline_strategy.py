"""A Lightning strategy for pipelines: several processes, each with some of the layers."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch import Tensor
from torch.optim import Optimizer

from dlproj.distributed.pipeline import Pipelined
from dlproj.library_internals.lightning_internals import ModelAsItIs
from dlproj.models.classifier import Classifier


class PipelineStrategy(ModelAsItIs, DDPStrategy):
    """Uses the processes of Lightning's DDP without DDP itself: each has a stage of the model and gets all batches.

    Checkpoints are like those of a single process: rank 0 gathers the weights and optimizer state of all stages.
    """

    def __init__(self, micro_batches: int, schedule: str, **options: Any) -> None:
        super().__init__(**options)
        self.micro_batches = micro_batches
        self.schedule = schedule

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """Every process reads all samples."""
        return {"num_replicas": 1, "rank": 0}

    def setup(self, trainer: pl.Trainer) -> None:
        """Set up as on one device, without wrapping the model in DDP."""
        Strategy.setup(self, trainer)

    def model_to_device(self) -> None:
        """Move this process's layers to its device and drop the others."""
        model = self._classifier()
        model.execution = Pipelined(model, self.root_device, self.micro_batches, self.schedule)

    def backward(self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any) -> Tensor:
        """Add the penalties' gradients; those of the batch have been computed along with its loss."""
        return (
            super().backward(closure_loss, optimizer, *args, **kwargs) if closure_loss.requires_grad else closure_loss
        )

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the weights of all stages, on rank 0 only, in the order of the whole model."""
        weights = self._classifier().state_dict()
        gathered = self._pipeline().gathered(_on_cpu(_own(weights)))
        return {name: gathered[name] for name in weights if name in gathered}

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load the weights of this process's stage, or all before the model is split."""
        model = self._classifier()
        own = {name: checkpoint["state_dict"][name] for name in _own(model.state_dict())}
        model.load_state_dict(own, strict=False)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the state of all stages, on rank 0 only, indexed by the whole model's trained parameters."""
        state = (optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer).state_dict()
        indices = self._indices()
        gathered = self._pipeline().gathered({indices[i]: _on_cpu(values) for i, values in state["state"].items()})
        (group,) = state["param_groups"]
        count = sum(parameter.requires_grad for parameter in self._classifier().parameters())
        return {"state": dict(sorted(gathered.items())), "param_groups": [group | {"params": list(range(count))}]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load the state of this process's stage."""
        (state,), (optimizer,), indices = checkpoint["optimizer_states"], self.optimizers, self._indices()
        own = {i: state["state"][index] for i, index in enumerate(indices) if index in state["state"]}
        (group,) = state["param_groups"]
        optimizer.load_state_dict({"state": own, "param_groups": [group | {"params": list(range(len(indices)))}]})

    def _indices(self) -> list[int]:
        """The indices, among the whole model's trained parameters, of those that this process holds."""
        trained = [parameter for parameter in self._classifier().parameters() if parameter.requires_grad]
        return [i for i, parameter in enumerate(trained) if not parameter.is_meta]

    def teardown(self) -> None:
        """Tear down without moving the model to the CPU: most of its layers are in other processes."""
        assert self.cluster_environment is not None
        assert self.accelerator is not None
        self.cluster_environment.teardown()
        self.precision_plugin.teardown()
        self.accelerator.teardown()

    def _classifier(self) -> Classifier:
        assert isinstance(self.lightning_module, Classifier)
        return self.lightning_module

    def _pipeline(self) -> Pipelined:
        execution = self._classifier().execution
        assert isinstance(execution, Pipelined)
        return execution


def _own(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if not value.is_meta}


def _on_cpu(values: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value.cpu() if isinstance(value, torch.Tensor) else value for key, value in values.items()}
