"""Pipeline parallelism: consecutive stages of layers in several processes, fed with micro-batches."""

from math import gcd
from typing import Any

import torch
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from dlproj.distributed.layer_split import spread
from dlproj.library_internals.torch_internals import keep_generators
from dlproj.models.classifier import Classifier
from dlproj.models.execution import Execution
from dlproj.models.losses import LossFunction

SCHEDULES = {
    "gpipe": ScheduleGPipe,  # all micro-batches forward, then all backward (Huang et al. 2019)
    "1f1b": Schedule1F1B,  # backward as early as possible, so fewer activations are kept (Narayanan et al. 2019)
}


class Pipelined(Execution):
    """Runs a pipeline: each process holds a stage of consecutive layers, gets every batch and returns its results.

    The other stages' parameters are on torch's meta device, as names and shapes only. A batch whose size is not
    divisible by micro_batches, like an epoch's last, is cut into gcd(micro_batches, size) micro-batches.
    """

    is_local = False

    def __init__(self, model: Classifier, device: torch.device, micro_batches: int, schedule: str) -> None:
        super().__init__(model)
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        layers = model.sequential_layers()
        stages = spread(range(self.size), len(layers))
        for layer, stage in zip(layers, stages, strict=True):
            layer.to(device if stage == self.rank else "meta")
        self.stage = nn.Sequential(*(layer for layer, stage in zip(layers, stages, strict=True) if stage == self.rank))
        self.device, self.micro_batches, self.schedule = device, micro_batches, SCHEDULES[schedule]
        self.data_group, _ = torch.distributed.new_subgroups(1)  # of this process alone: all read the same samples
        self._on_host: Any = torch.distributed.new_group(backend="gloo")  # for tensors too large for one GPU
        self._runs: dict[Any, Any] = {}

    def has_all_units(self) -> bool:
        """False: each process computes only its own layers."""
        return False

    def logits(self, inputs: Tensor) -> Tensor:
        """Compute the logits (B, outputs) of a batch, without gradients."""
        logits = self._run(inputs, None).step(*self._fed(inputs))
        return self._from_last(logits, (len(inputs), self.model.output.out_features))

    def loss(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the logits (B, outputs) and mean loss of a batch; its gradients are already accumulated."""
        losses: list[Tensor] = []
        outputs = self.model.output.out_features
        logits = self._run(inputs, self.model.criterion).step(*self._fed(inputs), target=targets, losses=losses)
        if logits is not None:
            logits = torch.cat([logits.flatten(), torch.stack(losses).mean()[None]])
        values = self._from_last(logits, (len(inputs) * outputs + 1,))  # one message for both
        return values[:-1].view(len(inputs), outputs), values[-1]

    def _run(self, inputs: Tensor, loss: LossFunction | None) -> Any:
        """Return the schedule for batches of this shape; a schedule exchanges tensors of one shape only."""
        key = (inputs.shape, loss is None)
        if key not in self._runs:
            count = gcd(self.micro_batches, len(inputs))
            # 1F1B needs at least one micro-batch per stage, and brings nothing without a backward pass.
            schedule = self.schedule if loss is not None and count >= self.size else ScheduleGPipe
            stage = keep_generators(PipelineStage(self.stage, self.rank, self.size, self.device))
            self._runs[key] = schedule(stage, count, loss_fn=loss)
        return self._runs[key]

    def _fed(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (inputs,) if self.rank == 0 else ()

    def _from_last(self, values: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        result = torch.empty(shape, dtype=self._dtype(), device=self.device) if values is None else values.detach()
        torch.distributed.broadcast(result, self.size - 1)
        return result

    def _dtype(self) -> torch.dtype:
        return next(self.stage.parameters()).dtype

    def penalty(self) -> Tensor:
        """Compute the sum of all stages' penalties; only this stage's are differentiable."""
        penalties = [penalty() for penalty in self.model.penalties.active if not penalty.weights.is_meta]
        own = torch.stack(penalties).sum() if penalties else torch.zeros((), dtype=self._dtype(), device=self.device)
        total = own.detach().clone()
        torch.distributed.all_reduce(total)
        return own + (total - own.detach())

    def trained_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of this stage."""
        return [parameter for parameter in super().trained_parameters() if not parameter.is_meta]

    def full_parameters(self) -> dict[str, Tensor]:
        """Return the parameters of all stages on the CPU of rank 0, and none on other ranks."""
        own = {name: value.cpu() for name, value in super().full_parameters().items() if not value.is_meta}
        return self.gathered(own)

    def clip_gradients(self, optimizer: Optimizer, limit: float, algorithm: GradClipAlgorithmType) -> None:
        """Clip the gradients by value, or by their norm over all stages."""
        if algorithm is not GradClipAlgorithmType.NORM:
            super().clip_gradients(optimizer, limit, algorithm)
            return
        parameters = self.trained_parameters()
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        squared = get_total_norm(gradients).square()
        torch.distributed.all_reduce(squared)
        clip_grads_with_norm_(parameters, limit, squared.sqrt())

    def gathered(self, own: dict[Any, Any]) -> dict[Any, Any]:
        """Merge the dicts of all stages on rank 0; others get an empty dict. All processes must call this."""
        parts: list[Any] | None = [None] * self.size if self.rank == 0 else None
        torch.distributed.gather_object(own, parts, group=self._on_host)
        return {key: value for part in parts or [] for key, value in part.items()}
