"""Private and undocumented names of PyTorch Lightning, which is not imported here."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import ModelCheckpoint


def accumulates(trainer: "pl.Trainer") -> bool:
    """True if gradients wait for those of further batches.

    trainer.accumulate_grad_batches alone does not tell: an epoch's last batch steps, too, unless the strategy waits.
    """
    return trainer.fit_loop.epoch_loop._should_accumulate()


def announce_sigterm(trainer: "pl.Trainer") -> None:
    """Have Lightning end training after the batch, in all processes, as after a SIGTERM that it has received itself.

    trainer.received_sigterm is only to be read.
    """
    trainer._signal_connector.received_sigterm = True


def count_step(trainer: "pl.Trainer") -> None:
    """Have trainer.global_step count a step of manual optimisation that LightningOptimizer.step() has not taken."""
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    progress.increment_ready()
    progress.increment_completed()


def resume_by_epochs(trainer: "pl.Trainer") -> None:
    """Have a fit that is resumed go on with the epoch after a complete one, also with max_steps.

    With max_steps Lightning 2.6 takes any fit for one that was interrupted within its epoch, and leaves an epoch out.
    """
    trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]


def saves_within_epochs(checkpoint: "ModelCheckpoint") -> bool:
    """True of ModelCheckpoint(every_n_train_steps=…), which keeps it under a private name alone."""
    return bool(checkpoint._every_n_train_steps)


class ModelAsItIs:
    """Before DDPStrategy among a strategy's bases, it keeps DistributedDataParallel from wrapping the model.

    Strategy.setup() wraps the model and sets up the optimizers in one: overriding it would mean to copy it.
    """

    def _setup_model(self, model: Any) -> Any:
        return model
