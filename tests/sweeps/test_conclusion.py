"""What a sweep says at its end."""

import pytest
from folders import EPOCHS, write_run

from dlproj.sweeps.view import conclude


def told(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    conclude(folder)
    return capsys.readouterr().out.splitlines()


def test_the_best_by_validation_stands_first_with_its_test_and_its_command(tmp_path, capsys, monkeypatch):
    for place, (loss, accuracy) in enumerate([(0.6, 0.95), (0.4, 0.8)]):
        epochs = [EPOCHS[0], EPOCHS[1] | {"val/loss": loss}]
        fields = {"overrides": ["data=digits", f"model.dropout={place / 2}"], "test/accuracy": accuracy}
        write_run(tmp_path / f"{place}", {"model.dropout": place / 2}, epochs, **fields)
    assert told(tmp_path, capsys, monkeypatch) == [
        "run\tmodel.dropout\tstatus\tval/loss tested\ttest/accuracy\ttested epoch\tlast epoch\ttime",
        "1\t0.5\tcompleted\t0.4000\t80.00%\t2\t2\t1.5 s",
        "0\t0\tcompleted\t0.6000\t95.00%\t2\t2\t1.5 s",
        "best: val/loss 0.4000; test accuracy 80.00%, of the last weights (epoch 2)",
        "  dlproj train data=digits model.dropout=0.5",
        "report.html",
    ]


def test_a_search_is_concluded_by_its_objective(tmp_path, capsys, monkeypatch):
    (tmp_path / "multirun.yaml").write_text("hydra: {sweeper: {objectives: [parameters]}}")
    for place, size in enumerate((9, 7)):
        write_run(tmp_path / f"{place}", {"model.hidden": [size]}, parameters=size)
    lines = told(tmp_path, capsys, monkeypatch)
    assert lines[0].split("\t")[3] == "parameters"
    assert lines[3].startswith("best: parameters 7; test accuracy")


@pytest.mark.parametrize("status", ["diverged", "failed", "interrupted"])
def test_where_no_run_came_to_its_end_none_is_the_best_and_it_is_said(tmp_path, capsys, monkeypatch, status):
    write_run(tmp_path / "0", status=status)
    lines = told(tmp_path, capsys, monkeypatch)
    assert lines[-2:] == ["no run is the best: none has come to its end with a finite val/loss", "report.html"]


def test_one_seed_twice_is_said_to_count_once(tmp_path, capsys, monkeypatch):
    for place in range(2):
        write_run(tmp_path / f"{place}")
    lines = told(tmp_path, capsys, monkeypatch)
    assert "2 runs of the same settings and seed count as one: 0, 1" in lines
    assert not any("mean of" in line for line in lines)
