"""The experiments under conf/experiment and the settings of each of their points."""

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
    """An experiment, or one combination of the settings that it sweeps."""

    experiment: str  # "mlp/activations"
    label: str  # the values of the swept settings: "relu"; empty without a sweep
    config: Config
    overrides: tuple[str, ...] = ()  # the swept settings as typed: "model.activation=relu"

    def __str__(self) -> str:
        return f"{self.experiment} {self.label}".rstrip()


def names() -> list[str]:
    """All experiments, as `+experiment=` takes them; files that begin with _ are what several share."""
    files = sorted((CONF / "experiment").glob("*/*.yaml"))
    require(bool(files), f"{CONF} has no experiments: install dlproj anew")
    return [f"{file.parent.name}/{file.stem}" for file in files if not file.stem.startswith("_")]


def select(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """The known experiments that `SUITE` or `SUITE/NAME` name, all without any. Raises ConfigurationError."""
    suites = {name.split("/")[0] for name in known}
    for one in wanted:
        require(one in suites or one in known, no_experiment(one, [*known, *sorted(suites)]))
    return [name for name in known if not wanted or name in wanted or name.split("/")[0] in wanted]


def no_experiment(name: str, known: Sequence[str]) -> str:
    """Words for a name that is not known, pointing to those near it."""
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"set one of {', '.join(known)}"
    return f"{name} is not an experiment: {hint}"


@contextmanager
def composing() -> Iterator[None]:
    """Within it points() can be called."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def one_run(overrides: Sequence[str]) -> Config:
    """What `python train.py overrides` would run. Raises ConfigurationError, and what Hydra raises."""
    return typed_config(compose("config", list(overrides)))


def points(experiment: str, overrides: Sequence[str] = ()) -> list[Point]:
    """What `python train.py -m +experiment=… overrides` would run, in its order.

    Raises ConfigurationError. The data need not be there.
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
            tuple(str(one.input_line) for one in swept),
        )
        for swept in _combinations(hydra.sweeper.params)
    ]


def _with(swept: Sequence[Override], settings: DictConfig, fixed: Sequence[str], choices: Set[str]) -> Config:
    """The settings with these values; composed anew where one of them chooses a file, which takes 0.2 s."""
    if any(one.key_or_group in choices or one.is_add() or one.is_delete() for one in swept):
        # What is swept comes first, as in Hydra's own sweep.
        return one_run([*(str(one.input_line) for one in swept), *fixed])
    changed = copy.deepcopy(settings)
    for one in swept:
        OmegaConf.update(changed, one.key_or_group, one.value(), merge=True)
    return typed_config(changed)


def _combinations(params: DictConfig | None) -> list[list[Override]]:
    """Every combination of the swept values; one without any where nothing is swept."""
    parser = OverridesParser.create()
    swept = parser.parse_overrides([f"{name!s}={values}" for name, values in params.items()] if params else [])
    (combinations,) = BasicSweeper.split_arguments(swept, max_batch_size=None)
    return [parser.parse_overrides(list(one)) for one in combinations]


def _label(swept: Sequence[Override]) -> str:
    values = [formats.setting(one.value()) for one in swept]
    return ", ".join(
        value.rpartition("/")[2] if one.key_or_group == "trial" else value
        for one, value in zip(swept, values, strict=True)
    )
