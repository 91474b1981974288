"""Verdicts and the Markdown report, from timings worked out by hand."""

import pytest

from benchmarks.figures import Figures
from benchmarks.table import render
from benchmarks.targets import TARGETS, Target, verdicts

HEADER = {
    "date": "2000-01-01",
    "command": "python -m benchmarks",
    "rounds": 1,
    "machine": "a machine",
    "device": "cpu",
    "versions": {"torch": "1"},
    "limit": None,
}


def measured(variant, seconds, case="mlp-1000-32", memory=2**20, gpu_memory=0):
    key = {"case": case, "threads": 1, "variant": variant}
    return [
        key | {"steps": 1000},
        key | {"round": 1, "seconds": seconds},
        key | {"peak_memory_bytes": memory, "peak_gpu_memory_bytes": gpu_memory},
    ]


RECORDS = [
    HEADER,
    *measured("floor", 2.0),
    *measured("dlproj", 2.0, memory=2**21),
    *measured("template torchvision", 8.0),
    {"case": "mlp-1000-32", "threads": 1, "variant": "keras", "steps": 1000},
    {"case": "mlp-1000-32", "threads": 1, "variant": "keras", "worker_versions": {"keras": "3"}},
    {"case": "mlp-1000-32", "threads": 1, "variant": "keras", "note": "not installed"},
]


@pytest.mark.parametrize(
    ("value", "at_least", "text"),
    [
        (0.9, False, "met by 10.0%"),
        (1.0, False, "met by 0.0%"),
        (1.25, False, "MISSED by 25.0%"),
        (1.25, True, "met by 25.0%"),
        (0.5, True, "MISSED by 50.0%"),
    ],
)
def test_a_verdict_says_by_how_much(value, at_least, text):
    assert Target("dlproj", "floor", 1.0, "mlp", at_least).verdict(value) == text


def test_each_target_is_judged_at_each_case_it_speaks_of():
    found = {verdict.target.text(): verdict.text() for verdict in verdicts(Figures(RECORDS), "cpu")}
    assert found == {
        "dlproj ≤ 1.05 × floor": "met by 4.8%",
        "template torchvision ≥ 3.5 × dlproj": "met by 14.3%",
        "keras ≥ 1.8 × dlproj": "not measured",
        "dlproj ≤ 1.1 × floor, peak memory": "MISSED by 81.8%",
    }


def test_a_gpu_has_targets_of_its_own():
    case = "mlp-1000-128"
    parts = [*measured("dlproj", 0.05, case, gpu_memory=11), *measured("template pairs", 0.5, case)]
    found = {
        verdict.target.text(): verdict.text()
        for verdict in verdicts(Figures([*parts, *measured("floor", 0.04, case, gpu_memory=10)]), "cuda")
    }
    assert found == {
        "dlproj ≤ 0.1 s an epoch": "met by 50.0%",
        "template pairs ≥ 20 × dlproj": "MISSED by 50.0%",
        "dlproj ≤ 1.2 × floor, peak GPU memory": "met by 8.3%",
    }


def test_targets_speak_of_variants_that_there_are():
    from benchmarks.cases import CASES

    for target in TARGETS:
        variants = [case.variants for case in CASES if case.name.startswith(target.cases)]
        assert variants
        assert all({target.variant, target.reference or target.variant} <= set(those) for those in variants)


def test_the_report_has_a_line_a_variant_and_says_what_is_missing():
    lines = render(RECORDS).splitlines()
    assert "| mlp-1000-32 | 1 | dlproj | 2,000 | 1.00 | 1.00 to 1.00 | 2 | 2.00 |" in lines
    assert "| mlp-1000-32 | 1 | keras | not installed |  |  |  |  |" in lines
    assert "- versions: torch 1, keras 3" in lines
    assert "QUICK" not in render(RECORDS)


def test_a_quick_run_says_that_it_measures_nothing():
    report = render([HEADER | {"limit": 4}, *RECORDS[1:]])
    assert "**QUICK: at most 4 batches a chunk." in report
    assert "## Targets" not in report


def test_a_gpu_adds_its_memory():
    assert "| GPU MiB |" in render([HEADER | {"device": "cuda"}, *RECORDS[1:]])
