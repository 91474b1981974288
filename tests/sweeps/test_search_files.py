"""The searches of conf/search, held to what the documents say of them."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from dlproj.experiments import composing, points
from dlproj.sweeps.space import Parameter, Space

optuna = pytest.importorskip("optuna")
Categorical = optuna.distributions.CategoricalDistribution
Int = optuna.distributions.IntDistribution
Float = optuna.distributions.FloatDistribution

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted(file.relative_to(CONF / "search").with_suffix("") for file in (CONF / "search").glob("*/*.yaml"))


@pytest.fixture
def sweeper(composed):
    """Call with the name of a search: the settings of its sweeper, as plain values."""
    composed("data=digits")  # which registers what conf/ is made of

    def of(name):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            whole = compose("config", [f"+search={name}"], return_hydra_config=True)
        return OmegaConf.to_container(whole.hydra.sweeper)

    return of


@pytest.mark.parametrize("name", [str(file) for file in FILES])
def test_every_search_has_a_space_and_sweeps_without_being_asked(name, sweeper):
    settings = sweeper(name)
    assert settings["_target_"] == "hydra_plugins.dlproj_sweepers.OptunaSweeper"
    assert Space(settings["params"], []).settings


def test_the_search_of_the_document_is_over_the_documents_bounds(sweeper):
    settings = sweeper("mlp/tpe_search")
    assert (settings["trials"], settings["sampler"]) == (10, "tpe")
    rate, epochs, batch, hidden = Space(settings["params"], []).settings
    assert rate.items == (Parameter("optim.learning_rate", Float(0.001, 0.2, log=True)),)
    assert epochs.items == (Parameter("trainer.max_epochs", Int(5, 20)),)
    assert batch.items == (Parameter("data.batch_size", Categorical((32, 64, 128))),)
    assert hidden.length == Parameter("model.hidden.length", Int(1, 3))
    assert hidden.items == tuple(Parameter(f"model.hidden[{i}]", Int(64, 512, step=64)) for i in range(3))


def test_the_random_search_is_over_the_documents_values(sweeper):
    settings = sweeper("mlp/random_search")
    assert (settings["trials"], settings["sampler"]) == (5, "random")
    rate, batch, hidden = Space(settings["params"], []).settings
    assert rate.items == (Parameter("optim.learning_rate", Categorical((0.01, 0.05, 0.1))),)
    assert batch.items == (Parameter("data.batch_size", Categorical((32, 64, 128))),)
    assert hidden.length == Parameter("model.hidden.length", Categorical((1, 2)))
    assert hidden.items == tuple(Parameter(f"model.hidden[{i}]", Categorical((64, 128, 256, 512))) for i in range(2))


def test_the_search_of_lab2_tries_every_point_of_its_grid_by_the_distance_from_the_log(sweeper):
    settings = sweeper("lab2/early_stopping")
    assert (settings["sampler"], settings["objectives"]) == ("grid", ["reference_distance"])
    assert settings["trials"] == len(Space(settings["params"], []).grid())


def test_the_settings_chosen_for_lab2_are_a_point_of_its_search(sweeper):
    with composing():
        (chosen,) = points("lab2/early_stopping")
    model, optim = chosen.config.model, chosen.config.optim
    assert (type(optim).__name__, optim.learning_rate, optim.momentum) == ("SGDConfig", 0.01, 0.9)
    wanted = {
        f"model.loss={model.loss.name}",
        f"model.loss_from={model.loss_from.name}",
        f"data.scaling={chosen.config.data.scaling.name}",
        "optim=momentum",
        f"model.hidden={model.hidden}",
        f"model.output.weight_l1={model.output.weight_l1 or 0}",
    }
    space = Space(sweeper("lab2/early_stopping")["params"], [])
    assert wanted in [set(space.suggest(optuna.trial.FixedTrial(point))) for point in space.grid()]
