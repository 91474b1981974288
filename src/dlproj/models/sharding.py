"""How a model's weights may be split over processes, and tensors that are."""

from collections.abc import Iterable
from enum import Enum

from torch import Tensor
from torch.optim import Optimizer


class Split(Enum):
    """Which part of a module's weights each process of tensor parallelism has."""

    columns = "columns"  # some of the outputs, which go on split
    rows = "rows"  # of inputs that are split; outputs are added up over the processes
    gathered_columns = "gathered_columns"  # some of the outputs, of which each process then has all


def in_pairs(linear_maps: Iterable[str]) -> dict[str, Split]:
    """Each second map takes by rows what the one before gives by columns: one exchange a pair (Shoeybi et al. 2019).

    What stands between them works on each unit by itself. A last one without a pair is put together again.
    """
    names = list(linear_maps)
    plan = {name: Split.rows if place % 2 else Split.columns for place, name in enumerate(names)}
    if len(names) % 2:
        plan[names[-1]] = Split.gathered_columns
    return plan


def is_split(tensor: Tensor) -> bool:
    """Whether other processes hold parts of it: a DTensor, for which torch's module need not be imported."""
    return hasattr(tensor, "full_tensor")


def full_tensor(tensor: Tensor) -> Tensor:
    """A tensor with what other processes hold of it; all of them must ask."""
    return tensor.full_tensor() if is_split(tensor) else tensor  # type: ignore[attr-defined]


def disable_fused(optimizer: Optimizer) -> None:
    """Have an optimizer go through its parameters where some are split and others are not: at once it refuses them."""
    kinds = {is_split(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if len(kinds) > 1:
        for group in optimizer.param_groups:
            group.update({name: False for name in ("fused", "foreach") if name in group})
