from pathlib import Path

from dlproj.data import shared
from dlproj.data.digits import DigitsDataModule
from dlproj.sweeps.jobs import SweepJob
from dlproj.sweeps.sweep import Sweep


def test_the_data_of_several_folds_is_read_once_for_all(tmp_path, monkeypatch, composed):
    read = []
    monkeypatch.setattr(shared, "_kept", None)  # what a sweep keeps is of its own process
    monkeypatch.setattr(DigitsDataModule, "prefetch", lambda module: read.append(module.config.folds))
    sweep = Sweep(tmp_path, resume=False, prefetch=True)
    jobs = [
        SweepJob(lambda: None, tmp_path / str(i), "", composed("data=digits", "data.folds=3", f"data.fold={i}"))
        for i in range(3)
    ]
    jobs.append(SweepJob(lambda: None, tmp_path / "3", "", composed("data=digits", "data.folds=4")))
    ready = list(sweep._missing(iter(jobs), lambda job: None, lambda job: None))
    assert [Path(job.folder).name for job in ready] == ["0", "1", "2", "3"]
    assert read == [3, 4]
