"""trainer.profile: the parts of training make up its time, the trace holds whole steps, and no weight changes."""

import gzip
import json
from collections import Counter

import pytest
import torch

from dlproj.reports.profile_table import profile_rows
from dlproj.reports.run_page import run_page
from dlproj.runs.comparison import varied_settings
from dlproj.runs.record import read_run
from dlproj.runs.summary import RunResult
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.run import run

QUICK = [
    *("data=digits", "model.hidden=[16]", "trainer.max_epochs=2", "data.batch_size=29", "trainer.threads=1"),
    *("trainer.accelerator=cpu", "trainer.progress_bar=false", "figures.gallery=0", "figures.most_wrong=0"),
]
PARTS = ["data", "forward", "backward", "optimizer", "validation", "figures", "checkpoints", "other"]


def weights(folder):
    return torch.load(checkpoint_path(folder, "last"), weights_only=True)["state_dict"]


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        (["trainer.steps_per_execution=20"], 20),
        pytest.param(["trainer.steps_per_execution=1", "trainer.max_steps=4"], 3, marks=pytest.mark.slow),
        pytest.param(["trainer.steps_per_execution=1"], 10, marks=pytest.mark.slow),
        pytest.param(["trainer.steps_per_execution=20", "trainer.max_steps=30"], 10, marks=pytest.mark.slow),
        pytest.param(["data.batch_size=2000", "trainer.max_epochs=1"], 1, marks=pytest.mark.slow),  # a single call
    ],
)
def test_a_profile_has_every_part_and_a_trace_of_whole_steps(overrides, steps, composed, tmp_path, capfd):
    result = run(composed(*QUICK, *overrides, "trainer.profile=true"), tmp_path / "profiled")
    assert "profiler" not in capfd.readouterr().err  # messages of torch's own
    assert list(result.profile) == PARTS
    assert min(result.profile.values()) >= 0
    assert all(result.profile[part] > 0 for part in PARTS[1:7])
    assert 0 < sum(result.profile.values()) <= result.seconds
    with gzip.open(tmp_path / "profiled" / "trace.json.gz") as file:
        names = Counter(event.get("name") for event in json.load(file)["traceEvents"])
    assert (names["forward"], names["Optimizer.step#Adam.step"]) == (steps, steps)
    run(composed(*QUICK, *overrides), tmp_path / "plain")
    plain, profiled = (weights(tmp_path / name) for name in ("plain", "profiled"))
    assert all(torch.equal(plain[name], profiled[name]) for name in plain)
    settings = [read_run(tmp_path / name).settings for name in ("plain", "profiled")]
    assert varied_settings(settings) == []
    assert not (tmp_path / "plain" / "trace.json.gz").exists()
    assert run_page(read_run(tmp_path / "profiled"))["profile"][-1][0] == "all"
    assert "Where the time went" in (tmp_path / "profiled" / "report.html").read_text()


def test_shares_and_milliseconds_per_step_are_worked_out():
    result = RunResult("", "", "completed", "", 0, steps=50, profile={"forward": 1.5, "other": 0.5})
    assert profile_rows(result) == [
        ["forward", "1.50", "75.0%", "30.000"],
        ["other", "0.50", "25.0%", "10.000"],
        ["all", "2.00", "100.0%", "40.000"],
    ]
    assert profile_rows(RunResult("", "", "completed", "", 0)) == []
