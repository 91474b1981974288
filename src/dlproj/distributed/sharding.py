"""FSDP2 and tensor parallelism: a model's weights split over processes into shards, columns and rows."""

from collections.abc import Iterable

import pytorch_lightning as pl
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module
from torch.optim import Optimizer

from dlproj.models.classifier import Classifier
from dlproj.models.execution import Execution


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's strategy for FSDP2 and tensor parallelism, with weights split by Sharded.

    Its device mesh has the dimensions data_parallel and tensor_parallel.
    """

    def setup_environment(self) -> None:
        """Start the processes and compute the model on their mesh."""
        super().setup_environment()
        assert isinstance(self.lightning_module, Classifier)
        assert self.device_mesh is not None
        self.lightning_module.execution = Sharded(self.lightning_module, self.device_mesh)

    def setup_optimizers(self, trainer: pl.Trainer) -> None:
        """Create the optimizers, which update parameters singly if only some of them are split."""
        super().setup_optimizers(trainer)
        for optimizer in self.optimizers:
            disable_fused(optimizer)


class Sharded(Execution):
    """Computes a model whose weights are split over processes; with FSDP2 each also has its own samples."""

    is_local = False

    def __init__(self, model: Classifier, mesh: DeviceMesh) -> None:
        super().__init__(model)
        self.data_mesh, self.tensor_mesh = mesh["data_parallel"], mesh["tensor_parallel"]
        self.data_group = self.data_mesh.get_group()

    def configure(self) -> None:
        """Split the weights unless they are split; a mesh dimension of size 1 has no effect."""
        if any(isinstance(parameter, DTensor) for parameter in self.model.parameters()):
            return
        if not self.has_all_units():
            parallelize_module(self.model, self.tensor_mesh, tensor_parallel_plan(self.model))
        if self.data_mesh.size() > 1:
            for module in self.model.sharded_modules():
                fully_shard(module, mesh=self.data_mesh, reshard_after_forward=True)

    def has_all_units(self) -> bool:
        """False with tensor parallelism."""
        return self.tensor_mesh.size() == 1

    def penalty(self) -> Tensor:
        """Compute the sum of the penalties on the full weights."""
        return self.model.penalties(self.full_tensor)

    def full_tensor(self, tensor: Tensor) -> Tensor:
        """Gather the parts of the other processes."""
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def tensor_parallel_plan(model: nn.Module) -> dict[str, ParallelStyle]:
    """Plan tensor parallelism: linear maps are split in pairs, embeddings by columns.

    All other layers are computed by every process in full.
    """
    linear_maps = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    embeddings = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
    return in_pairs(linear_maps) | {name: _gathered_columns() for name in embeddings}


def in_pairs(linear_maps: Iterable[str]) -> dict[str, ParallelStyle]:
    """Split linear maps alternately by columns and rows: one exchange per pair (Shoeybi et al. 2019).

    Modules between the two of a pair must be elementwise. A last map without a partner gathers its columns.
    """
    names = list(linear_maps)
    plan = {name: RowwiseParallel() if i % 2 else ColwiseParallel() for i, name in enumerate(names)}
    return plan | {name: _gathered_columns() for name in names[len(names) - len(names) % 2 :]}


def _gathered_columns() -> ParallelStyle:
    return ColwiseParallel(output_layouts=Replicate())


def disable_fused(optimizer: Optimizer) -> None:
    """Make an optimizer update its parameters singly if only some of them are split."""
    kinds = {isinstance(parameter, DTensor) for group in optimizer.param_groups for parameter in group["params"]}
    if len(kinds) > 1:
        for group in optimizer.param_groups:
            group.update({name: False for name in ("fused", "foreach") if name in group})
