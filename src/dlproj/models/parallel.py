"""A model's weights split over processes: FSDP2's shards, and the columns and rows of tensor parallelism."""

from collections.abc import Iterable, Mapping

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from dlproj.models.sharding import Split


def split(model: nn.Module, blocks: Iterable[nn.Module], plan: Mapping[str, Split], mesh: DeviceMesh) -> None:
    """Split the modules that `plan` names by columns and rows, then shard each block; a dimension of one does nothing.

    The mesh is that of Lightning's ModelParallelStrategy, with the dimensions data_parallel and tensor_parallel.
    """
    if mesh["tensor_parallel"].size() > 1:
        parallelize_module(model, mesh["tensor_parallel"], {name: _style(how) for name, how in plan.items()})
    if mesh["data_parallel"].size() > 1:
        for block in blocks:
            fully_shard(block, mesh=mesh["data_parallel"], reshard_after_forward=True)


def _style(how: Split) -> ParallelStyle:
    match how:
        case Split.columns:
            return ColwiseParallel()
        case Split.rows:
            return RowwiseParallel()
        case Split.gathered_columns:
            return ColwiseParallel(output_layouts=Replicate())
