"""Every experiment of the five documents is a file that composes, counts its parameters and knows its figures."""

import math
import re
from itertools import chain

import pytest
import yaml

from dlproj import experiments
from dlproj.config.checks import ConfigurationError
from dlproj.config.scheduler import SchedulerConfig
from dlproj.experiments import CONF, composing, names, no_experiment, one_run, points, select
from dlproj.labs.reproduce.claims import CLAIMS

ROWS = {  # of the documents' tables, with the number of settings that each goes through
    "lab2": {
        "survey": 1,
        "plain": 1,
        "regularized": 1,
        "l1": 1,
        "init_zeros": 1,
        "init_ones": 1,
        "ones": 1,
        "sgd": 1,
        "momentum": 1,
        "rmsprop": 1,
        "adam_slow": 1,
        "l1_rmsprop": 1,
        "l1_adam": 1,
        "batch8": 1,
        "early_stopping": 1,
        "patience2": 1,
        "cifar10_plain": 1,
        "cifar10_l1": 1,
        "cifar10_patience2": 1,
        "dense_layer": 1,
    },
    "lab4": {"simple_rnn": 1, "simple_rnn_2": 1, "lstm": 1, "lstm_2": 1, "gru": 1},
    "lab5": {
        "samples": 1,
        "sgd_raw": 1,
        "sgd_scaled": 1,
        "batch32": 1,
        "batch10000": 1,
        "sgd10": 1,
        "adam10": 1,
        "lr_scaled": 3,
        "lr_raw": 3,
        "weight_histograms": 6,
    },
    "regularization": {
        "baseline": 1,
        "dropout": 1,
        "l2": 1,
        "batch_norm": 1,
        "altogether": 1,
        "gallery": 1,
        "batch_norm_as_done": 1,
        "altogether_as_done": 1,
    },
    "mlp": {
        "base": 1,
        "hidden_units": 8,
        "depth": 3,
        "single_neuron": 1,
        "learning_rate_10": 6,
        "learning_rate_20": 6,
        "random_search": 5,
        "tpe_search": 10,
        "activations": 5,
        "initializations": 3,
        "batch_size": 7,
    },
}
SETTINGS = {  # experiment and point: rate, batch, epochs, widths, reported test accuracy; copied from the documents
    "lab2/plain": (0.001, 128, 10, [784], 0.857),
    "lab2/regularized": (0.001, 128, 10, [784], 0.848),
    "lab2/l1": (0.01, 128, 10, [784], 0.0989),
    "lab2/ones": (0.001, 128, 10, [784], 0.1),
    "lab2/sgd": (0.01, 128, 10, [784], None),
    "lab2/momentum": (0.01, 128, 10, [784], None),
    "lab2/rmsprop": (0.01, 128, 10, [784], None),
    "lab2/adam_slow": (1e-5, 128, 10, [784], None),
    "lab2/l1_rmsprop": (0.01, 128, 10, [784], 0.74),
    "lab2/l1_adam": (1e-5, 128, 10, [784], 0.84),
    "lab2/batch8": (0.01, 8, 10, [784], None),
    "lab2/early_stopping": (0.01, 128, 30, [784], 0.5485),
    "lab2/patience2": (0.01, 8, 100, [784], None),
    "lab2/cifar10_plain": (0.001, 128, 10, [784], 0.2073),
    "lab2/cifar10_l1": (0.01, 128, 10, [784], 0.1),
    "lab2/cifar10_patience2": (0.01, 8, 100, [784], None),
    "lab2/dense_layer": (0.001, 128, 10, [729], None),
    "lab4/simple_rnn": (1e-4, 128, 20, [200], 0.4997),
    "lab4/simple_rnn_2": (1e-3, 128, 20, [200, 200], 0.4998),
    "lab4/lstm": (1e-4, 128, 10, [200], 0.8757),
    "lab4/lstm_2": (1e-4, 128, 10, [200, 64], 0.8619),
    "lab4/gru": (1e-4, 128, 10, [200], 0.8729),
    "lab5/sgd_raw": (0.01, 32, 5, [1000], None),
    "lab5/sgd_scaled": (0.01, 32, 5, [1000], None),
    "lab5/batch32": (0.01, 32, 5, [1000], 0.85),
    "lab5/batch10000": (0.01, 10_000, 5, [1000], None),
    "lab5/sgd10": (0.01, 32, 10, [1000], None),
    "lab5/adam10": (0.01, 32, 10, [1000], 0.85),
    "lab5/lr_scaled 0.1": (0.1, 32, 5, [1000], None),
    "lab5/lr_scaled 0.001": (0.001, 32, 5, [1000], None),
    "lab5/lr_scaled 1e-05": (1e-5, 32, 5, [1000], None),
    "lab5/lr_raw 0.1": (0.1, 32, 5, [1000], None),
    "lab5/lr_raw 0.001": (0.001, 32, 5, [1000], None),
    "lab5/lr_raw 1e-05": (1e-5, 32, 5, [1000], None),
    "regularization/baseline": (0.01, 128, 5, [200, 200, 200], None),
    "regularization/dropout": (0.01, 128, 1, [200, 200, 200], None),
    "regularization/l2": (0.01, 128, 1, [200, 200, 200], None),
    "regularization/batch_norm": (0.01, 128, 1, [200, 200, 200], None),
    "regularization/batch_norm_as_done": (0.01, 128, 1, [200, 200, 200], None),
    "regularization/altogether": (0.01, 128, 5, [200, 200, 200], 0.8117),
    "regularization/altogether_as_done": (0.01, 128, 5, [200, 200, 200], None),
    "mlp/base": (0.1, 256, 10, [256], 0.8327),
    **{
        f"mlp/hidden_units [{width}]": (0.1, 256, 10, [width], accuracy)
        for width, accuracy in zip(
            (64, 128, 256, 512, 1024, 2048, 4096, 8192),
            (0.8453, 0.8405, 0.8506, 0.8510, 0.8542, 0.8524, 0.8556, 0.8601),
            strict=True,
        )
    },
    "mlp/depth [256, 128]": (0.1, 256, 10, [256, 128], 0.8465),
    "mlp/depth [256, 128, 64]": (0.1, 256, 10, [256, 128, 64], 0.7804),
    "mlp/depth [512, 256, 128, 64]": (0.1, 256, 10, [512, 256, 128, 64], 0.1095),
    "mlp/single_neuron": (0.1, 256, 10, [1], 0.3619),
    **{
        f"mlp/learning_rate_{epochs} {rate:g}": (rate, 256, epochs, [256], accuracy)
        for epochs, accuracies in (
            (10, (0.5294, 0.7721, 0.8462, 0.8579, 0.8481, 0.1615)),
            (20, (0.6218, 0.8102, 0.8502, 0.8726, 0.8786, 0.1011)),
        )
        for rate, accuracy in zip((0.001, 0.01, 0.1, 0.3, 0.5, 1.0), accuracies, strict=True)
    },
    "mlp/random_search 512_b128": (0.1, 128, 10, [512], 0.8747),
    "mlp/random_search 512_b64": (0.1, 64, 10, [512], 0.8726),
    "mlp/random_search 512_b32": (0.01, 32, 10, [512], 0.8573),
    "mlp/random_search 256_256": (0.01, 32, 10, [256, 256], 0.8664),
    "mlp/random_search 128_256": (0.01, 128, 10, [128, 256], 0.8345),
    **{
        f"mlp/tpe_search {number}": trial
        for number, trial in enumerate(
            (
                (0.017948, 128, 9, [448, 128], 0.8535),
                (0.0056397, 128, 11, [512], 0.8282),
                (0.017347, 128, 19, [64], 0.8498),
                (0.019920, 128, 20, [320], 0.8602),
                (0.0080403, 128, 11, [384, 256], 0.8391),
                (0.025539, 128, 10, [448], 0.8530),
                (0.0038719, 128, 11, [64], 0.8071),
                (0.0737251, 32, 19, [512, 256], 0.8940),
                (0.0017509, 128, 19, [192], 0.8032),
                (0.0062671, 64, 20, [448, 64], 0.8629),
            )
        )
    },
    **{
        f"mlp/activations {name}": (0.001, 128, 5, [256, 128], accuracy)
        for name, accuracy in (
            ("relu", 0.8701),
            ("sigmoid", 0.8665),
            ("tanh", 0.8794),
            ("leaky_relu", 0.8731),
            ("elu", 0.8723),
        )
    },
    "mlp/initializations {name: normal, std: 1.0}": (0.1, 128, 1, [256], 0.1641),
    "mlp/initializations {name: glorot_uniform}": (0.1, 128, 1, [256], 0.2188),
    "mlp/initializations {name: he_uniform}": (0.1, 128, 1, [256], 0.2031),
    **{
        f"mlp/batch_size {batch}": (0.001, batch, 10, [64], accuracy)
        for batch, accuracy in (
            (16, 0.9805),
            (32, 0.9895),
            (64, 0.9635),
            (128, 0.9650),
            (256, 0.9075),
            (512, 0.6865),
            (1024, 0.5950),
        )
    },
}
VALIDATED_ON = {
    "lab2": ("last", 0.1),
    "lab4": ("last", 0.1),
    "lab5": ("test", None),
    "regularization": ("random", 0.2),
    "mlp": ("test", None),
}
COUNTS = {  # as the documents give them
    "lab2/plain": 623_290,
    "lab4/simple_rnn": 40_802,
    "lab4/simple_rnn_2": 121_002,
    "lab4/lstm": 11_602_354,
    "lab4/lstm_2": 11_669_922,
    "lab4/gru": 11_537_154,
}


@pytest.fixture(scope="module")
def all_points():
    with composing():
        return {name: points(name) for name in names()}


def test_every_row_of_the_documents_is_an_experiment(all_points):
    for suite, rows in ROWS.items():
        assert {name: len(all_points[f"{suite}/{name}"]) for name in rows} == rows


@pytest.mark.parametrize("name", names())
def test_a_file_says_in_one_line_what_it_reproduces_and_holds_few_settings(name):
    lines = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert re.fullmatch(r"# .{9,}", lines[1])
    assert not lines[2].startswith("#")
    assert len(lines) < 40


@pytest.mark.parametrize("name", names())
def test_every_point_is_named_and_has_the_figure_that_is_reported_of_it(name, all_points):
    found = all_points[name]
    labels = [point.label for point in found]
    assert len(set(labels)) == len(labels)
    assert all(labels) or labels == [""]
    swept = [quantity for quantity, figure in found[0].config.reference.reported.items() if isinstance(figure, dict)]
    for point in found:
        reference = point.config.reference
        assert re.fullmatch(r"\d{3}_[0-9a-f]{16}", reference.document)
        assert reference.place
        figures = reference.figures(point.config.settings())
        assert set(swept) <= set(figures)
        assert all(math.isfinite(figure) for figure in figures.values())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_point_has_the_documents_settings_and_figure(name, all_points):
    experiment = name.split(" ")[0]
    (config,) = (point.config for point in all_points[experiment] if str(point) == name)
    widths = [layer.units for layer in config.model.hidden_layers()]
    reported = config.reference.figures(config.settings()).get("test/accuracy")
    found = (config.optim.learning_rate, config.data.batch_size, config.trainer.max_epochs, widths, reported)
    assert found == SETTINGS[name]
    split, fraction = VALIDATED_ON[experiment.split("/")[0]]
    assert config.data.val.name == split
    assert fraction in (None, config.data.val_fraction)
    assert type(config.scheduler) is SchedulerConfig


def test_the_layers_of_the_regularization_document_are_its_list_with_a_relu_after_every_entry(all_points):
    def network(name):
        (point,) = all_points[f"regularization/{name}"]
        model = point.config.model.build(point.config.data.spec(), point.config.optim, point.config.scheduler)
        return [type(part).__name__ for block in model.hidden for part in block] + [type(model.output).__name__]

    after = {"batch_norm": ["ReLU"], "altogether": ["ReLU", "Dropout"]}
    for name, parts in after.items():
        entries = ["Linear", "BatchNorm1d", "Linear", "BatchNorm1d", "Linear"]
        expected = [part for entry in entries for part in (entry, *parts)] + ["Linear"]
        assert network(name) == network(f"{name}_as_done") == expected
    assert network("gallery") == network("altogether")


def test_what_the_regularization_document_did_differs_in_how_it_was_evaluated(all_points):
    ((altogether,), (done,)) = (all_points[f"regularization/altogether{end}"] for end in ("", "_as_done"))
    assert (altogether.config.trainer.val_check_interval, done.config.trainer.val_check_interval) == (None, 1)
    found = [point.config.reference.figures(point.config.settings()) for point in (altogether, done)]
    assert found == [{"test/accuracy": 0.8117, "wrong": 1883}, {"seconds": 348.39}]
    eval_modes = {name: point.config.model.eval_mode for name, (point, *_) in all_points.items()}
    assert [name for name, eval_mode in eval_modes.items() if not eval_mode] == ["regularization/batch_norm_as_done"]


@pytest.mark.parametrize("name", ["random_search", "tpe_search", "initializations"])
def test_where_the_mlp_document_draws_weights_anew_biases_are_torchs(name, all_points):
    for point in all_points[f"mlp/{name}"]:
        weights, biases = point.config.model.weight_initializer.name.name, point.config.model.bias_initializer.name.name
        assert biases == "torch"
        assert weights == "glorot_uniform" or name == "initializations"


def test_no_experiment_sets_what_has_no_effect(all_points):
    refused = {}
    for point in chain.from_iterable(all_points.values()):
        try:
            point.config.check_read()
        except ConfigurationError as error:
            refused[str(point)] = str(error)
    assert refused == {}


def test_keras_settings_are_those_of_keras(all_points):
    for name, (point, *_) in all_points.items():
        if name.startswith(("lab2", "lab4")):
            optim, model = point.config.optim, point.config.model
            assert getattr(optim, "epsilon", 1e-7) == 1e-7
            assert getattr(optim, "alpha", 0.9) == 0.9
            drawn = (model.weight_initializer.name.name, model.bias_initializer.name.name)
            assert drawn in (("glorot_uniform", "zeros"), ("zeros", "zeros"), ("ones", "zeros"))
        if name.startswith("lab4"):
            assert model.recurrent_initializer.name.name == "orthogonal"
            assert model.loss.name == "binary_cross_entropy"


def test_every_figure_reported_for_a_value_belongs_to_a_point(all_points):
    for found in all_points.values():
        reported = found[0].config.reference.reported
        for quantity, figure in reported.items():
            if isinstance(figure, dict):
                assert len({point.label for point in found}) == len(figure), quantity


def test_every_claim_has_a_check_and_every_check_a_claim(all_points):
    references = [point.config.reference for found in all_points.values() for point in found]
    assert {claim for one in references for claim in (*one.claims, *one.findings)} == set(CLAIMS)


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_those_that_the_document_counts(name, all_points):
    (point,) = all_points[name]
    config = point.config
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    assert model.parameter_count() == COUNTS[name]
    assert config.reference.figures(config.settings())["parameters"] == COUNTS[name]


def test_a_name_stands_for_itself_and_a_suite_for_all_of_its_experiments():
    known = ["lab4/gru", "lab4/lstm", "mlp/base"]
    assert select([], known) == known
    assert select(["mlp/base", "lab4"], known) == known
    assert select(["lab4/lstm"], known) == ["lab4/lstm"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lab4/lsmt", "lab4/lsmt is not an experiment: did you mean lab4/lstm"),
        ("lab9", "lab9 is not an experiment: did you mean lab"),
        ("mlp/activation", "did you mean mlp/activations"),
        ("?", "? is not an experiment: set one of lab2/adam_slow, "),
    ],
)
def test_an_unknown_experiment_lists_the_near_names(name, words):
    with pytest.raises(ConfigurationError) as refused:
        select([name], names())
    assert words in str(refused.value)


def test_what_several_experiments_share_is_none_itself():
    assert not [name for name in names() if "_base" in name or "_shared" in name]
    assert "lab4/_base" not in no_experiment("lab4/bas", names())


def test_without_a_checkout_there_are_no_experiments(monkeypatch, tmp_path):
    monkeypatch.setattr(experiments, "CONF", tmp_path)
    with pytest.raises(ConfigurationError, match="has no experiments: install dlproj anew"):
        names()


def test_a_sweep_of_an_experiment_needs_no_m(all_points):
    for name, found in all_points.items():
        written = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text()).get("hydra", {})
        if "sweeper" in written:
            assert written["mode"] == "MULTIRUN"
            assert len(found) > 1


@pytest.mark.parametrize("name", ["mlp/depth", "mlp/batch_size", "lab5/weight_histograms", "mlp/random_search"])
def test_a_point_has_the_settings_that_hydra_composes_for_it(name):
    with composing():
        for point in (points(name)[0], points(name)[-1]):
            whole = one_run([*point.overrides, f"+experiment={name}", f"name={name.replace('/', '-')}"])
            assert point.overrides
            assert point.config.settings() == whole.settings()
