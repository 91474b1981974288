"""Embeddings of the categorical columns of a table."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CategoryEmbedding(nn.Module):
    """Replaces each block of one-hot inputs by a learned vector: (B, inputs) to (B, numbers + blocks · dim).

    sizes: those of the blocks, the last inputs. A block of zeros, which stands for an unknown category, becomes zeros.
    """

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.tables = nn.ParameterList([nn.init.normal_(torch.empty(size, dim)) for size in sizes])

    def forward(self, inputs: Tensor) -> Tensor:
        """Embed the categories of a batch (B, inputs)."""
        numbers, *blocks = inputs.split([inputs.shape[1] - sum(self.sizes), *self.sizes], dim=1)
        return torch.cat([numbers, *(block @ table for block, table in zip(blocks, self.tables, strict=True))], 1)
