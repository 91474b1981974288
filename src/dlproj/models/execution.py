"""How a classifier's network is computed in a single process; distributed/ has the other ways."""

from typing import TYPE_CHECKING, Any

from pytorch_lightning.plugins.precision import Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from dlproj.models.classifier import Classifier


class Execution:
    """Computes logits, loss and penalty of a model held entirely by this process."""

    is_local = True  # False if forward() needs other processes
    data_group: Any = None  # the data-parallel process group; None is the default group

    def __init__(self, model: "Classifier") -> None:
        self.model = model

    def configure(self) -> None:
        """Split the weights. Called by Lightning once processes and device mesh exist."""

    def has_all_units(self) -> bool:
        """True if this process computes all units of each layer."""
        return True

    def logits(self, inputs: Tensor) -> Tensor:
        """Compute the logits (B, outputs) of a batch."""
        logits: Tensor = self.model(inputs)
        return logits

    def loss(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the logits (B, outputs) of a training batch and its mean loss, a scalar for backward()."""
        logits = self.model(inputs)
        return logits, self.model.criterion(logits, targets)

    def penalty(self) -> Tensor:
        """Compute the sum of all penalties, a scalar for backward()."""
        return self.model.penalties()

    def trained_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that this process's optimizer updates."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def trained_layers(self) -> list[list[nn.Parameter]]:
        """Return the trained parameters of each layer with parameters, in order; of a frozen layer there are none."""
        layers = [list(layer.parameters()) for layer in self.model.sequential_layers()]
        return [[parameter for parameter in layer if parameter.requires_grad] for layer in layers if layer]

    def full_tensor(self, tensor: Tensor) -> Tensor:
        """Complete a parameter or gradient with other processes' parts; all processes must call this."""
        return tensor

    def full_parameters(self) -> dict[str, Tensor]:
        """Return all trained parameters by name, as by full_tensor(); other ranks than 0 may get none."""
        named = self.model.named_parameters()
        return {name: self.full_tensor(value.detach()) for name, value in named if value.requires_grad}

    def clip_gradients(self, optimizer: Optimizer, limit: float, algorithm: GradClipAlgorithmType) -> None:
        """Clip gradients by value or norm, also in mixed precision.

        Lightning's mixed precision refuses to clip for a fused optimizer, since gradients may be scaled. Only 16-mixed
        scales them, for which TrainerConfig refuses clipping.
        """
        Precision.clip_gradients(self.model.trainer.precision_plugin, optimizer, limit, algorithm)
