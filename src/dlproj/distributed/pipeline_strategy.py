"""Lightning's strategy for a pipeline: several processes, each with some of the layers."""

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
    """Lightning's DDP without what makes it DDP: its processes, but each with a stage of the model and all batches.

    Checkpoints are those of one process: the first gathers the weights and the optimizer's state of all stages.
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
        """Prepare as on one device: no DDP around the model."""
        Strategy.setup(self, trainer)

    def model_to_device(self) -> None:
        """Put this process's layers on its device, and let go of the others."""
        model = self._classifier()
        model.execution = Pipelined(model, self.root_device, self.micro_batches, self.schedule)

    def backward(self, closure_loss: Tensor, optimizer: Optimizer | None, *args: Any, **kwargs: Any) -> Tensor:
        """The batch's own gradients are there with its loss; what is left to do is the penalties'."""
        return (
            super().backward(closure_loss, optimizer, *args, **kwargs) if closure_loss.requires_grad else closure_loss
        )

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The weights of all stages, in the first process, by the names and in the order of the whole model."""
        names = self._classifier().state_dict()
        whole = self._pipeline().gathered(_on_cpu(_own(names)))
        return {name: whole[name] for name in names if name in whole}

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load what is of this process's stage: all, before there are stages."""
        model = self._classifier()
        own = {name: checkpoint["state_dict"][name] for name in _own(model.state_dict())}
        model.load_state_dict(own, strict=False)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state of all stages, in the first process, numbered as one process numbers the parameters."""
        state = (optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer).state_dict()
        numbers = self._numbers()
        whole = self._pipeline().gathered({numbers[place]: _on_cpu(values) for place, values in state["state"].items()})
        (group,) = state["param_groups"]
        count = sum(one.requires_grad for one in self._classifier().parameters())
        return {"state": dict(sorted(whole.items())), "param_groups": [group | {"params": list(range(count))}]}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take what is of this process's stage."""
        (whole,), (optimizer,), numbers = checkpoint["optimizer_states"], self.optimizers, self._numbers()
        own = {place: whole["state"][number] for place, number in enumerate(numbers) if number in whole["state"]}
        (group,) = whole["param_groups"]
        optimizer.load_state_dict({"state": own, "param_groups": [group | {"params": list(range(len(numbers)))}]})

    def _numbers(self) -> list[int]:
        """Which of the whole model's trained parameters are in this process."""
        trained = [one for one in self._classifier().parameters() if one.requires_grad]
        return [number for number, one in enumerate(trained) if not one.is_meta]

    def teardown(self) -> None:
        """Leave the layers where they are: most are in other processes."""
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
