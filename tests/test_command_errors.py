"""The command line as a user types it, each in a process of its own."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import ctrl_c
import pytest

from dlproj.command_errors import in_one_line, is_user_error
from dlproj.runs.record import read_run

ROOT = Path(__file__).parents[1]
IN_THE_WAY = "error: /dev/null/x cannot be made (/dev/null is not a folder)"
ELSEWHERE = "set hydra.run.dir, or with -m hydra.sweep.dir, to another folder"
MAKE_ROOM = "make room there, or choose another folder"
RIGHTS = "choose another place, or change its rights"
ULIMIT = "close other programs, or raise the limit with ulimit -n"
DIGITS = ["data=digits", "model.hidden=[16]", "trainer.accelerator=cpu", "trainer.threads=1"]


def command(*overrides):
    return [sys.executable, "-W", "error", str(ROOT / "train.py"), *overrides]


@pytest.fixture
def type_in(commands, tmp_path):
    """Call with overrides: the finished command, run in an empty folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HYDRA", "PL_"))}

    def run(*overrides):
        process = commands.start(overrides, tmp_path, environment)
        return subprocess.CompletedProcess(overrides, process.wait(), *process.communicate())

    return run


def folders(tmp_path):
    return sorted(path.parent for path in tmp_path.glob("logs/**/summary.json"))


def test_one_command_trains_tests_and_records(type_in, tmp_path):
    done = type_in(*DIGITS, "trainer.max_epochs=2", "optim=rmsprop")
    assert done.returncode == 0, done.stderr
    (folder,) = folders(tmp_path)
    assert folder.parent == tmp_path / "logs/runs"
    assert folder.name.endswith("-mlp-digits-rmsprop")
    found = json.loads((folder / "summary.json").read_text())
    for line in (
        f"test accuracy │ {found['test/accuracy']:.2%} (last weights)",
        f"test loss     │ {found['test/loss']:.4f}",
        "best epoch    │ 2 by val/loss",
        "last epoch    │ 2",
        "stopped       │ reached max_epochs=2",
        "parameters    │ 1,210",
        f"folder        │ {folder.relative_to(tmp_path)}",
    ):
        assert line in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.dropout=1.5", "data=digits"], "error: model.dropout=1.5 must be in [0, 1)\n"),
        (["+experiment=lab4/lsmt"], "error: lab4/lsmt is not an experiment: did you mean lab4/lstm"),
        (
            ["data.target=Gekündigt"],
            "error: the command line cannot be read (data.target=Gekündigt): write setting=value, and put quotes "
            "around what is not plain: 'data.target=\"Gekündigt\"'\n",
        ),
        (["data.columns={Größe: drop}"], "error: the command line cannot be read (data.columns={Größe: drop}): write "),
        ([f"data={'x' * 5000}"], "error: the command line cannot be used (OSError: File name too long): a group of"),
        (["hydra.run.dir=/dev/null/x"], f"{IN_THE_WAY}: {ELSEWHERE}"),
        (["-m", "seed=1,2", "hydra.sweep.dir=/dev/null/x"], f"{IN_THE_WAY}: {ELSEWHERE}"),
        (["model=foo"], "error: unknown choice model=foo: set one of cnn, custom, gru, lstm, mlp, simple_rnn\n"),
        (["data=cifar10", "data.root=/dev/null"], "error: data.root=/dev/null cannot be used for cifar-10-batches-py"),
    ],
)
def test_a_mistake_ends_in_one_line_and_exit_code_1(overrides, message, type_in):
    done = type_in(*overrides, "trainer.accelerator=cpu")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == 1
    assert done.stderr.endswith("\n")
    assert errors[0].startswith(message.strip())
    assert "Traceback" not in done.stderr


def test_a_name_that_is_too_long_is_called_so(type_in):
    (said,) = type_in(*DIGITS, f"name={'x' * 300}").stderr.splitlines()
    assert said.endswith(f"… cannot be made (File name too long): {ELSEWHERE}")


def failing(number, *names):
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (failing(errno.ENOSPC, "r/a.csv"), f"r/a.csv cannot be used (No space left on device): {MAKE_ROOM}"),
        (failing(errno.ENOSPC), f"No space left on device: {MAKE_ROOM}"),
        (failing(errno.EROFS, "r/.lock"), f"r/.lock cannot be used (Read-only file system): {RIGHTS}"),
        (failing(errno.EACCES, b"r/\xff"), f"r/\\udcff cannot be used (Permission denied): {RIGHTS}"),
        (failing(errno.EMFILE, "x.png"), f"x.png cannot be used (Too many open files): {ULIMIT}"),
    ],
)
def test_what_a_file_system_refuses_is_one_line(error, line):
    assert is_user_error(error)
    assert in_one_line(error) == line


def test_an_error_of_the_network_is_not_taken_for_one_of_files():
    assert not is_user_error(failing(errno.ECONNRESET))


def closed_streams():
    ctrl_c.heed()
    for descriptor in range(3):
        os.close(descriptor)


def test_a_run_without_any_stream_leaves_its_whole_record(tmp_path):
    done = subprocess.run(
        command(*DIGITS, "trainer.max_epochs=1", "figures=none"), cwd=tmp_path, preexec_fn=closed_streams
    )
    assert done.returncode == 0
    (folder,) = folders(tmp_path)
    assert json.loads((folder / "summary.json").read_text())["status"] == "completed"
    assert (folder / "metrics.csv").read_text().startswith("epoch,")


def test_a_run_at_an_ascii_terminal_shows_all(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command(*DIGITS, "trainer.max_epochs=1", "figures=none", 'name="é"'),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\xe9 data=digits" in done.stdout
    assert b"| test accuracy |" in done.stdout


def test_a_refused_setting_leaves_no_folder(type_in, tmp_path):
    assert type_in("seed=-1", "data=digits").returncode == 1
    assert list(tmp_path.glob("logs/runs/*")) == []


def test_the_whole_traceback_is_shown_where_hydra_is_asked_for_it(tmp_path):
    environment = os.environ | {"HYDRA_FULL_ERROR": "1"}
    done = subprocess.run(command("seed=-1"), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_failing_jobs_of_a_sweep_are_named_at_once_and_do_not_stop_the_others(type_in, tmp_path):
    done = type_in("-m", *DIGITS, "trainer.max_epochs=1", "model.dropout=0.1,2,0.3,4")
    assert done.returncode == 1
    assert [folder.name for folder in folders(tmp_path)] == ["0", "2"]
    for number, dropout in ((1, 2), (3, 4)):
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"error: job {number} (")]
        assert line.endswith(f"model.dropout={dropout}): model.dropout={dropout}.0 must be in [0, 1)")


def test_a_misspelt_key_in_an_experiments_file_is_named(type_in, tmp_path):
    file = tmp_path / "more/experiment/suite/one.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\nmodel:\n  hiden: [3]\n")
    done = type_in("--config-dir", str(tmp_path / "more"), "+experiment=suite/one")
    assert done.returncode == 1
    assert done.stderr == "error: unknown setting model.hiden: did you mean model.hidden?\n"


@pytest.mark.parametrize("form", ["--config-dir {}", "--config-dir={}", "-cd {}"])
def test_a_file_of_the_users_own_wins_over_that_of_conf(form, type_in, tmp_path):
    file = tmp_path / "own/model/mlp.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("defaults: [/schema/model/mlp@_here_]\nhidden: [7]\n")
    done = type_in(*form.format("own").split(), "--cfg", "job", "--package", "model.hidden")
    assert (done.stdout, done.stderr) == ("# @package model.hidden\n- 7\n", "")


def test_files_of_the_users_own_are_swept_from_any_folder(type_in, tmp_path):
    file = tmp_path / "own/model/wide.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("defaults: [/schema/model@_here_: mlp, _self_]\nhidden: [7]\n")
    done = type_in(
        "--config-dir",
        "own",
        "-m",
        *DIGITS[2:],
        "data=digits",
        "model=wide",
        "seed=1,2",
        "figures=none",
        "trainer.max_epochs=1",
        "sweep.jobs=1",
    )
    assert done.returncode == 0, done.stderr
    assert [read_run(folder).settings["model"]["hidden"] for folder in folders(tmp_path)] == [[7], [7]]


@pytest.mark.parametrize(
    ("files", "arguments", "words"),
    [
        (
            {"own/model/wide.yaml": "hidden: [7]"},
            ["--config-dir", "own", "model=wide"],
            "the chosen file of model/ is not built on its settings: begin it with "
            "defaults: [/schema/model@_here_: mlp, cnn, rnn or custom, _self_]",
        ),
        (
            {"own/model/wide.yaml": "defaults: [/schema/model@_here_: deep]"},
            ["--config-dir", "own", "model=wide"],
            "unknown choice schema/model=deep: set one of cnn, custom, mlp, rnn",
        ),
        (
            {"own/config.yaml": "seed: 1"},
            ["--config-dir", "own"],
            "config.yaml is not built on the settings: begin it with defaults: [schema_root, …, _self_]",
        ),
        (
            {"own/README": ""},
            ["--config-path", "{}/own"],
            "there is no config.yaml to begin with: leave out --config-path and --config-name",
        ),
        (
            {},
            ["--config-name", "mine"],
            "there is no mine.yaml to begin with: leave out --config-path and --config-name",
        ),
        ({}, ["modell=mlp"], "unknown setting modell: did you mean model?"),
    ],
)
def test_a_folder_of_files_without_what_it_must_have_is_one_line(files, arguments, words, type_in, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = type_in(*(one.format(tmp_path) for one in arguments))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {words}\n")


def test_a_folder_of_files_that_is_not_there_is_named(type_in, tmp_path):
    done = type_in("--config-dir", "nowhere")
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*/nowhere' not found.*\n", done.stderr)


@pytest.mark.parametrize(
    ("sent", "code", "processes"),
    [
        (signal.SIGINT, 130, []),
        (signal.SIGTERM, 143, []),
        (signal.SIGINT, 130, ["trainer=ddp"]),
        # in test_processes.py of processes that are forked, within a second
        pytest.param(signal.SIGTERM, 143, ["trainer=ddp"], marks=pytest.mark.slow),
    ],
)
def test_a_run_ended_by_a_signal_leaves_a_summary_and_its_exit_code(sent, code, processes, tmp_path):
    process = subprocess.Popen(
        command(*DIGITS, *processes, "trainer.threads=1", "trainer.max_epochs=100000"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a background shell's child would ignore Ctrl-C
        preexec_fn=ctrl_c.heed,
    )
    assert process.stdout is not None
    seen = b""
    while b"epoch 3/" not in seen:  # the lines of epochs, so that nothing has to be waited for by the clock
        chunk = os.read(process.stdout.fileno(), 4096)
        assert chunk, "the run ended by itself"
        seen += chunk
    process.send_signal(sent)
    process.communicate(timeout=120)
    assert process.returncode == code
    found = json.loads((folders(tmp_path)[0] / "summary.json").read_text())
    assert found["status"] == "interrupted"
    assert found["last_epoch"] >= 2
    assert found["best_epoch"] >= 1
    assert 0 < found["train/accuracy"] <= 1
