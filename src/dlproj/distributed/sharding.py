"""A model's weights split over processes: FSDP2's shards, and the columns and rows of tensor parallelism."""

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
from dlproj.models.layers import layer_modules


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's strategy for FSDP2 and tensor parallelism, with the model's weights split as Sharded does.

    Its mesh of processes has the dimensions data_parallel and tensor_parallel.
    """

    def setup_environment(self) -> None:
        """Start the processes and have the model computed over their mesh."""
        super().setup_environment()
        assert isinstance(self.lightning_module, Classifier)
        assert self.device_mesh is not None
        self.lightning_module.execution = Sharded(self.lightning_module, self.device_mesh)

    def setup_optimizers(self, trainer: pl.Trainer) -> None:
        """Make the optimizers, which step parameters one by one where some are split and others are not."""
        super().setup_optimizers(trainer)
        for optimizer in self.optimizers:
            disable_fused(optimizer)


class Sharded(Execution):
    """Each process has some of the weights; for FSDP2 it has samples of its own, too."""

    is_local = False

    def __init__(self, model: Classifier, mesh: DeviceMesh) -> None:
        super().__init__(model)
        self.data_mesh, self.tensor_mesh = mesh["data_parallel"], mesh["tensor_parallel"]
        self.data_group = self.data_mesh.get_group()

    def configure(self) -> None:
        """Split the weights, unless it is done; a dimension of one process does nothing."""
        if any(isinstance(parameter, DTensor) for parameter in self.model.parameters()):
            return
        if not self.has_all_units():
            parallelize_module(self.model, self.tensor_mesh, tensor_parallel_plan(self.model))
        if self.data_mesh.size() > 1:
            for layer in self.model.sequential_layers():
                fully_shard(layer_modules(layer), mesh=self.data_mesh, reshard_after_forward=True)

    def has_all_units(self) -> bool:
        """Not with tensor parallelism."""
        return self.tensor_mesh.size() == 1

    def penalty(self) -> Tensor:
        """The penalties of the weights of all processes."""
        return self.model.penalties(self.full_tensor)

    def full_tensor(self, tensor: Tensor) -> Tensor:
        """Gather what the others have."""
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def tensor_parallel_plan(model: nn.Module) -> dict[str, ParallelStyle]:
    """How tensor parallelism splits a model: linear maps in pairs, and embeddings by their numbers.

    Every other layer is computed by each process as a whole.
    """
    linear_maps = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    embeddings = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
    return in_pairs(linear_maps) | {name: _gathered_columns() for name in embeddings}


def in_pairs(linear_maps: Iterable[str]) -> dict[str, ParallelStyle]:
    """Each second map takes by rows what the one before gives by columns: one exchange a pair (Shoeybi et al. 2019).

    What stands between them must work on each unit by itself. The columns of a last one without a pair are gathered.
    """
    names = list(linear_maps)
    plan = {name: RowwiseParallel() if i % 2 else ColwiseParallel() for i, name in enumerate(names)}
    return plan | {name: _gathered_columns() for name in names[len(names) - len(names) % 2 :]}


def _gathered_columns() -> ParallelStyle:
    return ColwiseParallel(output_layouts=Replicate())


def disable_fused(optimizer: Optimizer) -> None:
    """Have an optimizer go through its parameters one by one where some are split and others are not."""
    kinds = {isinstance(parameter, DTensor) for group in optimizer.param_groups for parameter in group["params"]}
    if len(kinds) > 1:
        for group in optimizer.param_groups:
            group.update({name: False for name in ("fused", "foreach") if name in group})
