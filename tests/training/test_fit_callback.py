"""What a callback has put into a checkpoint comes back where training goes on, and nowhere else."""

import pytest
import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

from dlproj.training.fit_callback import FitCallback


class Counter(FitCallback):
    count = 3

    def on_save_checkpoint(self, trainer, model, checkpoint):
        checkpoint["count"] = self.count

    def resume(self, trainer, model, checkpoint):
        self.count = checkpoint["count"]


@pytest.mark.parametrize(("fn", "count"), [(TrainerFn.FITTING, 7), (TrainerFn.TESTING, 3), (TrainerFn.VALIDATING, 3)])
def test_a_checkpoint_is_taken_up_by_training_alone(fn, count):
    trainer, counter = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False), Counter()
    trainer.state.fn = fn
    counter.on_load_checkpoint(trainer, pl.LightningModule(), {"count": 7})
    assert counter.count == count


def test_a_callback_that_takes_nothing_up_is_none():
    with pytest.raises(TypeError, match="resume"):
        type("Forgetful", (FitCallback,), {"on_save_checkpoint": Counter.on_save_checkpoint})()
