"""What a start imports, in which state it leaves the process, and what it does about streams and Ctrl-C."""

import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import ctrl_c
import pytest

from dlproj.start import open_streams

ROOT = Path(__file__).parents[1]
# What the way to the first training step on reviews does not need, though another run may, or the end of this one.
UNUSED = {
    "IPython",
    "PIL",
    "keras",
    "matplotlib",
    "pandas",
    "pooch",
    "scipy",
    "sklearn",
    "sympy",
    "tensorflow",
    "torchvision",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.elastic",
}
# Lightning makes the writer of events when the fit begins.
WRITER = {"tensorboard", "torch.utils.tensorboard"}

TO_THE_FIRST_STEP = """
import json, sys
from pathlib import Path
import dlproj.cli
from dlproj.late_imports import is_executed
from dlproj.config.compose import register
from dlproj.runs.new_run import checked
from hydra import compose, initialize_config_dir
from dlproj.models.classifier import Classifier
from dlproj.training.run import run

class FirstStep(Exception): pass

def training_step(*_):
    started.update(filter(is_executed, sys.modules))
    raise FirstStep

Classifier.training_step = training_step
root, conf = sys.argv[1:]
register()
imported, started = set(filter(is_executed, sys.modules)), set()
with initialize_config_dir(conf, version_base="1.3"):
    config = checked(compose("config", ["name=test", "data=imdb", "model=lstm", f"data.root={root}",
        "trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false"]))
try:
    run(config, Path(root) / "run")
except FirstStep:
    print(json.dumps({"import": list(imported), "start": list(started)}))
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The finished process, and what it found: modules beyond torch's, Lightning's and torchmetrics'."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("train/neg", "train/pos", "test/neg", "test/pos"):
        path = root / "aclImdb" / folder
        path.mkdir(parents=True)
        for number in range(10):
            (path / f"{number}_5.txt").write_text(f"the film number{number}")
    command = [sys.executable, "-c", TO_THE_FIRST_STEP, str(root), str(ROOT / "conf")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(("moment", "unused"), [("import", UNUSED | WRITER), ("start", UNUSED)])
def test_a_start_imports_nothing_heavy_that_it_does_not_use(start, moment, unused):
    _, found = start
    assert "dlproj.training.run" in found[moment]
    assert unused & set(found[moment]) == set()


def python(script, **how):
    """A finished process that ran the script after `from dlproj.start import *`."""
    words = [sys.executable, "-W", "error", "-c", "from dlproj.start import *\n" + textwrap.dedent(script)]
    return subprocess.run(words, cwd=ROOT / "src", text=True, encoding="utf-8", **how)


def without_streams():
    for descriptor in range(3):
        os.close(descriptor)


@pytest.mark.parametrize("keep_going", [False, True])
def test_closed_streams_are_there_and_lead_nowhere(keep_going, tmp_path):
    script = f"""
        open_streams({keep_going})
        with open({str(tmp_path / "mine")!r}, "w") as file:  # would else be standard input, output or error
            print("out"), print("err", file=sys.stderr), os.write(2, b"from a library")
            file.write(f"mine {{sys.stdin.read()}}")
        assert subprocess.run([sys.executable, "-c", "import sys; print(); assert sys.stderr"]).returncode == 0
    """
    assert python(f"import subprocess\n{textwrap.dedent(script)}", preexec_fn=without_streams).returncode == 0
    assert (tmp_path / "mine").read_text() == "mine "


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_run_goes_on_where_its_output_cannot_be_written(unbuffered):
    script = "open_streams(True)\nfor _ in range(9999): print('a line')\nprint('done', file=sys.stderr)"
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        done = python(script, stdout=full, stderr=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stderr) == (0, "done\n")


def test_a_run_goes_on_where_nobody_reads_its_output_any_more():
    reads, writes = os.pipe()
    os.close(reads)
    script = "open_streams(True)\nprint('a', flush=True)\nprint('b', file=sys.stderr)\nos.write(1, b'c')"
    assert python(script, stdout=writes, stderr=writes).returncode == 0
    os.close(writes)


def test_a_command_whose_output_is_its_result_fails_once():
    script = """
        open_streams()
        try:
            print("a", flush=True)
        except OSError as error:
            print(error.filename, file=sys.stderr)
        print("b", flush=True)
    """
    with open("/dev/full", "w") as full:
        done = python(script, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "standard output\n")


def test_all_is_written_where_another_process_has_made_the_pipe_non_blocking():
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    command = "from dlproj.start import *; open_streams(True); print('x' * 2_000_000, end='')"
    process = subprocess.Popen([sys.executable, "-c", command], cwd=ROOT / "src", stdout=writes)
    os.close(writes)
    with open(reads) as pipe:
        assert len(pipe.read()) == 2_000_000
    assert process.wait() == 0


def test_every_character_can_be_printed_to_an_ascii_terminal():
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONIOENCODING"} | plain
    done = python(r"open_streams(); print('\u2502 \xd7 \udcff')", capture_output=True, env=environment)
    assert (done.stdout, done.stderr) == (r"\u2502 \xd7 \udcff" + "\n", "")


def test_what_somebody_else_collects_is_left_to_them(monkeypatch):
    collected = io.StringIO()
    monkeypatch.setattr(sys, "stdout", collected)
    monkeypatch.setattr(sys, "stderr", collected)
    open_streams()
    assert sys.stdout is sys.stderr is collected


@pytest.mark.parametrize(
    ("script", "code", "printed"),
    [
        ("end_on_ctrl_c()", 130, ""),
        ("signal.signal(signal.SIGINT, signal.SIG_IGN); end_on_ctrl_c(); raise_on_ctrl_c()", 0, "went on\n"),
        ("end_on_ctrl_c(); raise_on_ctrl_c()", 0, "KeyboardInterrupt\n"),
    ],
)
def test_ctrl_c_ends_a_start_without_a_word_unless_it_is_ignored(script, code, printed):
    script = f"""
        try:
            {script}
            signal.raise_signal(signal.SIGINT)
            print("went on")
        except KeyboardInterrupt:
            print("KeyboardInterrupt")
    """
    done = python(script, capture_output=True, preexec_fn=ctrl_c.heed)
    assert (done.returncode, done.stdout, done.stderr) == (code, printed, "")


# Python imports it first; the hook sees what is imported, opened and renamed, so that nothing is timed.
INTERRUPT = """
import os, signal, sys
event, what = os.environ.pop("INTERRUPT_AT", "no event").split()
def hook(name, values):
    global event
    found = what == values[0] if name == "import" else any(what in str(one) for one in values[:2])
    if name == event and found:
        event = None
        signal.raise_signal(signal.SIGINT)
sys.addaudithook(hook)
"""
DIGITS = ["data=digits", "trainer.accelerator=cpu", "trainer.threads=1", "trainer.max_epochs=1", "figures=none"]
TRAIN = [str(ROOT / "train.py"), *DIGITS, "hydra.run.dir=run"]
DLPROJ = ["-c", "from dlproj.cli.app import main; main()"]


@pytest.mark.parametrize(
    ("moment", "command", "words"),
    [
        ("import torch", TRAIN, ""),
        ("import pytorch_lightning.callbacks", [TRAIN[0], "-m", *DIGITS, "seed=1,2", "hydra.sweep.dir=run"], ""),
        ("open conf/config.yaml", TRAIN, ""),
        ("open run/.config.yaml.", TRAIN, "interrupted: dlproj resume run goes on\n"),
        ("os.rename inspection.json", TRAIN, ""),
        ("import dlproj.reports.listing", [*DLPROJ, "runs"], ""),
        ("import torch", [*DLPROJ, "study", "--help"], ""),
    ],
)
def test_ctrl_c_at_any_moment_of_a_start_or_end_shows_no_traceback(moment, command, words, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}", "INTERRUPT_AT": moment}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=ctrl_c.heed,
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    if "rename" not in moment:  # by then the layers have been told of
        assert done.stderr == words


def test_the_users_files_beside_train_py_do_not_take_the_place_of_pythons_modules(tmp_path):
    shutil.copy(ROOT / "train.py", tmp_path)
    for name in ("pathlib", "random", "select", "signal", "types", "logging", "queue", "numpy", "torch"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('a file of the user')")
    done = subprocess.run([sys.executable, "train.py", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Hydra")


def test_a_quick_end_keeps_the_exit_code_and_says_nothing():
    done = python("end_quickly()\nimport torch\nsys.exit(3)", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
