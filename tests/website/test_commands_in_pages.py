"""Every command of the documentation works as it stands.

In `make test` each is parsed and its settings are composed and checked; `make test-all` runs them, page by page, in one
folder, but for those of ELSEWHERE.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from omegaconf import open_dict
from pages import PAGES, ROOT, blocks, name, simple, typed
from PIL import Image

from dlproj.api.composing import composed, own_errors
from dlproj.cli.app import app
from dlproj.config.checks import UserError
from dlproj.config.root import typed_config
from dlproj.experiments import composing
from dlproj.labs.studies.study_command import STUDIES

ELSEWHERE = {  # what is not run here, and why
    r"^make |\.venv/bin/pre-commit": "sets up an environment, or takes minutes; its targets are what CI runs",
    r"pip (install|wheel|download)|-m venv|^pip ": "a package index",
    r"dlproj data fetch": "a network: tests/data/test_fetching.py",
    r"/srv/": "a folder of another machine",
    r"data=cifar10|lab2/cifar10": "CIFAR-10 itself, which is not at hand",
    r"--nnodes=2": "two machines: tests/distributed/test_torchrun.py",
    r"hydra.launcher.address=auto": "a cluster of Ray: tests/sweeps/test_ray.py",
    r"submitit_slurm": "a cluster of Slurm",
    r"^tensorboard": "does not end",
    r"--install-completion": "asks which shell calls it",
    r"dlproj reproduce mlp/activations mlp/depth|logs/reproduce|search=lab2": "takes an hour",
    r"dlproj bench scaling|dlproj study --all": "takes minutes: tests/labs",
    r"\+experiment=(?!mlp/base)|data=imdb|dlproj predict logs/reviews": "takes minutes of a real data set",
    r"^dlproj watch": "does not end: tests/watch",
    r"^mlflow ui": "does not end: tests/trackers",
    r"tracking\.example\.org": "a server of MLflow's: tests/trackers",
    r"^wandb |WANDB_MODE|logger=wandb": "an account: tests/trackers",
    r"^git (checkout COMMIT|apply)": "a clone of the code: tests/training/test_code_record.py",
    r"^jupyter lab": "does not end: tests/test_notebooks.py",
    r"data\.file=mnist\.npz": "a file of Keras's: tests/data/test_arrays.py",
    r"photos/": "photos of the reader's own: tests/inference/test_predict.py",
}
LANGUAGES = {"bash", "console", "python", "text", "yaml", "mermaid"}
COMMANDS = sorted({line for page in PAGES for line in typed(page)})
OURS = sorted({tuple(words) for line in COMMANDS for words in simple(line)})


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_block_says_what_it_is(page):
    assert {block.language for block in blocks(page)} <= LANGUAGES


def test_all_blocks_of_the_shell_can_be_read_by_it():
    texts = [block.text for page in PAGES for block in blocks(page) if block.language == "bash"]
    subprocess.run(["bash", "-n", "-c", "\n".join(texts)], check=True)


@pytest.mark.parametrize("words", OURS, ids=" ".join)
def test_what_is_typed_is_a_command_with_settings_that_work_together(words, monkeypatch):
    monkeypatch.setattr("dlproj.runs.choosing.chosen_run", lambda folder: folder)
    match words:
        case ["make", *rest]:
            targets = [word for word in rest if "=" not in word]
            rules = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert [target for target in targets if not re.search(rf"^{target}:", rules, re.MULTILINE)] == []
        case ["python", "train.py", *rest] | ["dlproj", "train", *rest]:
            compose_as_typed(rest)
        case ["dlproj", "find", _, *rest]:
            compose_as_typed([word for word in rest if "=" in word])
            parse(typer.main.get_command(app), words[1:])
        case ["dlproj", *rest]:
            if not {"--help", "--install-completion"} & set(rest):
                parse(typer.main.get_command(app), rest)


def compose_as_typed(words):
    """The settings of the first run that the words ask for. Raises what the command line would print."""
    if {"--help", "-sc", "--config-dir"} & set(words):
        return
    overrides = OverridesParser.create().parse_overrides([word for word in words if word != "-m"])
    with composing():
        settings = compose("config", [*map(first, overrides), "name=page"], return_hydra_config=True)
        with open_dict(settings):
            del settings["hydra"]
        typed_config(settings)


def first(override):
    """An override as typed, or with the first of the values that are swept."""
    if not override.is_sweep_override() or override.key_or_group.startswith("hydra."):
        return override.input_line
    swept = override.value()
    value = swept.start if isinstance(swept, IntervalSweep) else next(override.sweep_string_iterator())
    return f"{override.input_line.partition('=')[0]}={value}"


def parse(command, words, context=None):
    """Parse as typer does, command by command; nothing runs. A sentence may name a command without its arguments."""
    try:
        context = command.make_context(command.name, list(words), parent=context)
    except Exception as error:
        if type(error).__name__ != "MissingParameter":
            raise
        return
    rest = [*context._protected_args, *context.args] if hasattr(context, "_protected_args") else context.args
    if hasattr(command, "resolve_command"):
        _, inner, rest = command.resolve_command(context, rest)
        parse(inner, rest, context)
    elif command.name == "study":
        assert {word for word in words if "/" not in word and not word.startswith("-")} <= set(STUDIES)


CONSOLE = [block.text for page in PAGES for block in blocks(page) if block.language == "console"]


@pytest.mark.parametrize(
    "answer", re.findall(r"^\$ python train.py (.*)\nerror: (.*)$", "\n".join(CONSOLE), re.MULTILINE)
)
def test_a_mistake_is_answered_as_the_page_says(answer):
    words, line = answer
    with pytest.raises(UserError) as raised, own_errors():
        composed(words.split())
    assert str(raised.value) == line


def is_here(line):
    return not any(re.search(pattern, line) for pattern in ELSEWHERE)


def runnable(block):
    return block.lines() if block.language in ("bash", "python") else []


def test_what_is_not_run_here_is_in_the_pages():
    assert [pattern for pattern in ELSEWHERE if not any(re.search(pattern, line) for line in COMMANDS)] == []


@pytest.fixture
def folder(tmp_path_factory, monkeypatch):
    """A folder as a reader's: train.py, an active environment, data and images of their own."""
    tmp_path = tmp_path_factory.mktemp("reader") / "dlproj"
    tmp_path.mkdir()
    for linked in ("train.py", "results.json"):
        (tmp_path / linked).symlink_to(ROOT / linked)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for part in ("train", "test"):
        for kind in ("cat", "dog"):
            (tmp_path / "mine" / part / kind).mkdir(parents=True)
            for i in range(12):
                pixels = np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "mine" / part / kind / f"{i}.png")
    data = os.environ.get("DLPROJ_DATA_DIR")
    for place in ("dlproj-data", "stick/dlproj-data", "../dlproj-data"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).symlink_to(data or tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return tmp_path


def follow(page, is_run=is_here):
    """Run the blocks of a page, from top to bottom; those in Python share their names.

    One that begins with the name of a file, as a comment, is also written to that.
    """
    names = {"__name__": "page"}
    for block in blocks(page):
        if block.language == "python" and is_run(block.text):
            exec(compile(block.text, name(page), "exec"), names)
            if file := re.match(r"# (\w+\.py)$", block.text, re.MULTILINE):
                Path(file[1]).write_text(block.text)
        if block.language == "bash":
            kept = "\n".join(line for line in block.text.splitlines() if is_run(line))
            done = subprocess.run(["bash", "-eo", "pipefail", "-c", kept], capture_output=True, text=True)
            assert done.returncode == 0, f"{kept}\n{done.stdout}\n{done.stderr}"


def test_the_three_lines_of_python(folder):
    follow(ROOT / "README.md", lambda text: text.startswith("import dlproj"))


WITH_CODE = [page for page in PAGES if any(is_here(line) for block in blocks(page) for line in runnable(block))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_a_page_works_from_top_to_bottom(page, folder, real):
    real("FashionMNIST")
    follow(page)
