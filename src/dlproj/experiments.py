"""The experiments under conf/experiment and the settings of each of their points."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, open_dict

from dlproj.config import Config, register, typed_config
from dlproj.results import formats
from dlproj.settings import require

CONF = Path(__file__).parents[2] / "conf"


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
    require(bool(files), f"{CONF} has no experiments: install dlproj from a checkout, with pip install -e .")
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
    return f"{name} is no experiment: {hint}"


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
    whole = compose("config", fixed, return_hydra_config=True)
    combinations = _combinations(whole.hydra.sweeper.params)
    if combinations == [()]:
        return [Point(experiment, "", _config(whole))]
    return [  # what is swept comes first, as in Hydra's own sweep
        Point(experiment, _label(swept), _config(compose("config", [*swept, *fixed], return_hydra_config=True)), swept)
        for swept in combinations
    ]


def _combinations(params: DictConfig | None) -> list[tuple[str, ...]]:
    swept = [f"{name!s}={values}" for name, values in params.items()] if params else []
    parsed = OverridesParser.create().parse_overrides(swept)
    (combinations,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    return [tuple(one) for one in combinations]


def _label(swept: Sequence[str]) -> str:
    parsed: list[Override] = OverridesParser.create().parse_overrides(list(swept))
    values = [formats.setting(one.value()) for one in parsed]
    return ", ".join(value.rpartition("/")[2] if one.key_or_group == "trial" else value
                     for one, value in zip(parsed, values, strict=True))  # fmt: skip


def _config(whole: DictConfig) -> Config:
    with open_dict(whole):
        del whole["hydra"]
    return typed_config(whole)
