import math
from dataclasses import dataclass

import pytest
from omegaconf import OmegaConf

from dlproj.config.checks import ConfigurationError, one_of, within
from dlproj.config.conversion import plain, typed
from dlproj.config.layers import Initializer, InitializerConfig
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import AdamConfig
from dlproj.config.search import SearchConfig
from dlproj.config.trainer import StrategyName, TrainerConfig


@dataclass(slots=True)
class Example:
    units: int = 1
    rate: float = 0.5


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1)", [0, 0.99], [-0.1, 1]),
        ("(0, 1]", [1, 1e-9], [0, 1.1]),
        ("[0, 1]", [0, 1], [math.nan]),
        ("[-1, 1]", [-1], [-1.1]),
        ("[1, inf)", [1e9, None], [0.9, math.inf]),
    ],
)
def test_values_outside_an_interval_alone_are_refused_with_the_key_and_the_interval(interval, inside, outside):
    refused = []
    for value in (*inside, *outside):
        try:
            within("model.dropout", value, interval)
        except ConfigurationError as error:
            refused.append(str(error))
    assert refused == [f"model.dropout={value} must be in {interval}" for value in outside]


def test_an_unknown_choice_lists_the_right_ones():
    with pytest.raises(ConfigurationError, match=r"^a=z must be one of x, y$"):
        one_of("a", "z", ("x", "y"))


def test_plain_values_are_converted_to_the_types_of_the_class():
    assert typed(Example, {"units": "3"}, "model.hidden[0]") == Example(units=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"unit": 3}, r"^unknown setting model.hidden\[0\].unit: did you mean model.hidden\[0\].units\?$"),
        ({"zzz": 3}, r"^unknown setting model.hidden\[0\].zzz: the settings there are rate, units$"),
        (
            {"units": "abc"},
            r"^model.hidden\[0\].units: Value 'abc' of type 'str' could not .* to Integer: set a whole number$",
        ),
    ],
)
def test_a_bad_value_is_named_with_where_it_stands(values, message):
    with pytest.raises(ConfigurationError, match=message):
        typed(Example, values, "model.hidden[0]")


@pytest.mark.parametrize(
    "config",
    [
        AdamConfig(learning_rate=1),
        MLPConfig(
            hidden=[{"units": 3, "activation": "tanh"}, 4], weight_initializer=InitializerConfig(Initializer.ones)
        ),
        TrainerConfig(layer_devices=["cpu"], strategy=StrategyName.layer_split, gradient_clip_val=2),
        SearchConfig(params={"seed": [1, 2], "x": {"y": None}}, sampler_settings={"n_startup_trials": 3}),
    ],
    ids=lambda config: type(config).__name__,
)
def test_plain_containers_are_those_of_omegaconf(config):
    wanted = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    assert plain(config) == wanted
    assert repr(plain(config)) == repr(wanted)  # 1 equals 1.0, and True 1
