"""The 32-bit arithmetic of a step by hand, without Lightning's calls of hooks that nobody has."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.precision import Precision
from torch import Tensor
from torch.optim import Optimizer


class PrecisionWithoutHooks(Precision):
    """Lightning's own for single batches; in a block a step calls no hook before and after its parts.

    Blocks are handed out only where no callback has such a hook (StepsPerExecution), and calling a dozen empty ones
    takes a twentieth of a small network's step.
    """

    def pre_backward(self, tensor: Tensor, module: pl.LightningModule) -> Tensor:  # type: ignore[override]
        """The loss as it is."""
        return super().pre_backward(tensor, module) if module.automatic_optimization else tensor

    def post_backward(self, tensor: Tensor, module: pl.LightningModule) -> Tensor:  # type: ignore[override]
        """The loss without its graph."""
        return super().post_backward(tensor, module) if module.automatic_optimization else tensor.detach()

    def optimizer_step(  # type: ignore[override]
        self, optimizer: Optimizer, model: pl.LightningModule, closure: Callable[[], Any], **options: Any
    ) -> Any:
        """One step."""
        if model.automatic_optimization:
            return super().optimizer_step(optimizer, model, closure, **options)
        return optimizer.step(**options)
