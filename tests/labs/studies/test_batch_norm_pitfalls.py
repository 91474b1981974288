"""Batch normalisation against torch's own, hand-worked batches and the normal distribution."""

import math

import pytest
import torch
from torch import nn

from dlproj.labs.studies.batch_norm_pitfalls import (
    _slopes,
    batch_norm_pitfalls,
    company,
    evaluation_gaps,
    floor,
    normalised,
    predicted_gap,
    predicted_spread,
    refusal,
    running_statistics,
    small_batches,
    spread,
    spread_table,
)


def generator():
    return torch.Generator().manual_seed(2)


def test_the_formula_is_torchs():
    batch = 4 + 3 * torch.randn(9, 5, generator=generator(), dtype=torch.float64)
    theirs = nn.BatchNorm1d(5, dtype=torch.float64)(batch).detach()
    torch.testing.assert_close(normalised(batch), theirs, rtol=1e-13, atol=1e-14)


def test_a_batch_of_one_gives_zeros_and_torch_refuses_it():
    assert normalised(torch.tensor([[3.0, -8.0, 1e6]])).tolist() == [[0, 0, 0]]
    assert {row["outputs"] for row in small_batches().rows if "," not in row["batch"]} == {"0"}
    assert refusal() == "Expected more than 1 value per channel when training, got input size torch.Size([1, 1])"


def test_the_documents_sample_has_the_documents_outputs_in_training_and_one_in_evaluation():
    rows = company().rows
    # of two samples 9 apart each lies 4.5 from their mean, of two 1 apart 0.5, and so on
    halves = [4.5, 9, 13.5, -0.5, -1.5, -2.5]
    expected = [-half / math.sqrt(half**2 + 1e-5) for half in halves]
    for way in ("training", "formula"):
        assert [row[way] for row in rows] == pytest.approx(expected, rel=1e-12)
    assert [row["reported"] for row in rows] == [-0.99999975, None, None, 0.99998, None, None]
    assert [f"{rows[0]['training']:.10f}"[:11], f"{rows[3]['training']:.10f}"[:7]] == ["-0.99999975", "0.99998"]
    # the running mean of the first feature: 0.9 · (0.1 · 5.5) + 0.1 · 0.5; unbiased variances are 81/2 and 1/2
    mean, variance = 0.545, 0.9 * (0.9 + 0.1 * 40.5) + 0.1 * 0.5
    assert rows[0]["evaluation"] == rows[3]["evaluation"] == pytest.approx((1 - mean) / math.sqrt(variance + 1e-5))


def test_running_variances_are_unbiased_and_normalising_ones_biased():
    rows = {row["quantity"]: row for row in running_statistics().rows}
    assert all(row["torch"] == pytest.approx(row["by_hand"], rel=1e-12) for row in rows.values())
    # 1, 2, 3, 6: mean 3, squares 14, variances 14/4 and 14/3
    assert rows["output for 1 in training"]["torch"] == pytest.approx(-2 / math.sqrt(3.5 + 1e-5), rel=1e-12)
    assert rows["running mean, step 1"]["torch"] == pytest.approx(0.3, rel=1e-12)
    assert rows["running variance, step 1"]["torch"] == pytest.approx(0.9 + 0.1 * 14 / 3, rel=1e-12)
    assert rows["running variance, step 1"]["with_the_other_variance"] == pytest.approx(1.25, rel=1e-12)
    assert rows["running mean, step 10"]["torch"] == pytest.approx(3 * (1 - 0.9**10), rel=1e-12)


def test_of_two_samples_the_spread_is_that_of_a_coin():
    # y is 1 where the other sample is below x = 1 and -1 otherwise: 2 √(p (1 - p)) with p = Φ(1) = 0.84134
    draws = 40_000  # a standard error of about 0.003
    assert spread(1.0, 2, draws, generator()) == pytest.approx(2 * math.sqrt(0.84134 * 0.15866), abs=0.012)


@pytest.mark.parametrize("place", [0.0, 1.0, 2.0])
def test_in_large_batches_the_spread_is_as_predicted(place):
    draws = 4000  # a standard error of 1/√(2 draws) = 1.1 %
    assert spread(place, 500, draws, generator()) == pytest.approx(predicted_spread(place, 500), rel=0.045)
    assert predicted_spread(place, 500) == 2 * predicted_spread(place, 2000)


def test_tables_and_slopes_hold_what_was_measured_and_predicted():
    sizes = [2, 4, 8, 16, 32, 64]
    spreads = {0.0: [3 * size**-0.5 for size in sizes], 2.0: [size**-0.25 for size in sizes]}
    assert _slopes(sizes, spreads) == ["-0.50", "-0.25"]
    row = spread_table(sizes, spreads).rows[3]
    assert row == pytest.approx(
        {
            "batch_size": 16,
            "predicted_at_0": 0.25,
            "measured_at_0": 0.75,
            "predicted_at_2": math.sqrt(3 / 16),
            "measured_at_2": 0.5,
        }
    )


def test_in_the_end_evaluation_and_training_differ_by_chance():
    gaps = evaluation_gaps(260, generator())[60:]
    # each is a mean over 128 features, of which a batch's two statistics are two chances: 6 % of the square, a gap
    assert math.sqrt(sum(gap**2 for gap in gaps) / len(gaps)) == pytest.approx(floor(), rel=0.02)
    assert floor() > 1.02 * math.sqrt(1.5 / 256)


def test_evaluation_differs_from_training_as_the_start_fades():
    assert predicted_gap(0) == pytest.approx(math.sqrt(2**2 + 5**2))  # (x - 5)/3 against x, x from N(5, 3²)
    # one step: mean 0.5, variance 0.9 + 0.1 · 9 = 1.8
    assert predicted_gap(1) == pytest.approx(math.hypot(3 / math.sqrt(1.8) - 1, 4.5 / math.sqrt(1.8)))
    measured = evaluation_gaps(12, generator())
    assert measured == [pytest.approx(predicted_gap(step), rel=0.05) for step in range(13)]


def test_the_article_is_the_same_for_the_same_seed():
    one, same, other = (batch_norm_pitfalls(32, 50, 3, seed) for seed in (1, 1, 2))
    tables = [[section.table.rows for section in article.sections] for article in (one, same, other)]
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]
    (figure,) = one.sections[2].figures.values()
    assert len(figure.axes[0].lines) == 6
    assert figure.axes[0].lines[0].get_xdata().tolist() == [2, 4, 8, 16, 32]
