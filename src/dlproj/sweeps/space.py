"""What a search may choose from: settings with their values, some of them only where others have certain values."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from dlproj import formats
from dlproj.config.checks import ConfigurationError, require

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = str | int | float | bool
_FORMS = "a,b or choice(a,b), range(1,9,2), interval(0.1,1), tag(log,interval(1e-3,0.1)) or tag(int,interval(1,9))"


Trial = Any  # optuna.Trial, or what suggests as it does


@dataclass(frozen=True, slots=True)
class Choices:
    """One of several values."""

    name: str
    values: tuple[Value, ...]

    def suggest(self, trial: Trial) -> Value:
        """Have the trial choose."""
        value: Value = trial.suggest_categorical(self.name, self.values)
        return value

    def distribution(self) -> "BaseDistribution":
        """What Optuna keeps of it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def all(self) -> Sequence[Value]:
        """What can be chosen."""
        return self.values


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from low to high."""

    name: str
    low: int
    high: int
    step: int = 1
    log: bool = False

    def suggest(self, trial: Trial) -> int:
        """Have the trial choose."""
        return int(trial.suggest_int(self.name, self.low, self.high, step=self.step, log=self.log))

    def distribution(self) -> "BaseDistribution":
        """What Optuna keeps of it."""
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, self.log, self.step)

    def all(self) -> Sequence[int]:
        """What can be chosen."""
        return range(self.low, self.high + 1, self.step)


@dataclass(frozen=True, slots=True)
class Interval:
    """A number from low to high."""

    name: str
    low: float
    high: float
    log: bool = False

    def suggest(self, trial: Trial) -> float:
        """Have the trial choose."""
        return float(trial.suggest_float(self.name, self.low, self.high, log=self.log))

    def distribution(self) -> "BaseDistribution":
        """What Optuna keeps of it."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, self.log)

    def all(self) -> Sequence[float]:
        """Raise ConfigurationError: there are too many."""
        raise ConfigurationError(f"a grid has no end with {self.name}=interval(…): give it choices or a range")


Parameter = Choices | Whole | Interval


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the command line: one parameter, or a list with a parameter for its length and for each item."""

    key: str
    items: tuple[Parameter, ...]  # of a list as many as it can have, else one
    length: Parameter | None  # None: no list
    when: Mapping[str, tuple[str, ...]]  # other settings that this one needs, and the values that they may have

    def applies(self, chosen: Mapping[str, str]) -> bool:
        """Whether it is chosen at all."""
        return all(chosen.get(key) in values for key, values in self.when.items())

    def suggest(self, trial: Trial) -> str:
        """Its value as typed."""
        if self.length is None:
            return typed(self.items[0].suggest(trial))
        length = int(self.length.suggest(trial))
        return f"[{','.join(typed(item.suggest(trial)) for item in self.items[:length])}]"

    def all(self) -> Iterator[dict[str, Value]]:
        """The values of its parameters, in all combinations."""
        if self.length is None:
            yield from ({self.items[0].name: value} for value in self.items[0].all())
            return
        for length in self.length.all():
            items = self.items[: int(length)]
            for values in itertools.product(*(item.all() for item in items)):
                names = (item.name for item in items)
                yield {self.length.name: length} | dict(zip(names, values, strict=True))


class Space:
    """The settings that a search chooses, each after those on which it depends."""

    def __init__(self, params: Mapping[str, Any], fixed: Sequence[str]) -> None:
        """params: by setting the values as typed, or a mapping; fixed: the other overrides, which `when` may name.

        A mapping holds `space`, or `length` and `each` of a list, and may hold `when`, as {optim: [sgd, momentum]}.
        Raises ConfigurationError.
        """
        self.fixed = {override.key_or_group: typed(override.value()) for override in map(_override, fixed)}
        self.settings = [_setting(str(key), values) for key, values in params.items()]
        require(bool(self.settings), f"a search needs something to choose from: SETTING={_FORMS}")
        known = set(self.fixed)
        for setting in self.settings:
            late = next((key for key in setting.when if key not in known), None)
            require(late is None, f"{setting.key} depends on {late}, which is not set before it: put {late} first")
            known.add(setting.key)

    def parameters(self) -> list[Parameter]:
        """All that may be chosen, a list's length among them."""
        return [one for setting in self.settings for one in (setting.length, *setting.items) if one is not None]

    def suggest(self, trial: Trial) -> list[str]:
        """The overrides that the trial chooses."""
        chosen = dict(self.fixed)
        for setting in self.settings:
            if setting.applies(chosen):
                chosen[setting.key] = setting.suggest(trial)
        return [f"{setting.key}={chosen[setting.key]}" for setting in self.settings if setting.key in chosen]

    def all(self) -> list[dict[str, Value]]:
        """The parameters of all combinations. Raises ConfigurationError where there is no end of them."""
        found: list[tuple[dict[str, str], dict[str, Value]]] = [(dict(self.fixed), {})]
        for setting in self.settings:
            found = [extended for chosen, values in found for extended in _extended(setting, chosen, values)]
        return [values for _, values in found]


class Fixed:
    """A trial whose values are known."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.values = values

    def suggest_categorical(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """The value."""
        return self.values[name]

    suggest_int = suggest_float = suggest_categorical


def _extended(
    setting: Setting, chosen: dict[str, str], values: dict[str, Value]
) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
    if not setting.applies(chosen):
        yield chosen, values
        return
    for more in setting.all():
        yield chosen | {setting.key: setting.suggest(Fixed(more))}, values | more


def typed(value: Any) -> str:
    """A value as it is typed on the command line; a text is typed already."""
    return value if isinstance(value, str) else formats.setting(value)


def as_typed(distribution: Any) -> str:
    """What Optuna chooses from, as it is typed on the command line."""
    if hasattr(distribution, "choices"):
        return ",".join(map(typed, distribution.choices))
    low, high, whole = typed(distribution.low), typed(distribution.high), isinstance(distribution.low, int)
    if whole and not distribution.log:
        return f"range({low},{distribution.high + 1},{distribution.step})"
    tags = [*(["log"] if distribution.log else []), *(["int"] if whole else [])]
    return f"tag({','.join(tags)},interval({low},{high}))" if tags else f"interval({low},{high})"


def _setting(key: str, values: Any) -> Setting:
    if not isinstance(values, Mapping):
        return Setting(key, (_parameter(key, values, key),), None, {})
    known = ({"space"}, {"length", "each"})
    named = set(map(str, values)) - {"when"}
    words = ", ".join(sorted(named)) or "nothing"
    require(named in known, f"{key} is described by {words}: set space, or length and each")
    when = {str(name): tuple(map(typed, _several(wanted))) for name, wanted in (values.get("when") or {}).items()}
    if "space" in values:
        return Setting(key, (_parameter(key, values["space"], key),), None, when)
    length = _parameter(key, values["length"], f"{key}.length")
    longest = max(int(value) for value in length.all())
    items = tuple(_parameter(key, values["each"], f"{key}[{place}]") for place in range(longest))
    return Setting(key, items, length, when)


def _several(values: Any) -> Sequence[Any]:
    return values if isinstance(values, Sequence) and not isinstance(values, str) else [values]


def _override(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigurationError(f"{text} cannot be read: write SETTING={_FORMS}") from error


def _parameter(key: str, text: Any, name: str) -> Parameter:
    """What `key=text` may be, as Hydra reads it; the parameter is called `name`."""
    override = _override(f"{key}={text}")
    require(override.is_sweep_override(), f"{key}={text} leaves nothing to choose: write {_FORMS}")
    swept: Any = override.value()
    if isinstance(swept, IntervalSweep):
        low, high, log = float(swept.start or 0), float(swept.end or 0), "log" in swept.tags
        require(
            low < high and (low > 0 or not log),
            f"{key}={text} is empty: set a lower and a higher number{' above 0' if log else ''}",
        )
        if "int" not in swept.tags:
            return Interval(name, low, high, log)
        require(math.ceil(low) <= math.floor(high), f"{key}={text} holds no whole number: set bounds further apart")
        return Whole(name, math.ceil(low), math.floor(high), log=log)
    if isinstance(swept, RangeSweep) and isinstance(numbers := swept.range(), range) and numbers and numbers.step > 0:
        return Whole(name, numbers[0], numbers[-1], numbers.step)
    texts = override.sweep_string_iterator()  # numbers as such, for a search that interpolates; the rest as typed
    values = tuple(
        value if isinstance(value, int | float) else text
        for value, text in zip(override.sweep_iterator(), texts, strict=True)
    )
    require(bool(values), f"{key}={text} is empty: write {_FORMS}")
    return Choices(name, values)
