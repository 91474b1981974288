"""The pacer as a Lightning callback."""

from typing import Any

from pytorch_lightning.callbacks import Callback

from benchmarks.pacer import Pacer


class Pacing(Callback):
    """A chunk lasts from the start of one epoch to the start of the next, with all that is done at an epoch's end.

    Where validation does not count, its pass is left out, but not what follows it, such as saving the best weights.
    Hooks of the epoch only: a hook at every batch would cost time by itself.
    """

    def __init__(self, pacer: Pacer, validation: bool) -> None:
        self.pacer = pacer
        self.validation = validation

    def on_train_epoch_start(self, *args: Any) -> None:
        """Wait for the word."""
        self.pacer.next_chunk_or_exit()

    def on_validation_start(self, *args: Any) -> None:
        """Stop the clock."""
        if not self.validation:
            self.pacer.pause()

    def on_validation_end(self, *args: Any) -> None:
        """Go on."""
        if not self.validation:
            self.pacer.resume()
