"""Help texts and ranges stand once, with their fields: the reference, --help and the messages agree with the checks."""

import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from dlproj.cli.settings_page import page
from dlproj.config.callbacks import CallbacksConfig, EarlyStoppingConfig
from dlproj.config.checks import ConfigurationError
from dlproj.config.conversion import typed
from dlproj.config.fields import About, about, help_of, members
from dlproj.config.layers import DenseConfig, InitializerConfig, OutputConfig, RecurrentConfig
from dlproj.config.optim import AdamConfig, AdamWConfig, OptimConfig, SGDConfig
from dlproj.config.root import SCHEMAS, Config
from dlproj.config.search import SearchConfig

CLASSES = {cls for group in SCHEMAS.values() for cls in group.values()} | {
    Config,
    DenseConfig,
    RecurrentConfig,
    OutputConfig,
    InitializerConfig,
    SearchConfig,
    EarlyStoppingConfig,
    *(kind for kind in get_type_hints(Config).values() if is_dataclass(kind)),
}
IN_ORDER = sorted(CLASSES, key=lambda cls: cls.__name__)


def of_values(cls) -> Iterator[str]:
    """Names of the settings that are no groups of settings."""
    return (name for name, kind in get_type_hints(cls).items() if not is_dataclass(kind) and name in about(cls))


def test_the_reference_is_what_the_settings_say(monkeypatch):
    monkeypatch.delenv("DLPROJ_DATA_DIR", raising=False)
    written = (Path(__file__).parents[1] / "docs/settings.md").read_text(encoding="utf-8")
    assert written == page() + "\n", "run: make docs/settings.md"


@pytest.mark.parametrize("cls", IN_ORDER)
def test_every_setting_has_a_help_text(cls):
    assert [name for name in of_values(cls) if not help_of(cls)[name]] == []


@pytest.mark.parametrize("cls", IN_ORDER)
def test_a_number_has_a_range_or_its_text_names_the_values(cls):
    """Of a channel count, say, 1 and 3 are possible, which a range cannot say."""
    kinds = get_type_hints(cls)
    numbers = [name for name in of_values(cls) if {int, float} & {kinds[name], *get_args(kinds[name])}]
    named = {"channels", "outputs", "number"} | ({"seed"} if cls is SearchConfig else set())
    assert [name for name in numbers if not about(cls)[name].interval and name not in named] == []


def beyond(interval) -> Iterator[int]:
    """Whole numbers just outside an interval."""
    low, high = interval[1:-1].split(", ")
    if low != "-inf":
        yield int(low) - (interval[0] == "[")
    if high != "inf":
        yield int(high) + (interval[-1] == "]")


OUTSIDE = [
    (group, cls, name, value)
    for group, classes in SCHEMAS.items()
    for cls in classes.values()
    for name, known in about(cls).items()
    if known.interval
    for value in beyond(known.interval)
]


@pytest.mark.parametrize(("group", "cls", "name", "value"), OUTSIDE)
def test_what_lies_outside_a_range_is_refused(group, cls, name, value):
    with pytest.raises(ConfigurationError, match=rf"^{group}\.{name}=.* must be in "):
        typed(cls, {name: value}, group)


def test_the_range_is_in_the_message_of_a_value_of_another_type():
    with pytest.raises(ConfigurationError, match=r"could not be converted to Float: set a number in \(0, inf\)$"):
        typed(SGDConfig, {"learning_rate": "fast"}, "optim")
    with pytest.raises(
        ConfigurationError, match=r"could not be converted to Integer: set a whole number in \[1, inf\)$"
    ):
        typed(CallbacksConfig, {"every_n_train_steps": "often"}, "callbacks")


def test_a_setting_with_another_default_keeps_its_text_and_range():
    assert AdamWConfig().weight_decay != AdamConfig().weight_decay
    assert about(AdamWConfig)["weight_decay"] is about(OptimConfig)["weight_decay"]


@pytest.mark.parametrize(
    ("interval", "words"),
    [("(0, inf)", "above 0"), ("[1, inf)", "1 or more"), ("[0, 1)", "in [0, 1)"), ("(-inf, inf)", ""), ("", "")],
)
def test_ranges_in_words(interval, words):
    assert About(interval=interval).range_words() == words


def test_what_can_be_chosen_is_in_the_help_text():
    assert help_of(EarlyStoppingConfig)["mode"] == "direction in which the metric improves; auto, min or max"
    assert help_of(DenseConfig)["order"].endswith("; linear, batch_norm, activation or dropout")
    assert [one.name for one in members(OutputConfig)["activation"]][:2] == ["relu", "leaky_relu"]


def test_the_reference_names_each_settings_class_once():
    headings = re.findall(r"^### (.*)", page(), re.MULTILINE)
    assert len(headings) == len(set(headings)) == sum(len(group) for group in SCHEMAS.values() if len(group) > 1)
