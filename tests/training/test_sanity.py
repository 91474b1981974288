"""trainer=overfit tells models that can learn from those that cannot; trainer=fast_dev_run tries everything."""

import math
import os

import pytest
import torch

from dlproj.config.checks import ConfigurationError, UserError
from dlproj.training import sanity
from dlproj.training.run import run
from dlproj.training.sanity import Overfit, fast_dev_run, learn, overfit

# Lightning 2.6 asks torch's tree utilities for something that torch 2.15 calls deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore:.*isinstance\(treespec, LeafSpec\)")
DIGITS = ["data=digits", "trainer.threads=1", "trainer.accelerator=cpu", "trainer.progress_bar=false"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.hidden=[64]"],
        # All of these would keep the loss above 0.
        ["model.hidden=[64]", "model.dropout=0.9", "model.weight_l2=0.1", "optim.weight_decay=1", "data.random_crop=3"],
        ["model.hidden=[64]", "model.batch_norm=true", "scheduler.warmup_epochs=2"],
        ["model.hidden=[64]", "model.loss=mean_squared_error", "optim.layer_decay=0.9"],
        ["model=gru", "model.hidden=[32]", "model.image_reading=rows", "model.embedding_dim=null", "model.dropout=0.5"],
    ],
)
def test_a_sound_model_learns_a_batch_by_heart(overrides, composed):
    words = overfit(composed(*DIGITS, "trainer=overfit", "optim.learning_rate=0.01", *overrides))
    assert words.startswith("the model can learn: the loss of one batch of 32 samples went from ")
    assert words.endswith("steps (accuracy 100.00%)")


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        (
            ["optim=sgd", "optim.learning_rate=1e-6"],
            "the model does not learn; try optim.learning_rate ten times higher",
        ),
        (["optim=sgd", "optim.learning_rate=1e9"], "training diverges; set optim.learning_rate lower"),
        (
            ["optim=sgd", "optim.learning_rate=0.1"],
            "it learns, but slowly; set optim.learning_rate or trainer.max_steps",
        ),
        (["model.hidden=[1,1,1,1]", "model.activation=sigmoid"], "the model does not learn"),
    ],
)
def test_a_model_that_does_not_learn_is_told_from_one_that_does_and_why(overrides, advice, composed):
    config = composed(*DIGITS, "trainer=overfit", "model.hidden=[64]", "trainer.max_steps=60", *overrides)
    with pytest.raises(UserError, match=f"in \\d+ steps .* not below 0.01: {advice}"):
        overfit(config)


def test_frozen_layers_and_the_weights_of_another_run_count(composed, tmp_path, monkeypatch):
    quick = [*DIGITS, "model.hidden=[64]", "optim.learning_rate=0.01"]
    run(composed(*quick, "trainer.max_epochs=1", "figures=none", "logger=none"), tmp_path)
    start = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    models = []

    def look(model, batch, config):
        models.append(model)
        return learn(model, batch, config)

    monkeypatch.setattr(sanity, "learn", look)
    overfit(composed(*quick, "trainer=overfit", "model.freeze=[hidden.0]", f"init_from={tmp_path}"))
    changed = [name for name, value in models[0].state_dict().items() if not torch.equal(value, start[name])]
    assert changed == ["output.weight", "output.bias"]


def test_samples_that_contradict_each_other_are_counted(composed):
    config = composed(
        *DIGITS, "trainer=overfit", "model.hidden=[8]", "trainer.max_steps=200", "optim.learning_rate=0.1"
    )
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    inputs = torch.rand(6, 1, 8, 8)
    inputs[1], inputs[4], inputs[5] = inputs[0], inputs[3], inputs[3]
    verdict = learn(model, (inputs, torch.tensor([1, 2, 3, 4, 4, 4])), config)  # the first two contradict each other
    assert verdict.contradictions == 2
    assert verdict.loss == pytest.approx(2 * math.log(2) / 6, abs=0.02)
    assert "2 samples equal others of another class" in verdict.words()


def test_the_verdict_names_the_steps_it_took():
    words = Overfit(32, 77, 2.3, 0.004, 1.0, 0).words()
    expected = "the loss of one batch of 32 samples went from 2.3 to 0.004 in 77 steps (accuracy 100.00%)"
    assert words == f"the model can learn: {expected}"


def test_a_fast_dev_run_goes_through_everything_and_leaves_nothing(composed, tmp_path, monkeypatch):
    seen = {}

    def look(config, folder):
        result = run(config, folder)
        seen.update(steps=result.steps, files={path.name for path in folder.rglob("*")}, folder=folder)
        return result

    monkeypatch.setattr(sanity, "run", look)
    words = fast_dev_run(composed(*DIGITS, "trainer=fast_dev_run", "model.hidden=[8]", "scheduler.warmup_epochs=2"))
    assert words.startswith("everything ran: a training step of 610 parameters")
    assert seen["steps"] == 1
    assert {"best.ckpt", "last.ckpt", "metrics.csv", "summary.json", "report.html"} <= seen["files"]
    assert not seen["folder"].exists()


@pytest.mark.parametrize("choice", ["overfit", "fast_dev_run"])
def test_checks_make_no_run(choice, composed, tmp_path):
    with pytest.raises(ConfigurationError, match="leave no run"):
        run(composed("data=digits", f"trainer={choice}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["trainer=overfit"], 0, "the model can learn: ", marks=pytest.mark.slow),
        (["trainer=overfit", "optim.learning_rate=1e-9", "trainer.max_steps=9"], 1, "error: the loss of one batch"),
        pytest.param(["trainer=fast_dev_run"], 0, "everything ran: ", marks=pytest.mark.slow),
        pytest.param(["trainer=fast_dev_run", "seed=1,2", "-m"], 1, "leave out -m", marks=pytest.mark.slow),
    ],
)
def test_commands_print_the_verdict_and_leave_no_folder(arguments, code, words, commands, tmp_path):
    command = commands.start([*DIGITS[:2], "model.hidden=[32]", *arguments], tmp_path, dict(os.environ))
    assert words in "".join(command.communicate())
    assert command.returncode == code
    assert not list(tmp_path.rglob("summary.json"))
