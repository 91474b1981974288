"""Why a run ended, in words."""

from types import SimpleNamespace

import pytest

from dlproj.training.ending import Ending


@pytest.mark.parametrize(
    ("epochs", "max_steps", "max_time", "words"),
    [
        (3, -1, None, "reached max_epochs=3"),
        (3, 77, None, "reached max_steps=77"),
        (3, 78, None, "reached max_epochs=3"),
        (2, -1, "00:00:01:00", "reached max_time=00:00:01:00"),
        (2, -1, None, "stopped by a callback"),
    ],
)
def test_what_no_callback_of_ours_has_said_is_told_from_the_trainer(epochs, max_steps, max_time, words):
    steps = {"global_step": 77, "max_steps": max_steps}
    trainer = SimpleNamespace(early_stopping_callbacks=[], current_epoch=epochs, max_epochs=3, **steps)
    assert Ending().reason_of(trainer, max_time) == words


def test_what_a_callback_of_ours_has_said_is_the_reason():
    trainer = SimpleNamespace(early_stopping_callbacks=[], current_epoch=3, max_epochs=3)
    assert Ending("pruned", "pruned after epoch 3").reason_of(trainer, None) == "pruned after epoch 3"
