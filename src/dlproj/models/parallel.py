"""A model's weights split over processes: FSDP2's shards, and the columns and rows of tensor parallelism."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module


def split(model: nn.Module, blocks: Iterable[nn.Module], plan: Mapping[str, ParallelStyle], mesh: DeviceMesh) -> None:
    """Split the modules that `plan` names by columns and rows, then shard each block; a dimension of one does nothing.

    The mesh is that of Lightning's ModelParallelStrategy, with the dimensions data_parallel and tensor_parallel.
    """
    if mesh["tensor_parallel"].size() > 1:
        parallelize_module(model, mesh["tensor_parallel"], dict(plan))
    if mesh["data_parallel"].size() > 1:
        for block in blocks:
            fully_shard(block, mesh=mesh["data_parallel"], reshard_after_forward=True)
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.register_forward_pre_hook(_read_weights_anew)


def in_pairs(linear_maps: Iterable[str]) -> dict[str, ParallelStyle]:
    """Each second map takes by rows what the one before gives by columns: one exchange a pair (Shoeybi et al. 2019).

    What stands between them works on each unit by itself. A last one without a pair is put together again.
    """
    names = list(linear_maps)
    plan: dict[str, ParallelStyle] = {
        name: RowwiseParallel() if place % 2 else ColwiseParallel() for place, name in enumerate(names)
    }
    if len(names) % 2:
        plan[names[-1]] = by_columns()
    return plan


def by_columns() -> ParallelStyle:
    """Each process computes some of the outputs, and has all of them then."""
    return ColwiseParallel(output_layouts=Replicate())


def whole(tensor: Tensor) -> Tensor:
    """A tensor with what other processes hold of it; all of them must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def step_one_by_one(optimizer: torch.optim.Optimizer) -> None:
    """Have an optimizer go through its parameters where some are split and others are not: at once it refuses them."""
    kinds = {isinstance(parameter, DTensor) for group in optimizer.param_groups for parameter in group["params"]}
    if len(kinds) > 1:
        for group in optimizer.param_groups:
            group.update({name: False for name in ("fused", "foreach") if name in group})


def _read_weights_anew(module: Any, inputs: Any) -> None:
    """torch's recurrent layers keep a list of their weights, which FSDP2 replaces without telling them."""
    module._flat_weights = [getattr(module, name, None) for name in module._flat_weights_names]
