"""Trying batch sizes: up to all samples, or to what fits into memory."""

from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner

import dlproj
from dlproj.cli.app import app
from dlproj.training import batch_sizes
from dlproj.training.batch_sizes import BatchSizes, Trial, try_batch_sizes

DIGITS = [
    "data=digits",
    "model.hidden=[16]",
    "trainer.threads=1",
    "trainer.accelerator=cpu",
    "trainer.progress_bar=false",
]


def test_sizes_are_doubled_up_to_all_samples(composed):
    found = try_batch_sizes(composed(*DIGITS, "data.val_fraction=0.95"))  # leaves 71
    assert [(trial.batch_size, trial.steps) for trial in found.trials] == [(16, 5), (32, 3), (64, 2), (71, 1)]
    assert (found.largest, found.end) == (71, "all training samples")
    assert all(trial.step_seconds > 0 and trial.peak_bytes > 2**20 for trial in found.trials)


def test_the_smallest_of_the_sizes_with_about_the_fastest_epoch_is_suggested():
    trials = [Trial(16, 100, 0.04, 1), Trial(32, 50, 0.023, 1), Trial(64, 25, 0.04, 1), Trial(128, 13, 0.1, 1)]
    found = BatchSizes(trials)  # epochs of 4, 1.15, 1 and 1.3 s
    assert (found.suggestion, found.fastest.batch_size, found.largest) == (32, 64, 128)


def test_arrays_of_a_function_are_tried_by_size_too(composed, tmp_path):
    lines = ["import numpy as np", "def load(): return np.eye(8, dtype=np.float32).repeat(9, 0), np.arange(72) % 2"]
    (tmp_path / "eye.py").write_text("\n".join(lines))
    own = ["data=custom", f"data.load={tmp_path}/eye.py:load", "data.test_fraction=0.5", "data.val_fraction=0.1"]
    found = try_batch_sizes(composed(*own, *DIGITS[1:]))  # leaves 32
    assert [(trial.batch_size, trial.steps) for trial in found.trials] == [(16, 2), (32, 1)]


class Pretended:
    """Trains nothing: a size takes `a_sample` bytes a sample beside 1,000,000, and more than `limit` is an error."""

    def __init__(self, monkeypatch, a_sample=1000, limit=None):
        self.a_sample, self.limit, self.tried = a_sample, limit, []
        monkeypatch.setattr(batch_sizes._Trying, "_train", self.train)
        monkeypatch.setattr(batch_sizes._Times, "median", lambda self: 1e-9)

    def train(self, size, watch):
        self.tried.append(size)
        needed = 1_000_000 + size * self.a_sample
        if self.limit and needed > self.limit:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return needed


def trying(monkeypatch, available, pretended_peak=1_000_000):
    monkeypatch.setattr(batch_sizes, "available_memory_bytes", lambda: available)
    monkeypatch.setattr(batch_sizes, "peak_memory_bytes", lambda: (pretended_peak, 0))


def test_a_size_that_would_take_more_than_four_fifths_of_the_free_memory_is_never_begun(composed, monkeypatch):
    trying(monkeypatch, available=500_000)  # of which 400,000 bytes may be filled: 400 samples
    work = Pretended(monkeypatch)
    found = try_batch_sizes(composed(*DIGITS))
    assert max(work.tried) <= 400
    assert 400 * 15 / 16 < found.largest <= 400
    assert found.end == "memory"


def test_what_does_not_fit_is_halved_to_the_largest_that_does(composed, monkeypatch):
    trying(monkeypatch, available=10**12)
    work = Pretended(monkeypatch, limit=1_000_000 + 700 * 1000)
    found = try_batch_sizes(composed(*DIGITS))
    assert work.tried[:8] == [16, 32, 64, 128, 256, 512, 1024, 768]
    assert 700 * 7 / 8 < found.largest <= 700
    assert found.end == "memory"


def test_when_the_time_is_over_no_larger_size_is_begun(composed, monkeypatch):
    trying(monkeypatch, available=10**12)
    work = Pretended(monkeypatch)
    monkeypatch.setattr(batch_sizes._Times, "median", lambda self: 1000.0)
    found = try_batch_sizes(composed(*DIGITS), seconds=60)
    assert work.tried == [16]
    assert (found.end, found.end_words()) == ("time", "as the time was over: set --seconds higher")


def test_an_error_of_the_smallest_size_or_another_than_of_memory_is_raised(composed, monkeypatch):
    Pretended(monkeypatch, limit=1)
    with pytest.raises(RuntimeError, match="out of memory"):
        try_batch_sizes(composed(*DIGITS))


def test_the_settings_handed_in_stay_as_they_are(composed, monkeypatch):
    Pretended(monkeypatch)
    config = composed(*DIGITS)
    before = replace(config.data)
    try_batch_sizes(config)
    assert config.data == before


def test_the_command_prints_a_table_and_the_line_to_train_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["find", "batch_size", *DIGITS, "data.val_fraction=0.95", "data.batch_size=9"])
    assert done.exit_code == 0, done.output
    lines = [line.split("\t") for line in done.output.splitlines()]
    assert lines[0] == ["batch size", "steps an epoch", "ms a step", "s an epoch", "peak MiB"]
    found = {line[0]: line[1] for line in lines[6:]}
    assert found["largest tried"] == "71, which is all training samples"
    assert found["train with"].rpartition("=")[2] in ("16", "32", "64", "71")
    assert "batch_size=9" not in found["train with"]
    table = pd.read_csv(tmp_path / "logs/found/mlp-digits-adam/batch_size.csv")
    assert table["batch_size"].tolist() == [16, 32, 64, 71]


def test_python_gets_the_table_and_a_plot(monkeypatch):
    Pretended(monkeypatch)
    found = dlproj.find_batch_size(data="digits", hidden=[16])
    assert found.table["batch_size"].iloc[0] == 16
    assert found.largest == 1293
    assert found.plot().get_xlabel() == "batch size"
