"""The settings classes that the files of conf/ are built on, each found by its name."""

from dataclasses import is_dataclass
from importlib import import_module
from typing import Any

from dlproj.config.arrays import FeatureArraysConfig, ImageArraysConfig, SequenceArraysConfig
from dlproj.config.callbacks import CallbacksConfig
from dlproj.config.checks import ConfigurationError, require
from dlproj.config.cnn import CNNConfig
from dlproj.config.custom import CustomConfig, CustomDataConfig, CustomOptimConfig, CustomSchedulerConfig
from dlproj.config.data import DataConfig, FeatureSumConfig
from dlproj.config.hf import HFConfig
from dlproj.config.images import CIFAR10Config, DigitsConfig, FMNISTConfig, ImageFolderConfig
from dlproj.config.mlp import MLPConfig
from dlproj.config.mnist import EMNISTConfig, KMNISTConfig, MNISTConfig, QMNISTConfig
from dlproj.config.model import ModelConfig
from dlproj.config.optim import AdagradConfig, AdamConfig, AdamWConfig, OptimConfig, RMSpropConfig, SGDConfig
from dlproj.config.rnn import RNNConfig
from dlproj.config.scheduler import (
    CosineConfig,
    ExponentialConfig,
    OneCycleConfig,
    PlateauConfig,
    SchedulerConfig,
    StepConfig,
)
from dlproj.config.table import TableConfig
from dlproj.config.texts import IMDBConfig, TextFolderConfig, TextTableConfig
from dlproj.config.trainer import TrainerConfig

BASES: dict[str, type] = {
    "data": DataConfig,
    "model": ModelConfig,
    "optim": OptimConfig,
    "scheduler": SchedulerConfig,
    "callbacks": CallbacksConfig,
    "trainer": TrainerConfig,
}
# Short names, which run folders keep, too; any other class is named by its module: my_package.my_module.MyConfig.
SCHEMAS: dict[str, dict[str, Any]] = {
    "data": {
        "fmnist": FMNISTConfig,
        "cifar10": CIFAR10Config,
        "imdb": IMDBConfig,
        "digits": DigitsConfig,
        "image_folder": ImageFolderConfig,
        "feature_sum": FeatureSumConfig,
        "image_arrays": ImageArraysConfig,
        "feature_arrays": FeatureArraysConfig,
        "sequence_arrays": SequenceArraysConfig,
        "text_folder": TextFolderConfig,
        "text_table": TextTableConfig,
        "hf": HFConfig,
        "mnist": MNISTConfig,
        "kmnist": KMNISTConfig,
        "emnist": EMNISTConfig,
        "qmnist": QMNISTConfig,
        "table": TableConfig,
        "custom": CustomDataConfig,
    },
    "model": {"mlp": MLPConfig, "cnn": CNNConfig, "rnn": RNNConfig, "custom": CustomConfig},
    "optim": {
        "sgd": SGDConfig,
        "rmsprop": RMSpropConfig,
        "adam": AdamConfig,
        "adamw": AdamWConfig,
        "adagrad": AdagradConfig,
        "custom": CustomOptimConfig,
    },
    "scheduler": {
        "constant": SchedulerConfig,
        "step": StepConfig,
        "exponential": ExponentialConfig,
        "cosine": CosineConfig,
        "one_cycle": OneCycleConfig,
        "plateau": PlateauConfig,
        "custom": CustomSchedulerConfig,
    },
    "callbacks": {"callbacks": CallbacksConfig},
    "trainer": {"trainer": TrainerConfig},
}


def settings_class(group: str, name: str) -> type:
    """The settings class that a file of conf/<group> names, by its short name or as `my_package.my_module.MyConfig`.

    Raises ConfigurationError if there is none, if it belongs to another group or if it lacks a method, and KeyError for
    an unknown short name.
    """
    if own := SCHEMAS[group].get(name):
        return own
    module, dot, last = name.rpartition(".")
    if not dot:
        raise KeyError(name)
    try:
        found: Any = getattr(import_module(module), last)
    except Exception as error:  # importing runs the module
        way = "install its package, or name its folder in PYTHONPATH"
        raise ConfigurationError(f"/schema/{group}: {name} cannot be imported ({error}): {way}") from error
    base = BASES[group]
    fits = isinstance(found, type) and issubclass(found, base) and is_dataclass(found)
    require(fits, f"/schema/{group}: {name} is not a settings class: derive a dataclass from {_dotted(base)}")
    lacking = ", ".join(f"{method}()" for method in sorted(getattr(found, "__abstractmethods__", ())))
    require(not lacking, f"/schema/{group}: {name} is abstract: write its {lacking}")
    return found


def schema_name(group: str, cls: type) -> str:
    """The name by which settings_class() finds a settings class."""
    return next((name for name, one in SCHEMAS[group].items() if one is cls), _dotted(cls))


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
