"""Experiments of conf/experiment and the settings of each of their points."""

import copy
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from dlproj import formats
from dlproj.config.checks import require
from dlproj.config.compose import register
from dlproj.config.places import CONF
from dlproj.config.root import Config, typed_config
from dlproj.library_internals.hydra_internals import BasicSweeper


@dataclass(frozen=True, slots=True)
class Point:
    """An experiment, or one combination of its swept settings."""

    experiment: str  # "mlp/activations"
    label: str  # the values of the swept settings: "relu"; empty without a sweep
    config: Config
    overrides: tuple[str, ...] = ()  # the swept settings as typed: "model.activation=relu"

    def __str__(self) -> str:
        return f"{self.experiment} {self.label}".rstrip()


def names() -> list[str]:
    """All experiments, named as for `+experiment=`; files that begin with _ are shared parts."""
    files = sorted((CONF / "experiment").glob("*/*.yaml"))
    require(bool(files), f"{CONF} has no experiments: install dlproj anew")
    return [f"{file.parent.name}/{file.stem}" for file in files if not file.stem.startswith("_")]


def select(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Experiments named by `SUITE` or `SUITE/NAME`; all if none is wanted. Raises ConfigurationError."""
    suites = {name.split("/")[0] for name in known}
    for name in wanted:
        require(name in suites or name in known, no_experiment(name, [*known, *sorted(suites)]))
    return [name for name in known if not wanted or name in wanted or name.split("/")[0] in wanted]


def no_experiment(name: str, known: Sequence[str]) -> str:
    """Message for an unknown name, with the nearest known ones."""
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"set one of {', '.join(known)}"
    return f"{name} is not an experiment: {hint}"


@contextmanager
def composing() -> Iterator[None]:
    """Context in which points() and one_run() can be called."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def one_run(overrides: Sequence[str]) -> Config:
    """Settings of `python train.py overrides`. Raises ConfigurationError and Hydra's errors."""
    return typed_config(compose("config", list(overrides)))


def points(experiment: str, overrides: Sequence[str] = ()) -> list[Point]:
    """Points of `python train.py -m +experiment=… overrides`, in its order.

    Raises ConfigurationError. The data need not exist.
    """
    fixed = [f"+experiment={experiment}", f"name={experiment.replace('/', '-')}", *overrides]
    settings = compose("config", fixed, return_hydra_config=True)
    with open_dict(settings):
        hydra = settings.pop("hydra")
    choices = set(hydra.runtime.choices)
    return [
        Point(
            experiment,
            _label(swept),
            _with(swept, settings, fixed, choices),
            tuple(str(override.input_line) for override in swept),
        )
        for swept in _combinations(hydra.sweeper.params)
    ]


def _with(swept: Sequence[Override], settings: DictConfig, fixed: Sequence[str], choices: Set[str]) -> Config:
    """The settings with these values; composed again, in 0.2 s, only if a value chooses a file."""
    if any(override.key_or_group in choices or override.is_add() or override.is_delete() for override in swept):
        # Swept settings come first, as in Hydra's own sweep.
        return one_run([*(str(override.input_line) for override in swept), *fixed])
    changed = copy.deepcopy(settings)
    for override in swept:
        OmegaConf.update(changed, override.key_or_group, override.value(), merge=True)
    return typed_config(changed)


def _combinations(params: DictConfig | None) -> list[list[Override]]:
    """Every combination of the swept values; a single empty one without a sweep."""
    parser = OverridesParser.create()
    swept = parser.parse_overrides([f"{name!s}={values}" for name, values in params.items()] if params else [])
    (combinations,) = BasicSweeper.split_arguments(swept, max_batch_size=None)
    return [parser.parse_overrides(list(texts)) for texts in combinations]


def _label(swept: Sequence[Override]) -> str:
    values = [formats.setting(override.value()) for override in swept]
    return ", ".join(
        value.rpartition("/")[2] if override.key_or_group == "trial" else value
        for override, value in zip(swept, values, strict=True)
    )
