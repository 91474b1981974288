"""The command that goes on with a sweep, read from what Hydra wrote about it."""

import sys

import pytest
import yaml
from typer.testing import CliRunner

from dlproj.cli.app import app
from dlproj.config.checks import ConfigurationError
from dlproj.sweeps.sweep import resume_command

SOURCES = [{"path": "/checkout/conf", "provider": "main"}, {"path": "/mine/conf", "provider": "command-line"}]


def write(folder, task, hydra=("hydra.mode=MULTIRUN",), sources=()):
    content = {"overrides": {"task": list(task), "hydra": list(hydra)}, "runtime": {"config_sources": list(sources)}}
    (folder / "multirun.yaml").write_text(yaml.safe_dump({"hydra": content}))


def test_it_is_what_was_typed_with_the_folder_to_go_on_in(tmp_path):
    write(tmp_path, ["data=digits", "seed=1,2"], ["hydra.sweeper.trials=3"])
    command = resume_command(tmp_path)
    module, typed = command[:4], command[4:]
    assert module == [sys.executable, "-P", "-m", "dlproj.cli.train"]
    assert typed == ["-m", "hydra.sweeper.trials=3", "data=digits", "seed=1,2", f"sweep.resume='{tmp_path}'"]


def test_a_resumed_sweep_is_resumed_in_its_folder_once(tmp_path):
    write(tmp_path, ["seed=1,2", "sweep.resume=elsewhere"])
    assert [one for one in resume_command(tmp_path) if one.startswith("sweep.")] == [f"sweep.resume='{tmp_path}'"]


def test_files_of_ones_own_are_found_again(tmp_path):
    write(tmp_path, ["+search=mine"], sources=SOURCES)
    command = resume_command(tmp_path, allow_code=True)
    assert command[command.index("--config-dir") + 1] == "/mine/conf"
    assert "/checkout/conf" not in command


@pytest.mark.parametrize("content", [None, "", "hydra: {}", "[", "hydra: {overrides: {task: 1, hydra: []}}"])
def test_a_folder_that_is_no_sweep_is_named(content, tmp_path):
    if content is not None:
        (tmp_path / "multirun.yaml").write_text(content)
    with pytest.raises(
        ConfigurationError, match="holds no run and no sweep: name a folder of logs/runs or logs/sweeps"
    ):
        resume_command(tmp_path)


def test_dlproj_resume_starts_that_command(tmp_path, monkeypatch):
    write(tmp_path, ["seed=1,2"])
    started = []
    monkeypatch.setattr("os.execv", lambda program, command: started.append((program, command)))
    assert CliRunner().invoke(app, ["resume", str(tmp_path)]).exit_code == 0
    assert started == [(sys.executable, resume_command(tmp_path))]
