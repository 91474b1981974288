"""Settings renamed since older versions: old run folders stay readable; whoever types an old name is told the new."""

from typing import Any

RENAMED = {
    "optim.decay": "optim.alpha",
    "optim.initial_accumulator": "optim.initial_accumulator_value",
    "scheduler.every": "scheduler.step_size",
    "scheduler.final_learning_rate": "scheduler.min_learning_rate",
}


def with_new_names(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run, nested as in its config.yaml, with old names replaced."""
    names = {tuple(old.split(".")): new.split(".")[1] for old, new in RENAMED.items()}
    return {
        group: {names.get((group, name), name): value for name, value in own.items()} if isinstance(own, dict) else own
        for group, own in settings.items()
    }
