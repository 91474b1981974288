"""What all subcommands of `dlproj` share."""

import os
import signal
import subprocess
import sys

import ctrl_c
import pytest
from typer.testing import CliRunner

from dlproj.cli import app

COMMANDS = [["report"], ["runs"], ["evaluate"], ["predict"], ["export"], ["data", "survey"], ["reproduce"],
            ["bench", "scaling"]]  # fmt: skip
RUN = ["-c", "from dlproj.cli import main; main()"]
PROGRAM = [sys.executable, "-W", "error", *RUN]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command):
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert f"dlproj {' '.join(command)} " in shown.output


@pytest.mark.parametrize("arguments", [[], ["report"], ["runs", "--limit", "0"], ["predict", "--top", "x"], ["fly"]])
def test_wrong_usage_is_exit_code_2(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments", [["report", "nowhere"], ["runs", "nowhere"], ["evaluate", "nowhere"], ["data", "survey", "nothing"],
     ["reproduce", "nothing"]],
    ids=" ".join,
)  # fmt: skip
def test_what_the_user_can_mend_is_one_line_and_exit_code_1(arguments, tmp_path):
    done = subprocess.run([*PROGRAM, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_is_exit_code_130(tmp_path):
    os.mkfifo(tmp_path / "config.yaml")  # reading it waits until somebody writes
    # Warnings are off: Ctrl-C may come while a file is opened, which is then closed by the garbage collector.
    process = subprocess.Popen(
        [sys.executable, *RUN, "runs", str(tmp_path)],
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=ctrl_c.heed,
    )
    with (tmp_path / "config.yaml").open("w"):  # opens when it reads, so that nothing is timed
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in errors
