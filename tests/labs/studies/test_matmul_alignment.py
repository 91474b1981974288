"""Products of each layout, how often they are repeated, and what is made of their timings."""

import math
from timeit import timeit

import pytest
import torch

from dlproj.clock import CPU, processor_clock
from dlproj.config.checks import ConfigurationError
from dlproj.labs.studies.matmul_alignment import (
    effect_table,
    effects,
    figure,
    matmul_alignment,
    measure,
    median_interval,
    turns_needed,
)
from dlproj.labs.studies.parts import products as module
from dlproj.labs.studies.parts.products import (
    LAYOUTS,
    Case,
    balance,
    devices,
    enough_calls,
    flops,
    in_a_row,
    peak_flops_per_s,
)

gpu = pytest.mark.gpu


@pytest.mark.parametrize(("layout", "subscripts"), [("NN", "ij,jk->ik"), ("NT", "ij,kj->ik"), ("TN", "ji,jk->ik")])
def test_layouts_are_what_they_are_called(layout, subscripts, generator):
    a, b = (torch.randn(5, 5, generator=generator) for _ in range(2))
    out = torch.empty(5, 5)
    LAYOUTS[layout](a, b, out)
    torch.testing.assert_close(out, torch.einsum(subscripts, a, b))


def test_operations_of_a_product():
    assert flops(1024) == 2_147_483_648


def test_every_size_type_and_layout_is_repeated_as_asked():
    cases = measure([3, 4], 2, 1.0, seed=0)
    assert len(cases) == 2 * 2 * 3 * len(devices())
    assert all(len(case.seconds) == 2 for case in cases)
    assert {case.dtype for case in cases} == {torch.float32, torch.bfloat16}


def test_products_take_turns_and_those_of_one_kind_equally_often(monkeypatch):
    took, timed = {"NN": 0.01, "NT": 0.1, "TN": 9.0}, []
    monkeypatch.setattr(Case, "prepare", lambda case: took[case.layout] * (2 if case.size() == 4 else 1))
    monkeypatch.setattr(Case, "time", lambda case: timed.append((case.kind(), case.size())))
    monkeypatch.setattr(module, "devices", lambda: [CPU])
    cases = measure([3, 4], 15, 2.0, seed=0)
    everyone = sorted((case.kind(), case.size()) for case in cases)
    counts = {one: timed.count(one) for one in everyone}
    fewest = 8  # that tell an effect of two sizes in each of six kinds
    assert counts == {(kind, size): {"NN": 15, "NT": 10, "TN": fewest}[kind[2]] for kind, size in everyone}
    assert sorted(timed[:12]) == sorted(timed[12:24]) == everyone
    assert timed[:12] != timed[12:24]


@pytest.mark.parametrize(("seconds", "expected"), [(2**-12, (32, 2**-7)), (2.0, (1, 2.0))])
def test_so_many_products_are_timed_at_once_as_take_5_ms(seconds, expected):
    done = []
    assert enough_calls(lambda: done.append(seconds), lambda: sum(done)) == expected  # the first power of two that does


def test_a_timing_of_several_products_is_shared_out_among_them(monkeypatch):
    case = Case(CPU, torch.float32, "NN", (torch.ones(2, 2),) * 3)
    monkeypatch.setattr(module, "enough_calls", lambda *_: (4, 2.0))
    assert case.prepare() == 2
    done = []
    monkeypatch.setattr(module, "timeit", lambda work, timer, number: done.append(work) or 2.0)
    case.time()
    assert case.seconds == [0.5]
    assert done == [case.run]


def test_so_many_products_in_a_row():
    done = []
    in_a_row(lambda: done.append(1), 3, CPU)()
    assert len(done) == 3


def test_on_cuda_products_are_recorded(monkeypatch):
    monkeypatch.setattr(module, "captured", lambda run, work, device: (run(), work, device))
    done = []

    def work():
        done.append(1)

    assert in_a_row(work, 3, torch.device("cuda", 1)) == (None, work, torch.device("cuda", 1))
    assert len(done) == 3


@gpu
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [1024, 1025])
def test_a_gpu_replays_products_without_launching_them_one_by_one(size, layout):
    device = torch.device("cuda", 0)
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    out, launched = torch.empty_like(a), []

    def work():
        launched.append(1)
        LAYOUTS[layout](a, b, out)

    run = in_a_row(work, 100, device)
    launched.clear()
    out.zero_()
    seconds = timeit(run, timer=processor_clock(device), number=1)
    assert not launched
    assert seconds > 0
    torch.testing.assert_close(out, LAYOUTS[layout](a, b, torch.empty_like(a)))


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


def case_of(size, seconds):
    return Case(CPU, torch.float32, "NN", (torch.empty(size, 1),) * 3, seconds=seconds)


def test_the_effect_by_hand():
    # 2000 operations in 2, 4 and so on µs, 16000 in 8 µs: 1, ½ … and 2 GFLOP/s, turn by turn 2, 4 … times as many
    times_as_many = [2, 4, 3, 2.5, 3.5, 1.5, 4.5]
    cases = [case_of(10, [1e-6 * one for one in times_as_many]), case_of(20, [8e-6] * 7)]
    (found,) = effects(cases)
    assert (found["fastest_size"], found["slowest_size"]) == (20, 10)
    assert found["difference_share"] == pytest.approx(2)
    # of 7 all lie on one side of the median once in 2⁶ times; with the second lowest it would be 16 in 128
    assert (found["lower_share"], found["upper_share"]) == (pytest.approx(0.5), pytest.approx(3.5))
    assert found["verdict"] == "an effect"
    assert effect_table([found]).cells == [
        ("cpu", "float32", "NN", "20", "10", "200.0%", "50.0% to 350.0%", "an effect")
    ]


def test_a_disturbance_that_meets_all_sizes_of_a_turn_is_none():
    disturbed = [1.0, 1.5, 9.0, 1.0, 2.0, 1.2, 1.0]
    found = effects([case_of(10, [1e-6 * one for one in disturbed]), case_of(20, [9e-6 * one for one in disturbed])])
    assert found[0]["lower_share"] == found[0]["upper_share"] == pytest.approx(0.125)


def test_what_changes_from_turn_to_turn_is_no_clear_effect():
    (found,) = effects([case_of(10, [1e-6] * 6), case_of(20, [9e-6, 7e-6, 9e-6, 9e-6, 9e-6, 9e-6])])
    assert (found["difference_share"], found["verdict"]) == (pytest.approx(0.125), "no clear effect")
    (found,) = effects([case_of(10, [1e-6] * 5), case_of(20, [9e-6] * 5)])
    assert (found["lower_share"], found["verdict"]) == (None, "too few turns")
    assert effect_table([found]).cells[0][-2] == "–"


def test_the_more_sizes_there_are_to_choose_from_the_wider_the_interval():
    seconds = {10: [1e-6] * 6, 20: [9e-6] * 6, 40: [66e-6] * 6}  # 6 turns tell 2 sizes apart
    (of_two,) = effects([case_of(size, seconds[size]) for size in (10, 20)])
    (of_three,) = effects([case_of(size, mine) for size, mine in seconds.items()])
    assert (of_two["verdict"], of_three["verdict"]) == ("an effect", "too few turns")


def test_the_more_kinds_of_products_the_wider_the_interval():
    """12 turns share 5 % among 60 comparisons, 9 among the 10 of one kind."""
    kinds = [
        Case(CPU, dtype, layout, (torch.empty(size, 1),) * 3, seconds=[float(size)] * 11)
        for dtype in (torch.float32, torch.bfloat16)
        for layout in LAYOUTS
        for size in range(5, 10)
    ]
    assert {one["verdict"] for one in effects(kinds)} == {"too few turns"}
    assert {one["verdict"] for one in effects(kinds[:5])} == {"an effect"}


def test_intervals_of_the_median_by_hand():
    values = [5, 3, 1, 4, 2, 6, 8, 7]
    assert median_interval(values, 2 / 2**8) == (1, 8)
    assert median_interval(values, 2 * (1 + 8) / 2**8) == (2, 7)
    assert median_interval(values, 0.99 * 2 / 2**8) == (None, None)


def test_as_many_turns_as_a_verdict_needs():
    for pairs, turns in ((1, 6), (10, 9), (60, 12)):
        missed = 0.05 / pairs
        assert turns_needed(pairs) == turns
        assert median_interval(range(turns), missed) != (None, None) == median_interval(range(turns - 1), missed)


def test_the_peak_is_that_of_the_fastest_product(monkeypatch):
    monkeypatch.setattr(module, "enough_calls", lambda *_: (4, 0.0))
    clock = iter([0, 12, 20, 24, 30, 38]).__next__  # 3, 1 and 2 seconds a product
    assert peak_flops_per_s(CPU, torch.float32, 8, clock) == 2 * 8**3


def test_what_a_product_waits_for():
    assert balance(machine=2.0, product=3.0)["waits_for"] == "arithmetic"
    assert balance(machine=4.0, product=3.0)["waits_for"] == "memory"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("dlproj.clock._PROBED", 1000)
    monkeypatch.setattr(module, "PEAK_SIZES", (8, 8))


def test_the_article_has_a_panel_and_rates_of_each_device_and_type(quick):
    article = matmul_alignment(sizes="6,5", repetitions=1)
    effect, products, rates = article.sections
    panels = 2 * len(devices())
    assert article.subtitle.endswith("one thread")
    assert len(effect.figures["products"].axes) == len(rates.table.rows) == panels
    assert len(products.table.rows) == 3 * 2 * panels
    assert [row["verdict"] for row in effect.table.rows] == ["too few turns"] * 3 * panels
    first = rates.table.rows[0]
    assert first["product_flop_a_byte"] == pytest.approx(2 * 5 / 12)
    assert first["balance_flop_a_byte"] == pytest.approx(first["peak_gflops"] / first["memory_gigabytes_a_second"])
    assert rates.table.columns[-2] == "N = 5 (FLOP/byte)"
    assert rates.table.cells[0][0] == "cpu, one core"
    assert all(row["memory_gigabytes_a_second"] > 0 and row["peak_gflops"] > 0 for row in rates.table.rows)


def test_one_size_alone_has_no_effect(quick):
    effect, *_ = matmul_alignment(sizes="5", repetitions=1).sections
    assert {row["verdict"] for row in effect.table.rows} == {"one size"}


@pytest.mark.parametrize("seconds", [math.inf, math.nan, -1])
def test_seconds_that_mean_nothing_are_refused(seconds):
    with pytest.raises(ConfigurationError, match=r"--seconds=.* must be in \[0, 3600\]"):
        matmul_alignment(sizes="5", seconds=seconds)


def test_what_is_reported_is_drawn_in_the_column_of_its_layout():
    rows = [case_of(size, [1.0]).row() for size in (1024, 1025)]
    peak = {"device": "cpu", "type": "float32", "peak_gflops": 1.0, "peak_size": 8}
    places = {line.get_label(): list(line.get_xdata()) for line in figure(rows, [peak, peak]).axes[0].lines}
    assert places["NN, reported"] == pytest.approx([-0.2, 0.8])


@pytest.mark.parametrize("sizes", ["", "1024,", "0", "10x", "-5", "9999999"])
def test_what_is_no_list_of_sizes_is_refused(sizes):
    with pytest.raises(
        ConfigurationError, match=r"--sizes=.* is not a list of whole numbers from 1 on: set such as 16,32,64"
    ):
        matmul_alignment(sizes=sizes)
