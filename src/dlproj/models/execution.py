"""How a classifier's network is computed: here, in this process. What spreads it out is in distributed/."""

from typing import TYPE_CHECKING, Any

from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from dlproj.models.classifier import Classifier


class Execution:
    """Computes logits, loss and penalty of a model that this process has as a whole."""

    is_local = True  # False if forward() needs other processes
    data_group: Any = None  # the data-parallel process group; None is the default group

    def __init__(self, model: "Classifier") -> None:
        self.model = model

    def configure(self) -> None:
        """Split the weights: called by Lightning when processes and mesh are there."""

    def has_all_units(self) -> bool:
        """True if this process computes all units of each layer."""
        return True

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (B, outputs) of a batch."""
        logits: Tensor = self.model(inputs)
        return logits

    def loss(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, outputs) of a training batch and its mean loss, for backward()."""
        logits = self.model(inputs)
        return logits, self.model.loss(logits, targets)

    def penalty(self) -> Tensor:
        """The sum of all penalties of the weights, a scalar for backward()."""
        return self.model.penalties()

    def trained_parameters(self) -> list[nn.Parameter]:
        """The parameters that this process's optimizer steps."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def full_tensor(self, tensor: Tensor) -> Tensor:
        """A parameter or gradient with the parts that other processes hold; all processes must call this."""
        return tensor

    def full_parameters(self) -> dict[str, Tensor]:
        """All trained parameters by name, as full_tensor() gives them; rank 0 alone may get them."""
        named = self.model.named_parameters()
        return {name: self.full_tensor(value.detach()) for name, value in named if value.requires_grad}

    def clip_gradients(self, optimizer: Optimizer, limit: float, algorithm: GradClipAlgorithmType) -> None:
        """Clip by value or by norm, in mixed precision, too.

        There, Lightning refuses a fused optimizer, as if the gradients were scaled. They are in 16-mixed alone, for
        which TrainerConfig refuses clipping.
        """
        Precision.clip_gradients(self.model.trainer.precision_plugin, optimizer, limit, algorithm)
