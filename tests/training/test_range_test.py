"""The learning-rate range test: its steps are those of training, and its suggestions those of fast.ai."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import dlproj
from dlproj.cli.app import app
from dlproj.config.checks import UserError
from dlproj.training.range_test import range_test
from dlproj.training.rate_curve import LOWEST, RateCurve, first_diverged, smoothed, steepest, valley

DIGITS = [
    "data=digits",
    "model.hidden=[16]",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.progress_bar=false",
]


def test_the_average_is_that_of_pandas_which_corrects_its_start_too(generator):
    losses = torch.rand(50, generator=generator).tolist()
    for memory in (0.9, 0.98):
        expected = pd.Series(losses).ewm(alpha=1 - memory, adjust=True).mean()
        np.testing.assert_allclose(smoothed(losses, memory), expected, rtol=1e-10)


def fastai_valley(losses):
    """Index, as in fastai/callback/schedule.py (Howard and Gugger 2020, Apache 2.0)."""
    n = len(losses)
    max_start, max_end = 0, 0
    lds = [1] * n
    for i in range(1, n):
        for j in range(i):
            if (losses[i] < losses[j]) and (lds[i] < lds[j] + 1):
                lds[i] = lds[j] + 1
            if lds[max_end] < lds[i]:
                max_end = i
                max_start = max_end - lds[max_end]
    sections = (max_end - max_start) / 3
    return max_start + int(sections) + int(sections / 2)


def test_the_valley_is_that_of_fastai():
    for seed in range(40):
        random = np.random.default_rng(seed)
        losses = np.cumsum(random.normal(-0.2, 1, 40)) if seed % 2 else random.integers(0, 9, 40).astype(float)
        assert valley(losses) == max(0, fastai_valley(losses.tolist()))


def test_the_steepest_slope_is_that_per_factor_of_the_rate():
    rates = np.array([1e-3, 1e-2, 1e-1, 1.0])
    assert steepest(rates, np.array([4.0, 3.5, 1.5, 1.4])) == 1
    assert steepest(np.array([1.0, 2.0, 200.0]), np.array([4.0, 3.0, 1.0])) == 0  # 1 for ln 2 above 2 for ln 100


@pytest.mark.parametrize(
    ("losses", "end"),
    [
        ([1.0, 0.9, math.nan, 0.8], 2),
        ([1.0, math.inf], 1),
        ([1.0, 0.5, 0.6], None),
        ([1.0, 1.0, 1e3], 2),
        ([math.nan], 0),
        ([], None),
    ],
)
def test_a_loss_diverges_if_it_is_not_finite_or_its_average_above_four_times_the_lowest(losses, end):
    assert first_diverged(losses) == end


def curve(losses, rates=None):
    return RateCurve.of(np.geomspace(1e-4, 1, len(losses)) if rates is None else rates, losses)


def test_a_rate_below_the_lowest_loss_is_recommended_and_the_steepest_slope_if_the_loss_never_rises():
    x = np.linspace(-1, 1, 101)
    valley_shaped = curve((2 + (x - 0.2) ** 2).tolist())
    assert valley_shaped.rule == LOWEST
    assert valley_shaped.suggestion == pytest.approx(1e-4 ** (1 - 0.6) / 2**0.5, rel=0.2)  # x = 0.2 is 60 of 100 steps
    falling = curve((2 - np.tanh(4 * x)).tolist())
    assert falling.rule == "steepest slope"
    assert falling.suggestion == float(f"{falling.suggestions()['steepest slope']:.1e}")


def test_one_high_loss_does_not_hide_the_low_ones_before_it():
    losses = (2 - np.minimum(np.arange(100), 60) / 60).tolist()
    assert curve([*losses[:70], 1e3, *losses[70:]]).suggestion > 1e-4 ** (1 - 0.4)


def test_a_curve_that_tells_nothing_is_refused_in_one_line():
    with pytest.raises(UserError, match="the loss did not fall at any rate: set --steps"):
        curve([2.0] * 100).suggestion  # noqa: B018
    with pytest.raises(UserError, match=r"the loss diverged in step 4, at 0\.\d+: set --from lower"):
        curve([1.0, 1.0, 1.0, math.nan] + [1.0] * 46)


@pytest.mark.parametrize("steps", ["1", "7", "auto"])
def test_the_losses_are_those_of_a_bare_loop_on_the_same_batches(steps, composed):
    config = composed(*DIGITS, "optim=sgd", f"trainer.steps_per_execution={steps}", "model.dropout=0")
    found = range_test(config, 1e-4, 1.0, steps=60)
    torch.manual_seed(config.seed)
    data = config.data.build(config.seed)
    data.setup()
    torch.manual_seed(config.seed)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    losses, epoch = [], 0
    while len(losses) < 60:
        loader = data.train_dataloader()
        loader.batch_sampler.sampler.set_epoch(epoch)
        for inputs, targets in loader:
            for group in optimizer.param_groups:
                group["lr"] = 1e-4 * 1e4 ** (len(losses) / 59)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        epoch += 1
    assert len(found.losses) == 60
    np.testing.assert_allclose(found.losses, losses[:60], rtol=2e-4)  # the rates are rounded at each step
    np.testing.assert_allclose(found.rates, np.geomspace(1e-4, 1, 60))


def test_a_step_of_several_batches_is_one_point(composed):
    found = range_test(composed(*DIGITS, "trainer.accumulate_grad_batches=3"), steps=40)
    assert len(found.rates) == len(found.losses) == 40


def test_a_data_set_of_one_batch_and_a_penalty_will_do(composed):
    found = range_test(composed(*DIGITS, "data.batch_size=5000", "model.weight_l2=1e-3"), steps=60)
    assert found.losses[0] > math.log(10)
    assert 1e-4 < found.suggestion < 1


@pytest.mark.parametrize("steps", [0, 1, 10])
def test_few_steps_are_refused(steps, composed):
    with pytest.raises(UserError, match=f"{steps} steps tell nothing: try 30 at least"):
        range_test(composed(*DIGITS), steps=steps)


def test_a_test_of_several_processes_is_refused(composed):
    with pytest.raises(UserError, match="find looks at one process"):
        range_test(composed(*DIGITS, "trainer=ddp"))
    with pytest.raises(UserError, match="find takes steps of training itself: leave out trainer=overfit"):
        range_test(composed(*DIGITS, "trainer=overfit"))


def test_settings_of_how_long_a_run_trains_do_not_end_the_test(composed):
    assert len(range_test(composed(*DIGITS, "trainer.max_steps=3", "trainer.max_epochs=1"), steps=40).rates) == 40


def test_the_command_leaves_a_figure_its_numbers_and_the_line_to_train_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["find", "learning_rate", *DIGITS, "optim=sgd", "optim.learning_rate=7"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    lines = dict(line.split("\t") for line in done.output.splitlines())
    rate = lines["recommended"].partition(",")[0]
    assert lines["train with"].endswith(f"optim=sgd optim.learning_rate={rate}")
    assert "learning_rate=7" not in lines["train with"]
    folder = tmp_path / "logs/found/mlp-digits-sgd"
    assert sorted(path.name for path in folder.iterdir()) == [".dlproj.json", "learning_rate.csv", "learning_rate.png"]
    assert len(pd.read_csv(folder / "learning_rate.csv")) > 40
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == ["found"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data=digts"], "unknown choice data=digts: did you mean data=digits?"),
        (["model.dropuot=0.1"], "unknown setting model.dropuot: did you mean model.dropout?"),
        (["--from", "1"], "the rates must rise from above 0: 1 is not below"),
        (["--from", "0"], "the rates must rise from above 0: 0 is not below"),
    ],
)
def test_what_the_command_refuses_is_one_line(settings, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    to = [] if settings[0] != "--from" else ["--to", "0.5"]
    done = CliRunner().invoke(app, ["find", "learning_rate", *DIGITS[:1], *settings, *to])
    from dlproj.command_errors import in_one_line

    assert in_one_line(done.exception).startswith(message)


def test_python_gets_the_curve_the_suggestion_and_a_plot():
    found = dlproj.find_learning_rate("optim=sgd", data="digits", hidden=[16], threads=1)
    assert list(found.curve.columns) == ["learning_rate", "loss", "averaged"]
    assert found.suggestion in set(np.round(list(found.suggestions.values()), 12)) or found.suggestion > 0
    axes = found.plot()
    assert axes.get_xscale() == "log"
    assert f"{found.suggestion:g}" in axes.get_legend().get_texts()[-1].get_text()
