"""Settings of a multilayer perceptron."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dlproj.config.checks import require
from dlproj.config.data import DataSpec, Kind
from dlproj.config.fields import Choice, like, setting
from dlproj.config.layers import Activation, DenseConfig, LayerPart, check_order, describe, usual_order
from dlproj.config.model import ModelConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.scheduler import SchedulerConfig

if TYPE_CHECKING:
    from dlproj.models.mlp import MLPClassifier

_EMBEDDING_DIM = 128


@dataclass(slots=True)
class FeedForwardConfig(ModelConfig):
    """Settings shared by models of linear maps with activations."""

    bias: bool = setting(True, "add a learned bias to each linear map, also the output's unless output.bias is set")
    batch_norm: bool = like(DenseConfig, "batch_norm", False)
    order: list[LayerPart] = like(DenseConfig, "order", usual_order)

    def check(self, key: str) -> None:
        """Raise ConfigurationError for an invalid setting or order."""
        ModelConfig.check(self, key)
        check_order(f"{key}.order", self.order)


class TextInput(Choice):
    """What a text's ids become, since a multilayer perceptron reads as many numbers of each sample."""

    mean_of_embeddings = "mean_of_embeddings", "the mean of their embedding vectors, padding left out"
    multi_hot = "multi_hot", "1 for each word of the vocabulary that the text has, else 0"
    counts = "counts", "how often the text has each word of the vocabulary"


@dataclass(slots=True)
class MLPConfig(FeedForwardConfig):
    """Settings of a multilayer perceptron."""

    splits_weights: ClassVar[bool] = True

    hidden: list[Any] = like(ModelConfig, "hidden", lambda: [1000])
    category_embedding_dim: int | None = setting(
        None, "size of a category's embedding vector, for categorical columns of a table; unset: one-hot", "[1, inf)"
    )
    text_input: TextInput | None = setting(None, "what a text's ids become; unset: mean_of_embeddings")
    embedding_dim: int | None = setting(None, "size of a word's embedding vector; unset: 128", "[1, inf)")

    def __post_init__(self) -> None:
        FeedForwardConfig.__post_init__(self)
        embeds = self.text_input in (None, TextInput.mean_of_embeddings)
        message = "model.embedding_dim is for text_input=mean_of_embeddings: leave it out for a bag of words"
        require(self.embedding_dim is None or embeds, message)

    @property
    def reads_padding(self) -> bool:
        """True: batches of texts of similar length save nothing."""
        return True

    def hidden_layers(self) -> list[DenseConfig]:
        """Settings of each hidden layer. Raises ConfigurationError if one is invalid."""
        return describe(DenseConfig, self.hidden, self)

    def dense_layers(self) -> list[DenseConfig]:
        """The hidden layers. Raises ConfigurationError."""
        return self.hidden_layers()

    def layer_names(self) -> list[str]:
        """Also reading, which has parameters for some data; whether it has, the built model knows."""
        return ["reading", *FeedForwardConfig.layer_names(self)]

    def check_tensor_parallel(self, size: int) -> None:
        """Also raise ConfigurationError if the units of a pair's first layer cannot be split evenly."""
        ModelConfig.check_tensor_parallel(self, size)
        for pair, layer in enumerate(self.hidden_layers()[::2]):
            joint = layer.activation in (Activation.softmax, Activation.prelu)
            message = f"model.hidden[{2 * pair}] has the activation {layer.activation.name}, which needs all units"
            require(not joint, f"{message} in one process: set another, or trainer.tensor_parallel_size=1")
            message = f"model.hidden[{2 * pair}] has {layer.units} units for trainer.tensor_parallel_size={size}"
            require(layer.units % size == 0, f"{message} processes: set a multiple")

    def inputs_of(self, spec: DataSpec) -> int:
        """Numbers in a sample, with ids and categories embedded. Raises ConfigurationError for unfit settings."""
        sizes, dim = spec.category_sizes, self.category_embedding_dim
        message = "model.category_embedding_dim is for categorical columns, and the data has none: leave it out"
        require(dim is None or bool(sizes), message)
        if spec.kind is not Kind.sequence:
            message = "model.text_input and model.embedding_dim are for texts: leave them out for this data"
            require(self.text_input is None and self.embedding_dim is None, message)
            return math.prod(spec.shape) + sum((dim or size) - size for size in sizes)
        if self.text_input in (None, TextInput.mean_of_embeddings):
            return self.embedding_dim or _EMBEDDING_DIM
        return (spec.vocabulary_size or 0) - spec.first_token

    def build(self, spec: DataSpec, optim: OptimConfig, scheduler: SchedulerConfig) -> "MLPClassifier":
        """Build the classifier for this data."""
        from dlproj.models.mlp import MLPClassifier

        return MLPClassifier(self, spec, optim, scheduler)
