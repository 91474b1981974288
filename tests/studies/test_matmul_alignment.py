"""Products of each layout, how often they are repeated, and what is made of their timings."""

import pytest
import torch

from dlproj.settings import ConfigurationError
from dlproj.studies.matmul_alignment import LAYOUTS, Case, devices, effects, flops, matmul_alignment, measure
from dlproj.studies.timing import CPU, Timings, error_bars, seconds_of


@pytest.mark.parametrize(("layout", "subscripts"), [("NN", "ij,jk->ik"), ("NT", "ij,kj->ik"), ("TN", "ji,jk->ik")])
def test_layouts_are_what_they_are_called(layout, subscripts, generator):
    a, b = (torch.randn(5, 5, generator=generator) for _ in range(2))
    out = torch.empty(5, 5)
    LAYOUTS[layout](a, b, out)
    torch.testing.assert_close(out, torch.einsum(subscripts, a, b))


def test_operations_of_a_product():
    assert flops(1024) == 2_147_483_648


def test_every_size_type_and_layout_is_repeated_as_asked(generator):
    cases = measure([3, 4], 2, 1.0, generator)
    assert len(cases) == 2 * 2 * 3 * len(devices())
    assert all(len(case.seconds) == 2 for case in cases)
    assert {case.dtype for case in cases} == {torch.float32, torch.bfloat16}


def test_a_slow_product_is_repeated_three_times(monkeypatch):
    case = Case(CPU, torch.float32, "NN", (torch.ones(2, 2),) * 3)
    monkeypatch.setattr("dlproj.studies.matmul_alignment.seconds_of", lambda *_: 2.0)
    case.plan(15, 1.0)
    assert (case.calls, case.repetitions) == (1, 3)


def test_a_fast_product_is_timed_several_at_once(monkeypatch):
    case = Case(CPU, torch.float32, "NN", (torch.ones(2, 2),) * 3)
    monkeypatch.setattr("dlproj.studies.matmul_alignment.seconds_of", lambda *_: 2**-12)
    case.plan(15, 1.0)
    assert (case.calls, case.repetitions) == (5, 15)


def test_reported_figures_are_of_float32_by_rows_on_a_cpu():
    rows = [
        Case(CPU, dtype, layout, (torch.empty(size, 1),) * 3, seconds=[1.0]).row()
        for dtype in (torch.float32, torch.bfloat16)
        for layout in LAYOUTS
        for size in (1024, 1025, 1026, 1028, 1032, 7)
    ]
    reported = {row["size"]: row["reported_seconds"] for row in rows if row["reported_seconds"]}
    assert reported == {1024: 0.0354, 1025: 0.03642, 1026: 0.03462, 1028: 0.03699, 1032: 0.03355}
    assert sum(row["reported_seconds"] is not None for row in rows) == 5


def test_the_effect_by_hand():
    cases = [
        Case(CPU, torch.float32, "NN", (torch.empty(size, 1),) * 3, seconds=seconds)
        for size, seconds in ((10, [2e-6, 2e-6, 2e-6]), (20, [7e-6, 8e-6, 9e-6]))
    ]
    # 2000 operations in 2 µs, 16000 in 8 µs: 1 and 2 GFLOP/s; quartiles 7.5 and 8.5 µs of 8 are an eighth
    (found,) = effects([case.row() for case in cases])
    assert (found["fastest_size"], found["slowest_size"]) == (20, 10)
    assert found["difference_share"] == pytest.approx(1)
    assert found["interquartile_share"] == pytest.approx(1 / 16)


def test_the_article_has_a_panel_and_rates_of_each_device_and_type(monkeypatch):
    monkeypatch.setattr("dlproj.studies.matmul_alignment._PROBED", 1000)
    products, effect, rates = matmul_alignment(sizes="6,5", repetitions=1).sections
    panels = 2 * len(devices())
    assert len(products.figures["products"].axes) == len(rates.table.rows) == panels
    assert len(products.table.rows) == 3 * 2 * panels
    assert len(effect.table.rows) == 3 * panels
    first = rates.table.rows[0]
    assert first["product_flop_a_byte"] == pytest.approx(2 * 5 / 12)
    assert all(row["memory_gigabytes_a_second"] > 0 and row["best_gflops"] > 0 for row in rates.table.rows)


def test_quartiles_by_hand():
    timings = Timings([4.0, 1.0, 3.0, 2.0, 5.0])
    assert timings.row() == {"lower_quartile_seconds": 2, "median_seconds": 3, "upper_quartile_seconds": 4}
    assert Timings([7.0]).median() == 7
    assert error_bars([1, 2], [3, 5], [6, 9]).tolist() == [[2, 3], [3, 4]]


def test_work_is_called_as_often_as_asked():
    calls = []
    assert seconds_of(lambda: calls.append(1), CPU, calls=4) > 0
    assert len(calls) == 4


@pytest.mark.parametrize("sizes", ["", "1024,", "0", "10x", "-5", "9999999"])
def test_what_is_no_list_of_sizes_is_refused(sizes):
    with pytest.raises(
        ConfigurationError, match=r"--sizes=.* is no list of whole numbers from 1 on: set such as 16,32,64"
    ):
        matmul_alignment(sizes=sizes)
