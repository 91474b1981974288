"""The strategy of one process whose model spreads over several devices."""

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.strategies import SingleDeviceStrategy

from dlproj.models.classifier import Classifier
from dlproj.models.placement import connect, place


class LayerSplit(SingleDeviceStrategy):
    """Puts a model's layers on devices, one after another; batches, loss and metrics are on the first."""

    def __init__(self, devices: list[str], **options: Any) -> None:
        self.devices = [torch.device(name) for name in devices]
        super().__init__(device=self.devices[0], **options)
        self._is_connected = False

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Leave each parameter's state where the parameter is: Lightning brings all of it to the first device."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(state)

    def model_to_device(self) -> None:
        """Place the layers: for the test once more, as Lightning brings a model back to the CPU after training."""
        assert isinstance(self.lightning_module, Classifier)
        super().model_to_device()
        blocks = self.lightning_module.blocks()
        place(blocks, self.devices)
        if not self._is_connected:
            connect(blocks, self.devices)
        self._is_connected = True
