"""Settings of a search. Hydra imports this module at every start."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlproj.config.checks import COUNTED, DISTANCE, require
from dlproj.config.fields import check_ranges, setting
from dlproj.config.metrics import VALIDATION_METRICS
from dlproj.config.sweep import PRUNERS

SAMPLERS = ("tpe", "random", "grid", "cmaes", "gp")
OBJECTIVES = (*VALIDATION_METRICS, "train/loss", "train/accuracy", *COUNTED)


@dataclass(slots=True)
class SearchConfig:
    """The settings of hydra/sweeper=optuna."""

    params: dict[str, Any] = setting(dict, "search space: a list of values or a distribution for each setting")
    trials: int = setting(
        20, "trials in total, those before a resume included; a grid ends with its last point", "[1, inf)"
    )
    objectives: list[str] = setting(lambda: ["val/accuracy"], f"metrics to optimise: any of {', '.join(OBJECTIVES)}")
    sampler: str = setting("tpe", "how the next trial is chosen", choices=SAMPLERS)
    sampler_settings: Any = setting(None, "keyword arguments of Optuna's sampler")
    seed: int = setting(0, "seed of the sampler")
    pruner: str = setting("none", "what ends a trial early", choices=PRUNERS)
    pruner_settings: Any = setting(None, "keyword arguments of Optuna's pruner")
    storage: str | None = setting(
        None, "Optuna storage, such as postgresql+psycopg://…; unset: a file in the sweep's folder"
    )
    study: str | None = setting(None, "name of the study in the storage; unset: that of the sweep's folder")

    def __post_init__(self) -> None:
        check_ranges(self, "hydra.sweeper.")
        require(bool(self.objectives), "hydra.sweeper.objectives is empty: set [val/accuracy]")
        for name in self.objectives:
            known = name in OBJECTIVES
            message = f"hydra.sweeper.objectives: {name} is not an objective: set one of {', '.join(OBJECTIVES)}"
            hint = " (the test set must not choose what it tests)" if name.startswith("test/") else ""
            require(known, message + hint)
        for key in ("sampler_settings", "pruner_settings"):
            value = getattr(self, key)
            named = value is None or isinstance(value, Mapping)
            require(named, f"hydra.sweeper.{key}={value} names nothing: set {{NAME: VALUE}}")
        several = len(self.objectives) > 1
        message = "hydra.sweeper.pruner judges one objective by the epoch: set pruner=none, or a single val/… objective"
        by_epoch = not several and self.objectives[0].startswith("val/")
        require(self.pruner == "none" or by_epoch, message)
        message = "hydra.sweeper.sampler=cmaes takes a single objective: set sampler=tpe"
        require(not several or self.sampler != "cmaes", message)

    def check_reference(self, curves: Mapping[str, Any], evaluate_train: bool, epochs: int | None) -> None:
        """Raise ConfigurationError if the distance from reported curves is an objective but cannot be computed.

        epochs: epochs of each trial; None if they are searched.
        """
        if DISTANCE not in self.objectives:
            return
        objective = f"hydra.sweeper.objectives=[{DISTANCE}]"
        require(bool(curves), f"{objective} needs reference.curves: set what a document reports")
        evaluated = any(metric.startswith("train_eval/") for metric in curves)
        message = f"{objective}: reference.curves has train_eval/*: set trainer.evaluate_train=true"
        require(evaluate_train or not evaluated, message)
        lists = [
            values
            for curve in curves.values()
            for values in (curve.values() if isinstance(curve, Mapping) else [curve])
        ]
        longest = max(len(values) for values in lists)
        message = (
            f"{objective}: reference.curves goes on for {longest} epochs: set trainer.max_epochs={longest} or more"
        )
        require(epochs is None or longest <= epochs, message)
