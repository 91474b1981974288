"""Arrays that a function of the user's own returns, as data of their kind."""

import json
import random
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng

from dlproj.config.arrays import FeatureScaling, FeaturesFrom, ImagesFrom, SequencesFrom
from dlproj.config.checks import DataError, require
from dlproj.config.custom import ArraysKind, CustomDataConfig
from dlproj.config.data import DataConfig, Kind
from dlproj.config.images import Scaling
from dlproj.data.array_conversion import arrays_of
from dlproj.data.arrays import NAMES, Arrays

_loaded: dict[str, tuple[Arrays, Kind]] = {}  # the latest only: a sweep varies the network more often than the data


def loaded(config: CustomDataConfig) -> tuple[Arrays, Kind]:
    """The function's arrays and their kind, loaded once. Raises DataError and ConfigurationError."""
    key = _key(config, config.kind.name)
    if key not in _loaded:
        parts = _parts(config)
        kind = _kind(parts[0]) if config.kind is ArraysKind.auto else Kind[config.kind.name]
        _loaded.clear()
        _loaded[key] = _loaded[_key(config, kind.name)] = arrays_of(kind, parts), kind
    return _loaded[key]


def _key(config: CustomDataConfig, kind: str) -> str:
    return json.dumps([config.load, config.code, config.arguments, kind], default=str)


def _parts(config: CustomDataConfig) -> tuple[Any, ...]:
    """Call the function, with all random generators seeded by 0: each process and each resumed run gets the same."""
    with isolate_rng():
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        made = config.make()
    parts = tuple(made) if isinstance(made, list | tuple) else (made,)
    if len(parts) == 2 and all(isinstance(part, tuple) and len(part) == 2 for part in parts):
        parts = (*parts[0], *parts[1])  # as Keras's load_data() returns them
    if len(parts) not in (2, len(NAMES)):
        what = f"{len(parts)} values" if isinstance(made, list | tuple) else f"a {type(made).__name__}"
        raise DataError(f"data.load={config.load} returns {what}: return {', '.join(NAMES)}, or the first two")
    return parts


def _kind(x: Any) -> Kind:
    return Kind.image if np.ndim(x) > 2 else Kind.features


_CLASSES = {ArraysKind.image: ImagesFrom, ArraysKind.features: FeaturesFrom, ArraysKind.sequence: SequencesFrom}


def arrays_config(config: CustomDataConfig) -> DataConfig:
    """The settings of arrays of the kind, which is known. Raises ConfigurationError for a setting of another kind."""
    cls: Any = _CLASSES[config.kind]
    values = {field: getattr(config, field.name) for field in fields(config)}
    given = {field.name: value for field, value in values.items() if value != field.default}
    known = {field.name for field in fields(cls)}
    other = [name for name in ("random_flip", "random_crop", "scaling", "padding") if name in given.keys() - known]
    message = f"data.{' and data.'.join(other)} has no effect on {config.kind.name} arrays: leave it out"
    require(not other, message)
    shared = {name: value for name, value in given.items() if name in known}
    if isinstance(config.scaling, Scaling) and config.kind is ArraysKind.features:
        message = "data.scaling=unit is for images: set none, min_max or standardize"
        require(config.scaling is not Scaling.unit, message)
        shared["scaling"] = FeatureScaling[config.scaling.name]
    return cls(**shared, file=config.load, source=config)
