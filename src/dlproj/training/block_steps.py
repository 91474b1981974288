"""An optimizer step for each batch of a block, by Lightning's manual optimisation or with nothing of it."""

from collections.abc import Iterable
from itertools import islice

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy

from dlproj.data.batches import Batch, Block
from dlproj.library_internals.lightning_internals import count_step
from dlproj.models.optimized import OptimizedModule
from dlproj.training.cuda_graph import CapturedSteps


class BlockSteps:
    """Steps a model; a call takes a block of batches, or one batch of a loader that knows no blocks.

    What Lightning does around each training_step of its own is done here, without what it costs: a step of a small
    network takes 2 ms, a call 0.7. The weights are the same to the bit.
    """

    def __init__(self, model: OptimizedModule) -> None:
        self.model = model
        self.captured: CapturedSteps | None = None  # of a GPU

    def __call__(self, batch: Batch | Block) -> None:
        if not isinstance(batch, Block):
            self._step_by_lightning(batch)
            return
        batches = map(self.model.trainer.precision_plugin.convert_input, batch)
        if self.captured is None:
            self._one_by_one(batches)
        else:
            self._at_once(list(batches), self.captured)

    def _one_by_one(self, batches: Iterable[Batch]) -> None:
        trainer = self.model.trainer
        left = trainer.max_steps - trainer.global_step if trainer.max_steps >= 0 else None
        is_bare = _is_bare(trainer)
        for batch in islice(batches, left):
            if is_bare:
                self._bare_step(batch)
                count_step(self.model.trainer)
                self.model.step_scheduler("step")
            else:
                self._step_by_lightning(batch)

    def _at_once(self, batches: list[Batch], captured: CapturedSteps) -> None:
        model, trainer = self.model, self.model.trainer
        model.add_up()  # what is noted so far is not of these steps
        beyond_limit = 0 <= trainer.max_steps < trainer.global_step + len(batches)
        if beyond_limit or not captured.ready(batches):
            model.forget()  # a capture that failed has noted what was never computed
            self._one_by_one(batches)
            return
        rates = []
        for _ in batches:
            rates.append(model.optimizer().param_groups[0]["lr"])
            count_step(self.model.trainer)
            model.step_scheduler("step")
        captured.replay(batches, rates)

    def bare_steps(self, batches: Iterable[Batch]) -> None:
        """An optimizer step a batch with nothing of Lightning around it: what can be captured on a GPU."""
        for batch in batches:
            self._bare_step(batch)
        self.model.add_up()

    def _bare_step(self, batch: Batch) -> None:
        model = self.model
        for parameter in model.trained:  # Optimizer.zero_grad takes ten times as long
            parameter.grad = None
        model.training_loss(batch).backward()
        model.clip()
        model.optimizer().optimizer.step()
        # Mixed precision keeps half-precision copies of the weights until its context ends, after the block.
        torch.clear_autocast_cache()

    def _step_by_lightning(self, batch: Batch) -> None:
        """The same by way of Lightning's strategy and precision, which know other processes and scaled gradients."""
        model, optimizer = self.model, self.model.optimizer()
        optimizer.zero_grad()
        model.manual_backward(model.training_loss(batch))
        model.clip()
        optimizer.step()
        torch.clear_autocast_cache()
        model.step_scheduler("step")


def _is_bare(trainer: pl.Trainer) -> bool:
    """True if backward and optimizer step need nothing of Lightning: one device, no scaled gradients.

    Its way through strategy, precision and the hooks that nobody has takes a twentieth of a small network's step.
    """
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return isinstance(trainer.strategy, SingleDeviceStrategy) and scaler is None
