"""Means over seeds decide a claim, or do not; the draws follow Student's t distribution."""

import math
from random import Random

import pytest
from scipy import stats

from dlproj.reproduce.evidence import Decision, Evidence, Mean, judge
from dlproj.reproduce.recorded import Recorded

ACCURACY = "test/accuracy"


def runs(*accuracies, quantity=ACCURACY, epochs=None):
    """A run a seed."""
    return [Recorded({}, seed, {quantity: value}, epochs or {}, "", {}, None) for seed, value in enumerate(accuracies)]


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
    check = lambda of: of("toy/a", "relu") > 0  # noqa: E731
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
    mean, random = Mean([0.0, 2.0, 4.0, 6.0, 8.0], is_exact=False), Random(0)
    draws = sorted(mean.drawn(random) for _ in range(4000))
    error = math.sqrt(10) / math.sqrt(5)
    low, high = 4 - 2.776 * error, 4 + 2.776 * error  # 95 % of t with four degrees of freedom
    assert draws[100] == pytest.approx(low, abs=0.5)
    assert draws[-100] == pytest.approx(high, abs=0.5)
