"""What a multilayer perceptron reads of a text: the mean of its words' embeddings, or a bag of its words."""

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import functional

from dlproj.config.data import DataSpec
from dlproj.config.mlp import MLPConfig, TextInput

_PADDING = 0


def text_input(config: MLPConfig, spec: DataSpec) -> nn.Module:
    """Return the module that makes numbers (B, inputs) of ids (B, length)."""
    size = spec.vocabulary_size or 0
    if config.text_input in (None, TextInput.mean_of_embeddings):
        return MeanOfEmbeddings(size, config.inputs_of(spec))
    return BagOfWords(size, spec.first_token, config.text_input is TextInput.counts)


class MeanOfEmbeddings(nn.Embedding):
    """The mean of the embeddings of ids (B, length) that are not padding: (B, embedding_dim); 0 where there are none.

    As Keras's GlobalAveragePooling1D after an Embedding with mask_zero; the start of the text counts as a word.
    """

    def forward(self, ids: Tensor) -> Tensor:
        """Return the means."""
        # On a CPU a third of the time. ONNX has no embedding_bag, and DTensor (tensor parallelism) cannot split it.
        bags = ids.device.type == "cpu" and not torch.compiler.is_exporting()
        if bags and not isinstance(self.weight, DTensor):
            return functional.embedding_bag(ids, self.weight, mode="mean", padding_idx=_PADDING)
        read = (ids != _PADDING).to(self.weight.dtype)[:, :, None]
        return (super().forward(ids) * read).sum(1) / read.sum(1).clamp(min=1)


class BagOfWords(nn.Module):
    """How often ids (B, length) hold each id from `first` on, or 1 where they do: (B, size - first)."""

    one: Tensor

    def __init__(self, size: int, first: int, counts: bool) -> None:
        super().__init__()
        self.size, self.first, self.counts = size, first, counts
        self.register_buffer("one", torch.ones(()), persistent=False)  # of the device and type of the weights

    def forward(self, ids: Tensor) -> Tensor:
        """Return the counts, or zeros and ones."""
        bags = self.one.new_zeros(ids.shape[0], self.size)
        if self.counts:
            return bags.scatter_add(1, ids.long(), self.one.expand(ids.shape))[:, self.first :]
        return bags.scatter(1, ids.long(), 1.0)[:, self.first :]
