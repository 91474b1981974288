"""What all subcommands of `dlproj` share."""

import os
import signal
import subprocess
import sys
import textwrap

import ctrl_c
import pytest
from folders import write_run
from typer.testing import CliRunner

from dlproj.cli.app import app
from dlproj.loop_progress import announce

COMMANDS = [
    ["report"],
    ["runs"],
    ["evaluate"],
    ["predict"],
    ["export"],
    ["data", "survey"],
    ["reproduce"],
    ["bench", "scaling"],
    ["find", "learning_rate"],
    ["find", "batch_size"],
]
RUN = ["-c", "from dlproj.cli.app import main; main()"]
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
    "arguments",
    [
        ["report", "nowhere"],
        ["runs", "nowhere"],
        ["evaluate", "nowhere"],
        ["data", "survey", "nothing"],
        ["reproduce", "nothing"],
    ],
    ids=" ".join,
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_1(arguments, tmp_path):
    done = subprocess.run([*PROGRAM, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_is_exit_code_130(tmp_path):
    os.mkfifo(tmp_path / "summary.json")  # reading it waits until somebody writes
    # Warnings are off: Ctrl-C may come while a file is opened, which is then closed by the garbage collector.
    process = subprocess.Popen(
        [sys.executable, *RUN, "runs", str(tmp_path)],
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=ctrl_c.heed,
    )
    with (tmp_path / "summary.json").open("w"):  # opens when it reads, so that nothing is timed
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"Traceback" not in errors


def test_standard_output_that_is_full_is_one_line_and_exit_code_1(tmp_path):
    write_run(tmp_path / "run")
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, "runs", str(tmp_path)], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "error: standard output cannot be used (No space left on device): make room there, or choose another folder\n"
    )


def test_a_backend_of_matplotlibs_that_another_tool_left_over_is_no_matter(tmp_path):
    environment = os.environ | {"MPLBACKEND": "of_another_tool"}
    done = subprocess.run([*PROGRAM, "report", str(write_run(tmp_path / "run"))], env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_ends_early_is_no_error_to_speak_of(tmp_path):
    write_run(tmp_path / "run")
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run([*PROGRAM, "runs", str(tmp_path)], stdout=writes, stderr=subprocess.PIPE)
    os.close(writes)
    assert (done.returncode, done.stderr) == (1, b"")


def test_without_any_stream_the_work_is_done(tmp_path):
    write_run(tmp_path / "run")

    def without_streams():
        for descriptor in range(3):
            os.close(descriptor)

    done = subprocess.run([*PROGRAM, "report", str(tmp_path / "run")], preexec_fn=without_streams)
    assert done.returncode == 0
    assert (tmp_path / "run/report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "run", "--split", "val"], "evaluating run on val …\n"),
        (["predict", "run"], "reading run …\n"),
        (["export", "run"], "writing run as onnx …\n"),
        (["study", "--help"], "reading the studies …\n"),
    ],
)
def test_a_terminal_hears_what_begins_before_anything_heavy_is_imported(arguments, words, tmp_path):
    write_run(tmp_path / "run")
    script = """
        import io, sys
        class Terminal(io.StringIO):
            def isatty(self):
                return True
        real, sys.stderr = sys.stderr, Terminal()
        from dlproj.cli.app import app
        sys.modules["torch"] = None  # cannot be imported
        try:
            app()
        except ImportError:
            real.write(sys.stderr.getvalue())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("", words)


def test_what_begins_is_not_said_into_a_file(capsys):
    announce("evaluating run on val")
    assert capsys.readouterr() == ("", "")
