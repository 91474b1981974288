"""One network in all processes when it is evaluated, also with batch norm."""

from typing import Any

import pytorch_lightning as pl
import torch.distributed
from pytorch_lightning.callbacks import Callback


class BroadcastBuffers(Callback):
    """Gives each process the buffers of rank 0, which checkpoints hold, before validation and test.

    The running statistics of batch norm are of each process's own samples. DDP broadcasts them in forward(), but not in
    manual optimisation, and FSDP2 never does.
    """

    def on_validation_start(self, *args: Any) -> None:
        _broadcast(*args)

    def on_test_start(self, *args: Any) -> None:
        _broadcast(*args)


def _broadcast(trainer: pl.Trainer, model: pl.LightningModule) -> None:
    for buffer in model.buffers():
        torch.distributed.broadcast(buffer, src=0)
