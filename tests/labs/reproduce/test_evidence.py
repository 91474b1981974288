"""Means over seeds decide a claim, or do not; the draws follow Student's t distribution."""

import math
from dataclasses import replace
from random import Random

import pytest
from scipy import stats

from dlproj.labs.reproduce.evidence import Decision, Draw, Evidence, Mean, judge
from dlproj.labs.reproduce.recorded import Recorded

ACCURACY = "test/accuracy"


def runs(*accuracies, quantity=ACCURACY, epochs=None):
    """A run a seed."""
    return [
        Recorded({}, seed, {quantity: value}, epochs or {}, "", {}, None, "") for seed, value in enumerate(accuracies)
    ]


def above(limit):
    return lambda of: of("toy/a") > limit


def test_the_mean_over_seeds_is_the_evidence():
    verdict = judge(above(0.5), {("toy/a", ""): runs(0.79, 0.80, 0.81)})
    assert verdict == (Decision.held, "test/accuracy of toy/a 80.00%")


@pytest.mark.parametrize(
    ("limit", "decision"), [(0.70, Decision.held), (0.90, Decision.not_held), (0.795, Decision.not_decided)]
)
def test_what_the_spread_of_the_seeds_leaves_open_is_not_decided(limit, decision):
    assert judge(above(limit), {("toy/a", ""): runs(0.78, 0.80, 0.82)}).decision is decision


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_the_share_of_draws_is_what_students_t_distribution_says(seeds):
    values = [0.8 + 0.01 * (seed % 2) for seed in range(seeds)]
    _, probability = stats.ttest_1samp(values, 0.803, alternative="greater")  # 1 - P(mean > 0.803)
    evidence, random = Evidence({("toy/a", ""): runs(*values)}), Random(1)
    share = sum(above(0.803)(evidence.draw(random)) for _ in range(20_000)) / 20_000
    assert share == pytest.approx(1 - probability, abs=0.01)


def test_a_figure_asked_for_twice_is_the_same_in_one_draw():
    evidence = Evidence({("toy/a", ""): runs(0.1, 0.9)}).draw(Random(0))
    first = evidence("toy/a")
    assert first == evidence("toy/a")
    assert first != evidence.draw(Random(1))("toy/a")


def test_one_seed_decides_nothing_but_what_all_seeds_share():
    one = {("toy/a", ""): runs(0.8)}
    assert judge(above(0.5), one) == (Decision.not_decided, "by one seed: test/accuracy of toy/a 80.00%")
    count = {("toy/a", ""): runs(623_290, quantity="parameters")}
    assert judge(lambda of: of("toy/a", "", "parameters") == 623_290, count).decision is Decision.held
    assert judge(lambda of: of("toy/a", "", "parameters") == 1, count).decision is Decision.not_held


def test_seeds_that_agree_to_the_digit_decide():
    assert judge(above(0.5), {("toy/a", ""): runs(0.1, 0.1, 0.1)}).decision is Decision.not_held


def test_what_was_not_run_or_is_not_produced_is_not_judged():
    assert judge(above(0.5), {}) == (Decision.not_judged, "without toy/a")
    other = {("toy/a", "relu"): runs(7, quantity="parameters")}
    check = lambda of: of("toy/a", "relu") > 0
    assert judge(check, other) == (Decision.not_judged, "without test/accuracy of toy/a relu")
    assert judge(None, {}) == (Decision.not_judged, "there is no check of it")


def test_a_curve_gives_a_statistic_of_each_run_and_an_epoch_its_value():
    epochs = {epoch: {"val/loss": loss} for epoch, loss in enumerate((1.0, 0.5, 0.1, 0.08, 0.09), 1)}
    found = {("toy/a", ""): runs(0.5, 0.5, epochs=epochs)}
    evidence = Evidence(found)
    assert evidence.curve("settled epoch", "toy/a") == 3  # 1 - 0.95 · 0.92 = 0.126
    assert evidence.epoch(2, "toy/a", metric="val/loss") == 0.5
    assert evidence.noted() == "val/loss of toy/a, settled epoch 3.0; val/loss of toy/a, after epoch 2 0.5"


def test_a_mean_is_drawn_about_the_mean_by_its_standard_error():
    mean, random = Mean(dict(enumerate([0.0, 2.0, 4.0, 6.0, 8.0])), is_exact=False), Random(0)
    draws = sorted(Draw(random).of(mean) for _ in range(4000))
    error = math.sqrt(10) / math.sqrt(5)
    low, high = 4 - 2.776 * error, 4 + 2.776 * error  # 95 % of t with four degrees of freedom
    assert draws[100] == pytest.approx(low, abs=0.5)
    assert draws[-100] == pytest.approx(high, abs=0.5)


def test_a_difference_within_the_same_runs_keeps_its_own_spread():
    # The seeds are points apart, and in each the second figure lies 0.3 below the first.
    found = [
        replace(run, quantities={"a": value, "b": value - 0.3})
        for run, value in zip(runs(0, 0, 0), (50.0, 54.0, 47.0), strict=True)
    ]
    verdict = judge(lambda of: of("toy/a", "", "b") < of("toy/a", "", "a") - 0.2, {("toy/a", ""): found})
    assert verdict.decision is Decision.held


def test_many_comparisons_of_which_none_is_decided_are_not_decided():
    found = {("toy/a", str(number)): runs(0.80, 0.81, 0.79) for number in range(7)}
    check = lambda of: [of("toy/a", str(number)) < of("toy/a", str(number + 1)) for number in range(6)]
    assert judge(check, found).decision is Decision.not_decided
    found["toy/a", "3"] = runs(0.10, 0.11, 0.09)
    assert judge(check, found).decision is Decision.not_held


def test_what_is_missing_of_any_part_is_said_though_another_part_fails():
    check = lambda of: [of("toy/a") > 0.9, of("toy/b") > 0.1]
    assert judge(check, {("toy/a", ""): runs(0.1, 0.1)}) == (Decision.not_judged, "without toy/b")


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_figures_that_are_not_finite_judge_nothing(loss):
    epochs = {1: {"val/loss": loss}, 2: {"val/loss": 0.5}}
    found = {("toy/a", ""): runs(0.5, math.nan, epochs=epochs)}
    words = "without val/loss of toy/a, settled epoch, which is not finite in each run"
    assert judge(lambda of: of.curve("settled epoch", "toy/a") > 0, found) == (Decision.not_judged, words)
    words = "without test/accuracy of toy/a, which is not finite in each run"
    assert judge(above(0.1), found) == (Decision.not_judged, words)
