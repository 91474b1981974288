"""What a search may choose from: settings with their values, some of them only where others have certain values.

Optuna, which is optional, is imported where it is needed.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from dlproj import formats
from dlproj.config.checks import ConfigurationError, require

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

Value = str | int | float | bool
_FORMS = "a,b or choice(a,b), range(1,9,2), interval(0.1,1), tag(log,interval(1e-3,0.1)) or tag(int,interval(1,9))"


class Parameter(NamedTuple):
    """What a trial chooses: a value of one of Optuna's distributions."""

    name: str
    distribution: "BaseDistribution"

    def suggest(self, trial: "BaseTrial") -> Value:
        """Have the trial choose a value."""
        of: Any = self.distribution
        if hasattr(of, "choices"):
            value: Value = trial.suggest_categorical(self.name, of.choices)
            return value
        if isinstance(of.low, int):
            return trial.suggest_int(self.name, of.low, of.high, step=of.step, log=of.log)
        return trial.suggest_float(self.name, of.low, of.high, log=of.log)

    def values(self) -> Sequence[Value]:
        """All values. Raises ConfigurationError for an interval, which has no end of them."""
        of: Any = self.distribution
        if hasattr(of, "choices"):
            return tuple(of.choices)
        message = f"a grid has no end with {self.name}=interval(…): give it choices or a range"
        require(isinstance(of.low, int), message)
        return range(of.low, of.high + 1, of.step)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the command line: one parameter, or a list with a parameter for its length and for each item."""

    key: str
    items: tuple[Parameter, ...]  # as many as a list can have, else one
    length: Parameter | None  # None: no list
    when: Mapping[str, tuple[str, ...]]  # other settings that this one needs, and the values that they may have

    def applies(self, chosen: Mapping[str, str]) -> bool:
        """True if the values chosen so far, by setting, leave this one to be chosen."""
        return all(chosen.get(key) in values for key, values in self.when.items())

    def suggest(self, trial: "BaseTrial") -> str:
        """Have the trial choose a value, returned as typed."""
        if self.length is None:
            return as_typed(self.items[0].suggest(trial))
        length = int(self.length.suggest(trial))
        return f"[{','.join(as_typed(item.suggest(trial)) for item in self.items[:length])}]"

    def combinations(self) -> Iterator[dict[str, Value]]:
        """All combinations of its parameters' values, by name."""
        if self.length is None:
            yield from _product(self.items)
            return
        for length in self.length.values():
            for values in _product(self.items[: int(length)]):
                yield {self.length.name: length} | values


def _product(parameters: Sequence[Parameter]) -> Iterator[dict[str, Value]]:
    names = [one.name for one in parameters]
    for values in itertools.product(*(one.values() for one in parameters)):
        yield dict(zip(names, values, strict=True))


class Space:
    """The settings that a search chooses, each after those on which it depends."""

    def __init__(self, params: Mapping[str, Any], fixed: Sequence[str]) -> None:
        """params: by setting the values as typed, or a mapping; fixed: the other overrides, which `when` may name.

        A mapping holds `space`, or `length` and `each` of a list, and may hold `when`, as {optim: [sgd, momentum]}.
        Raises ConfigurationError.
        """
        self.fixed = {override.key_or_group: as_typed(override.value()) for override in map(_override, fixed)}
        self.settings = [_setting(str(key), values) for key, values in params.items()]
        require(bool(self.settings), f"a search needs something to choose from: SETTING={_FORMS}")
        known = set(self.fixed)
        for setting in self.settings:
            late = next((key for key in setting.when if key not in known), None)
            require(late is None, f"{setting.key} depends on {late}, which is not set before it: put {late} first")
            known.add(setting.key)

    def parameters(self) -> list[Parameter]:
        """All parameters, those of the lists' lengths among them."""
        return [one for setting in self.settings for one in (setting.length, *setting.items) if one is not None]

    def suggest(self, trial: "BaseTrial") -> list[str]:
        """The overrides that the trial chooses."""
        chosen = dict(self.fixed)
        for setting in self.settings:
            if setting.applies(chosen):
                chosen[setting.key] = setting.suggest(trial)
        return [f"{setting.key}={chosen[setting.key]}" for setting in self.settings if setting.key in chosen]

    def grid(self) -> list[dict[str, Value]]:
        """The parameters of all combinations. Raises ConfigurationError where there is no end of them."""
        points: list[tuple[dict[str, str], dict[str, Value]]] = [(dict(self.fixed), {})]
        for setting in self.settings:
            points = [longer for chosen, values in points for longer in _extended(setting, chosen, values)]
        return [values for _, values in points]


def _extended(
    setting: Setting, chosen: dict[str, str], values: dict[str, Value]
) -> Iterator[tuple[dict[str, str], dict[str, Value]]]:
    from optuna.trial import FixedTrial

    if not setting.applies(chosen):
        yield chosen, values
        return
    for more in setting.combinations():
        yield chosen | {setting.key: setting.suggest(FixedTrial(more))}, values | more


def as_typed(value: Any) -> str:
    """A value as it is typed on the command line; a text is typed already."""
    return value if isinstance(value, str) else formats.setting(value)


def sweep_as_typed(distribution: Any) -> str:
    """One of Optuna's distributions as it is typed on the command line, in Hydra's grammar."""
    if hasattr(distribution, "choices"):
        return ",".join(map(as_typed, distribution.choices))
    low, high, whole = as_typed(distribution.low), as_typed(distribution.high), isinstance(distribution.low, int)
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
    when = {str(name): tuple(map(as_typed, _several(wanted))) for name, wanted in (values.get("when") or {}).items()}
    if "space" in values:
        return Setting(key, (_parameter(key, values["space"], key),), None, when)
    length = _parameter(key, values["length"], f"{key}.length")
    longest = max(int(value) for value in length.values())
    items = tuple(_parameter(key, values["each"], f"{key}[{i}]") for i in range(longest))
    return Setting(key, items, length, when)


def _several(values: Any) -> Sequence[Any]:
    return values if isinstance(values, Sequence) and not isinstance(values, str) else [values]


def _override(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigurationError(f"{text} cannot be read: write SETTING={_FORMS}") from error


def _parameter(key: str, text: Any, name: str) -> Parameter:
    """The parameter, called `name`, that chooses what Hydra reads in `key=text`. Raises ConfigurationError."""
    override = _override(f"{key}={text}")
    require(override.is_sweep_override(), f"{key}={text} leaves nothing to choose: write {_FORMS}")
    swept: Any = override.value()
    if isinstance(swept, IntervalSweep):
        return Parameter(name, _interval(swept, f"{key}={text}"))
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(swept, RangeSweep) and isinstance(numbers := swept.range(), range) and numbers and numbers.step > 0:
        return Parameter(name, IntDistribution(numbers[0], numbers[-1], step=numbers.step))
    texts = override.sweep_string_iterator()  # numbers as such, for a search that interpolates; the rest as typed
    values = [
        value if isinstance(value, int | float) else text
        for value, text in zip(override.sweep_iterator(), texts, strict=True)
    ]
    require(bool(values), f"{key}={text} is empty: write {_FORMS}")
    return Parameter(name, CategoricalDistribution(values))


def _interval(swept: IntervalSweep, typed: str) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    low, high, log = float(swept.start or 0), float(swept.end or 0), "log" in swept.tags
    above = " above 0" if log else ""
    require(low < high and (low > 0 or not log), f"{typed} is empty: set a lower and a higher number{above}")
    if "int" not in swept.tags:
        return FloatDistribution(low, high, log)
    require(math.ceil(low) <= math.floor(high), f"{typed} holds no whole number: set bounds further apart")
    return IntDistribution(math.ceil(low), math.floor(high), log)
