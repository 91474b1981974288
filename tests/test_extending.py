"""What is added from outside: one of each kind trains; a class that is not whole fails when it is made, by name."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import parts_outside
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from dlproj.config.callbacks import CallbacksConfig
from dlproj.config.checks import ConfigurationError
from dlproj.config.data import DataConfig
from dlproj.config.images import DigitsConfig
from dlproj.config.mlp import MLPConfig
from dlproj.config.model import ModelConfig
from dlproj.config.optim import AdamConfig, OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.config.schemas import settings_class
from dlproj.data.base import DataModule
from dlproj.inference.evaluate import evaluate
from dlproj.inference.trained import open_run
from dlproj.models.classifier import Classifier
from dlproj.models.metrics import further_metrics
from dlproj.models.mlp import MLPClassifier
from dlproj.runs.comparison import best_value
from dlproj.runs.record import read_run
from dlproj.training.callbacks import build_callbacks
from dlproj.training.monitors.epoch_logger import build_loggers

ROOT = Path(__file__).parents[1]


@pytest.fixture
def image_spec():
    return DigitsConfig().spec()


class Deaf(Classifier):
    """A model without a forward()."""

    sequential_layers = nn.Module.modules


class Empty(DataModule):
    """Data without samples."""


@dataclass(slots=True)
class Unbuilt(OptimConfig):
    """Settings of no optimizer."""


@dataclass(slots=True)
class Unread(ModelConfig):
    """Settings of a model that reads nothing."""

    def hidden_layers(self):
        return []


@dataclass(slots=True)
class Unseen(DataConfig):
    """Settings of data of which nothing is known."""

    def build(self, seed):
        return Empty(self, seed)


@pytest.mark.parametrize(
    ("make", "lacking"),
    [
        (lambda spec: Deaf(MLPConfig(), spec, AdamConfig(), SchedulerConfig()), "forward"),
        (lambda spec: Empty(None, 0), "load"),
        (lambda spec: Unbuilt(), "build"),
        (lambda spec: Unread(), "inputs_of"),
        (lambda spec: Unseen(), "spec"),
    ],
)
def test_a_class_that_lacks_a_method_is_refused_by_its_name(make, lacking, image_spec):
    with pytest.raises(TypeError, match=rf"abstract class \w+ with.* abstract method.*\b{lacking}\b"):
        make(image_spec)


def test_a_whole_one_is_made(image_spec):
    assert isinstance(MLPClassifier(MLPConfig(), image_spec, AdamConfig(), SchedulerConfig()), Classifier)


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder with a package and settings of one's own."""
    folder = tmp_path_factory.mktemp("outside")
    parts_outside.write(folder)
    return folder


@pytest.fixture(scope="module")
def train(outside):
    """Call with overrides: `train.py` with the folder's settings, and its package where Python finds it."""

    def run(*overrides):
        paths = os.pathsep.join([str(outside), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, str(ROOT / "train.py"), "--config-dir", str(outside / "conf"), *overrides]
        return subprocess.run(
            command, cwd=outside, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
        )

    return run


@pytest.fixture(scope="module")
def trained(outside, train):
    """The folder of a run of one of each kind, begun for one epoch and resumed for a second; what it said."""
    folder, said = outside / "run", ""
    for epochs in (1, 2):
        more = [f"trainer.max_epochs={epochs}", "callbacks.resume=auto", f"hydra.run.dir={folder}"]
        done = train(*parts_outside.CHOICES, "trainer.accelerator=cpu", *more)
        assert done.returncode == 0, done.stderr
        said += done.stdout + done.stderr
    return folder, said


@pytest.fixture
def importable(outside, monkeypatch):
    monkeypatch.syspath_prepend(outside)


def test_a_model_a_data_set_and_an_optimizer_of_ones_own_train(trained):
    run = read_run(trained[0])
    assert run.result.status == "completed"
    assert run.result.classes == ["row", "column"]
    assert run.result.samples == {"train": 108, "val": 12, "test": 40}
    assert run.result.parameters == 4 * 4 * 2 + 2
    assert run.settings["schema"] | {"callbacks": "", "trainer": ""} == {
        "data": "own_parts.settings.StripesConfig",
        "model": "own_parts.settings.ScaledConfig",
        "optim": "own_parts.settings.NAdamConfig",
        "scheduler": "own_parts.settings.HalvingConfig",
        "callbacks": "",
        "trainer": "",
    }
    kept = torch.load(trained[0] / "checkpoints/last.ckpt", weights_only=False)
    assert "mu_product" in kept["optimizer_states"][0]["state"][0]  # which only NAdam has
    assert [run.epochs[epoch]["learning_rate"] for epoch in (1, 2)] == pytest.approx([0.01, 0.005])


def test_metrics_of_ones_own_choose_and_are_recorded(trained):
    run = read_run(trained[0])
    errors = round((1 - run.result.metrics["test/accuracy"]) * 40)
    assert run.result.metrics["test/errors"] == errors
    (row_hits, missed), (wrong, column_hits) = run.result.confusion_matrix
    by_chance = ((row_hits + missed) * (row_hits + wrong) + (wrong + column_hits) * (missed + column_hits)) / 40**2
    kappa = (run.result.metrics["test/accuracy"] - by_chance) / (1 - by_chance)
    assert run.result.metrics["test/cohen_kappa"] == pytest.approx(kappa, abs=1e-6)
    assert run.settings["callbacks"]["early_stopping"]["mode"] == "min"
    fewest = min(row["val/errors"] for row in run.epochs.values())
    assert run.epochs[run.result.best_epoch]["val/errors"] == fewest == best_value(run, "val/errors").value


def test_a_callback_of_ones_own_goes_on_where_a_run_is_resumed(trained):
    folder, said = trained
    assert (folder / "epochs.txt").read_text() == "2"
    assert "Total params: 34" in said  # Lightning's summary, chosen beside it


def test_loggers_get_settings_and_one_row_an_epoch_and_the_end(trained):
    folder, _ = trained
    run = read_run(folder)
    told = [json.loads(line) for line in (folder / "lines.jsonl").read_text().splitlines()]
    assert [line for line in told if line[0] != "metrics"] == [["settings", 2.0], ["end", "success"]] * 2
    rows = [(step, metrics) for kind, step, *metrics in told if kind == "metrics"]
    assert [(step, "train/loss" in row, "test/errors" in row) for step, (row,) in rows] == [
        (1, True, False),
        (1, False, True),
        (2, True, False),
        (2, False, True),
    ]
    assert rows[2][1][0] == pytest.approx(run.epochs[2], rel=1e-6)
    with (folder / "table/version_1/metrics.csv").open() as file:
        first, last = csv.DictReader(file)
    assert (first["step"], float(first["val/errors"])) == ("2", run.epochs[2]["val/errors"])
    assert float(last["test/loss"]) == pytest.approx(run.result.metrics["test/loss"])
    assert "scale: 2.0" in (folder / "table/version_1/hparams.yaml").read_text()


def test_a_logger_that_fails_is_said_once_and_the_run_goes_on(trained):
    said = trained[1]
    line = "logger.unreachable logs nothing from here on: no route to host"
    assert said.count(line) == said.count("logger.unreachable") == 2  # once in each of the two runs


def test_a_figure_of_ones_own_is_drawn_and_in_tensorboard(trained):
    folder = trained[0]
    for name in ("errors", "learning_rate"):
        assert (folder / f"figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"figures/errors", "figures/learning_rate"} <= set(events.Tags()["images"])


def test_a_run_of_ones_own_parts_is_evaluated_again_to_the_same_figures(trained, importable):
    outcome = evaluate(open_run(trained[0]))
    assert outcome.equals_training()
    assert {"test/errors", "test/cohen_kappa"} <= set(outcome.recorded)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model=scaled", "model.scal=3"], "unknown setting model.scal: did you mean model.scale?"),
        (["+callbacks.extra.mine._target_=own_parts.Lost"], "callbacks.extra.mine._target_=own_parts.Lost cannot be"),
    ],
)
def test_what_is_wrong_with_ones_own_parts_is_one_line_and_leaves_nothing(overrides, words, outside, train):
    done = train("data=stripes", "trainer=debug", f"hydra.run.dir={outside / 'refused'}", *overrides)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {words}")
    assert done.stderr.count("\n") == 1
    assert not (outside / "refused").exists()


TARGET = "_target_=own_parts.parts"


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (
            {"_target_": "own_parts.parts.Lost"},
            f"{TARGET}.Lost cannot be used: module 'own_parts.parts' has no attribute 'Lost'",
        ),
        ({"_target_": "own_parts.parts.Errors", "num_classes": 2}, f"{TARGET}.Errors makes no pytorch_lightning."),
        ({"_target_": "os.system", "command": "exit"}, "_target_=os.system makes no pytorch_lightning."),
    ],
)
def test_a_callback_or_logger_that_is_none_is_named(part, words, importable, tmp_path):
    with pytest.raises(ConfigurationError, match=re.escape(f"callbacks.extra.mine.{words}")):
        build_callbacks(CallbacksConfig(extra={"mine": part}), tmp_path)
    with pytest.raises(ConfigurationError, match=re.escape(f"logger.mine.{words}")):
        build_loggers({"mine": part}, tmp_path)


def test_arguments_that_a_callback_does_not_take_are_named(importable, tmp_path):
    words = f"{TARGET}.CountEpochs cannot be used: CountEpochs.__init__() got an unexpected keyword argument 'every'"
    with pytest.raises(ConfigurationError, match=re.escape(f"callbacks.extra.mine.{words}")):
        build_callbacks(
            CallbacksConfig(extra={"mine": {"_target_": "own_parts.parts.CountEpochs", "every": 2}}), tmp_path
        )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_parts.settings.Lost", "cannot be imported (module 'own_parts.settings' has no attribute 'Lost'): "),
        ("lost_parts.settings.Config", "cannot be imported (No module named 'lost_parts'): install its package, "),
        ("own_parts.settings.NAdamConfig", "is not a settings class: derive a dataclass from dlproj.config.model."),
        ("dlproj.config.model.ModelConfig", "is abstract: write its build(), hidden_layers(), inputs_of()"),
    ],
)
def test_a_settings_class_that_cannot_be_used_is_named(name, words, importable):
    with pytest.raises(ConfigurationError, match=re.escape(f"/schema/model: {name} {words}")):
        settings_class("model", name)


def test_a_metric_that_makes_no_single_number_is_named():
    node = {"_target_": "torchmetrics.classification.MulticlassConfusionMatrix"}
    with pytest.raises(
        ConfigurationError, match=r"^metrics\.confusion\._target_=\S+ makes no number of class scores: "
    ):
        further_metrics({"confusion": node}, classes=3)
