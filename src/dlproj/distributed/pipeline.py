"""A model's layers in several processes, one after another, through which each batch goes in micro-batches."""

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
    "1f1b": Schedule1F1B,  # backward as soon as can be, so that fewer activations wait (Narayanan et al. 2019)
}


class Pipelined(Execution):
    """Keeps this process's stage of consecutive layers; every process is given each batch and gets its results.

    The other layers' parameters stay as names and shapes only, on torch's meta device. A batch that micro_batches does
    not divide, as an epoch's last one may be, is cut into as many micro-batches as do divide it.
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
        self.data_group, _ = torch.distributed.new_subgroups(1)  # no other process reads other samples than this one
        self._on_host: Any = torch.distributed.new_group(backend="gloo")  # for what no GPU has room for
        self._runs: dict[Any, Any] = {}

    def has_all_units(self) -> bool:
        """Each process has those of its layers."""
        return False

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (B, outputs) of a batch, without gradients."""
        logits = self._run(inputs, None).step(*self._fed(inputs))
        return self._from_last(logits, (len(inputs), self.model.output.out_features))

    def loss(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, outputs) of a batch and its mean loss, whose gradients are added to those of the parameters."""
        losses: list[Tensor] = []
        outputs = self.model.output.out_features
        logits = self._run(inputs, self.model.loss).step(*self._fed(inputs), target=targets, losses=losses)
        if logits is not None:
            logits = torch.cat([logits.flatten(), torch.stack(losses).mean()[None]])
        values = self._from_last(logits, (len(inputs) * outputs + 1,))  # one message for both
        return values[:-1].view(len(inputs), outputs), values[-1]

    def _run(self, inputs: Tensor, loss: LossFunction | None) -> Any:
        """A schedule for such batches: what it exchanges has one shape."""
        key = (inputs.shape, loss is None)
        if key not in self._runs:
            count = gcd(self.micro_batches, len(inputs))
            # 1F1B has at least a micro-batch for each stage, and without gradients there is no backward to be early.
            schedule = self.schedule if loss is not None and count >= self.size else ScheduleGPipe
            stage = keep_generators(PipelineStage(self.stage, self.rank, self.size, self.device))
            self._runs[key] = schedule(stage, count, loss_fn=loss)
        return self._runs[key]

    def _fed(self, inputs: Tensor) -> tuple[Tensor, ...]:
        return (inputs,) if self.rank == 0 else ()

    def _from_last(self, values: Tensor | None, shape: tuple[int, ...]) -> Tensor:
        told = torch.empty(shape, dtype=self._dtype(), device=self.device) if values is None else values.detach()
        torch.distributed.broadcast(told, self.size - 1)
        return told

    def _dtype(self) -> torch.dtype:
        return next(self.stage.parameters()).dtype

    def penalty(self) -> Tensor:
        """The sum of the penalties of all stages; the gradients of this one's flow through."""
        own = [penalty() for penalty in self.model.penalties.active if not penalty.weights.is_meta]
        mine = torch.stack(own).sum() if own else torch.zeros((), dtype=self._dtype(), device=self.device)
        everyones = mine.detach().clone()
        torch.distributed.all_reduce(everyones)
        return mine + (everyones - mine.detach())

    def trained_parameters(self) -> list[nn.Parameter]:
        """The parameters of this stage."""
        return [parameter for parameter in super().trained_parameters() if not parameter.is_meta]

    def full_parameters(self) -> dict[str, Tensor]:
        """The parameters of all stages, on the CPU of rank 0; nothing on the others."""
        named = self.model.named_parameters()
        trained = {name: value.detach() for name, value in named if value.requires_grad}
        return self.gathered({name: value.cpu() for name, value in trained.items() if not value.is_meta})

    def clip_gradients(self, optimizer: Optimizer, limit: float, algorithm: GradClipAlgorithmType) -> None:
        """By norm, scale the gradients down where the norm of those of all stages together is above `limit`."""
        if algorithm is not GradClipAlgorithmType.NORM:
            super().clip_gradients(optimizer, limit, algorithm)
            return
        parameters = self.trained_parameters()
        squared = get_total_norm([one.grad for one in parameters if one.grad is not None]).square()
        torch.distributed.all_reduce(squared)
        clip_grads_with_norm_(parameters, limit, squared.sqrt())

    def gathered(self, own: dict[Any, Any]) -> dict[Any, Any]:
        """What all stages have under different keys: in the first process, nothing in the others. All must ask."""
        everyones: list[Any] | None = [None] * self.size if self.rank == 0 else None
        torch.distributed.gather_object(own, everyones, group=self._on_host)
        return {key: value for one in everyones or [] for key, value in one.items()}
