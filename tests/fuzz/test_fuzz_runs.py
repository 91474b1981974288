"""What a run's and a sweep's folder holds, damaged by accident and on purpose: read, or refused in one line."""

import io
import json
import os
import pickle
import shutil
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
import yaml
from folders import inspection, write_run
from hypothesis import strategies as st
from mutations import amounts, changed, damaged, fuzz, odd, read_or_refused

from dlproj.config.checks import DataError
from dlproj.config.root import load
from dlproj.inference.trained import open_run
from dlproj.runs.fingerprint import config_fingerprint
from dlproj.runs.manifest import PREDICTIONS
from dlproj.runs.predictions import read_predictions, write_predictions
from dlproj.runs.record import read_run, read_settings
from dlproj.sweeps.sweep import resume_command
from dlproj.training.checkpoints import read_checkpoint
from dlproj.training.initial_weights import load_initial
from dlproj.training.run import run

OPENING = 6  # a run takes so much longer than a file of it

YAML = [  # values that are hard to read, for some line's value
    *("!!timestamp x", "!!int ''", "!!int x", "!!bool x", "!!float ''", "!!float .", "!!binary x", "!!null x"),
    *("!!set {a}", "!!omap [a]", "!!pairs [[a]]", "!!python/object/apply:os.mkdir ['evil']", "!x y", "*a"),
    *("&a {b: *a}", "? [a]", "{[a]: 1}", "{{a: 1}: 1}", "{<<: 1}", "{<<: [1]}", "2001-99-99"),
    *("2001-01-01T00:00:00+99:99", "0b", "&a [*a]", "0x", "1:99:99", "=", "<<", "|", ">", "\t", "- a", "a: b"),
    *("%YAML 9.9", "---", "...", ".nan", "-.inf", "9" * 5000, "[" * 3000, "{a: " * 3000, "${seed}", "${a.b"),
    *("${oc.env:HOME}", "${oc.decode:'['}", "${seed:x}", "???", "~", "'", "0x" + "f" * 5000, "1_0", "1e999"),
    *("${oc.create:[1]}", "${stamp:}", "${dashed:1}", "${model}", "${..}", "\x07"),
]


@st.composite
def changed_yaml(draw, text):
    """The text with one to three lines' values replaced, or lines left out or moved in."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[place].partition(":")
        match draw(st.sampled_from(["replace", "replace", "delete", "indent", "double"])):
            case "replace":
                lines[place] = f"{key}{colon or ' -'} {draw(st.sampled_from(YAML) | odd.map(json.dumps))}"
            case "delete" if len(lines) > 1:
                del lines[place]
            case "indent":
                lines[place] = "  " + lines[place]
            case _:
                lines.insert(place, lines[draw(st.integers(0, len(lines) - 1))])
    return "\n".join(lines).encode(errors="replace")


def as_yaml(content):
    """Which JSON nearly is."""
    return json.dumps(content).encode()


def laughs(levels, link):
    """A billion of them: each line stands for ten of the line before."""
    lines = [link.format(name=f"a{level + 1}", of=f"a{level}") for level in range(levels)]
    return "\n".join(["schema: {data: digits}", "a0: &a0 {x: 1}", *lines]).encode()


LAUGHS = [
    laughs(12, "{name}: &{name} [" + ", ".join(["*{of}"] * 10) + "]"),
    laughs(30, "{name}: &{name} {{<<: [*{of}, *{of}]}}"),
    b"schema: &a {data: *a}",
    b"schema: {data: digits}\nmodel: &a [*a]",
]


@pytest.fixture
def recorded(tmp_path):
    return write_run(tmp_path / "run", inspected=inspection())


def read_again(folder):
    """As the commands do that look at runs."""
    found = read_run(folder)
    json.dumps(found.settings, default=str)
    return found


@amounts
@pytest.mark.parametrize("name", ["summary.json", "metrics.csv", "inspection.json", "config.yaml"])
def test_records_of_runs(name, examples, recorded):
    path = recorded / name
    whole = path.read_bytes()

    @fuzz(examples, content=damaged(whole))
    def check(content):
        path.write_bytes(content)
        read_or_refused(partial(read_again, recorded), recorded)


@amounts
@pytest.mark.parametrize("name", ["summary.json", "inspection.json"])
def test_records_of_runs_with_odd_values(name, examples, recorded):
    path = recorded / name

    @fuzz(examples, content=changed(json.loads(path.read_text())))
    def check(content):
        path.write_text(json.dumps(content))
        read_or_refused(partial(read_again, recorded), recorded)


CELLS = st.sampled_from(
    ["", "1", "-1", "1.5", "nan", "inf", "9" * 5000, "9" * 400, '"', '"a\nb"', "\x00", "\r", "x" * 200000]
)


@amounts
def test_tables_of_metrics_with_odd_cells(examples, recorded):
    whole = [line.split(",") for line in (recorded / "metrics.csv").read_text().splitlines()]
    change = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, len(whole[0]) - 1), CELLS)

    @fuzz(examples, changes=st.lists(change, min_size=1, max_size=3))
    def check(changes):
        rows = [list(row) for row in whole]
        for row, column, cell in changes:
            rows[row][column] = cell
        (recorded / "metrics.csv").write_text("".join(",".join(row) + "\n" for row in rows))
        read_or_refused(partial(read_again, recorded), recorded)


@pytest.fixture(scope="module")
def whole_settings(composed, tmp_path_factory):
    """config.yaml of a run."""
    path = tmp_path_factory.mktemp("settings") / "config.yaml"
    composed("data=digits", "model.hidden=[{units: 3, activation: relu}, 4]").save(path)
    return path.read_text()


@amounts
@pytest.mark.parametrize("how", ["bytes", "values", "lines"])
def test_settings_of_runs(how, examples, whole_settings, tmp_path):
    path = tmp_path / "config.yaml"
    strategies = {
        "bytes": damaged(whole_settings.encode()),
        "values": changed(yaml.safe_load(whole_settings)).map(as_yaml),
        "lines": changed_yaml(whole_settings),
    }

    @fuzz(examples // 2, content=strategies[how])
    def check(content):
        path.write_bytes(content)
        config = read_or_refused(partial(load, path), tmp_path)
        if config:
            read_or_refused(config.settings)
        settings = read_or_refused(partial(read_settings, tmp_path), tmp_path)
        if settings and config:
            read_or_refused(partial(config_fingerprint, settings))


@pytest.mark.parametrize("content", LAUGHS, ids=["lists", "merged", "within itself", "list within itself"])
def test_settings_that_refer_to_themselves_are_refused_at_once(content, tmp_path):
    (tmp_path / "config.yaml").write_bytes(content)
    (tmp_path / "multirun.yaml").write_bytes(content)
    assert read_or_refused(partial(load, tmp_path / "config.yaml"), tmp_path) is None
    assert read_or_refused(partial(read_settings, tmp_path), tmp_path) is None
    assert read_or_refused(partial(resume_command, tmp_path), tmp_path) is None


SWEEP = """\
hydra:
  overrides:
    hydra:
    - hydra.mode=MULTIRUN
    task:
    - data=digits
    - seed=1,2
  runtime:
    config_sources:
    - path: /checkout/conf
      provider: main
    - path: /mine/conf
      provider: command-line
"""


@amounts
@pytest.mark.parametrize("how", ["bytes", "values", "lines"])
def test_records_of_sweeps(how, examples, tmp_path):
    strategies = {
        "bytes": damaged(SWEEP.encode()),
        "values": changed(yaml.safe_load(SWEEP)).map(as_yaml),
        "lines": changed_yaml(SWEEP),
    }

    @fuzz(examples, content=strategies[how])
    def check(content):
        (tmp_path / "multirun.yaml").write_bytes(content)
        command = read_or_refused(partial(resume_command, tmp_path), tmp_path)
        if command:  # the system takes no other
            assert all(os.fsencode(part) and "\0" not in part for part in command)
            assert {part for part in command[5:] if part.startswith("-")} <= {"--config-dir"}


@pytest.fixture(scope="module")
def trained(composed, tmp_path_factory):
    """A tiny run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run(
        composed(
            "data=digits",
            "model.hidden=[4]",
            "trainer.max_epochs=1",
            "trainer.accelerator=cpu",
            "figures=none",
            "trainer.threads=1",
            "trainer.progress_bar=false",
            "data.scaling=standardize",
        ),
        folder,
    )
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def predicted(folder):
    """What a run that can be opened makes of an image."""
    opened = open_run(folder)
    return opened.logits(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


def repacked(whole, pickled, method=zipfile.ZIP_STORED):
    """A checkpoint with another pickle in it, its checksums right."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(file, "w", method) as new:
        for one in old.infolist():
            new.writestr(one.filename, pickled if one.filename.endswith("data.pkl") else old.read(one))
    return file.getvalue()


def pickle_of(whole):
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        return next(file.read(one) for one in file.namelist() if one.endswith("data.pkl"))


@amounts
@pytest.mark.parametrize("how", ["bytes", "pickle"])
def test_checkpoints(how, examples, copied):
    path = copied / "checkpoints/last.ckpt"
    whole = path.read_bytes()
    strategies = {"bytes": damaged(whole), "pickle": damaged(pickle_of(whole)).map(partial(repacked, whole))}

    @fuzz(examples, content=strategies[how])
    def check(content):
        path.write_bytes(content)
        read_or_refused(partial(read_checkpoint, path, "take another"), copied)

    @fuzz(examples // OPENING, content=strategies[how])
    def check_opening(content):
        path.write_bytes(content)
        read_or_refused(partial(predicted, copied), copied)


TENSORS = st.sampled_from(
    [
        *(torch.zeros(1).expand(2**40), torch.zeros(1).expand(2**20, 2**20), torch.zeros(0), torch.zeros(2, 3)),
        *(torch.tensor(1.0), torch.tensor(1), torch.zeros(3, dtype=torch.complex64), torch.zeros(1, dtype=torch.bool)),
        *(torch.full((1, 1, 1), float("nan")), torch.zeros(1, 1, 8, 8, 2), torch.zeros(3).to_sparse()),
    ]
)


@amounts
def test_checkpoints_with_odd_values(examples, copied):
    path = copied / "checkpoints/last.ckpt"
    whole = torch.load(path, weights_only=True)
    parts = {name: whole[name] for name in ("state_dict", "epoch", "format", "DigitsDataModule")}
    parts["state_dict"] = dict(parts["state_dict"])
    parts["DigitsDataModule"]["spec"] = json.loads(json.dumps(parts["DigitsDataModule"]["spec"]))
    content = changed(parts)
    stretched = st.tuples(st.sampled_from(["state_dict", "DigitsDataModule"]), st.integers(0, 9), TENSORS)

    @fuzz(examples // OPENING, content=content, tensors=st.lists(stretched, max_size=1))
    def check(content, tensors):
        for name, place, tensor in tensors:
            holder = content.get(name) if isinstance(content, dict) else None
            if isinstance(holder, dict) and holder:
                holder[list(holder)[place % len(holder)]] = tensor
        torch.save({**whole, **content} if isinstance(content, dict) else content, path)
        read_or_refused(partial(predicted, copied), copied)


@amounts
@pytest.mark.parametrize("how", ["bytes", "values"])
def test_checkpoints_that_a_run_starts_from(how, examples, copied):
    path = copied / "checkpoints/last.ckpt"
    before, whole = path.read_bytes(), torch.load(path, weights_only=True)
    parts = {name: whole[name] for name in ("state_dict", "format", "DigitsDataModule")}
    parts["state_dict"] = dict(parts["state_dict"])
    parts["DigitsDataModule"]["spec"] = json.loads(json.dumps(parts["DigitsDataModule"]["spec"]))
    config = load(copied / "config.yaml")
    stretched = st.tuples(st.sampled_from(["state_dict", "DigitsDataModule"]), st.integers(0, 9), TENSORS)

    def started():
        data = config.data.build(0)
        load_initial(path, config.model.build(data.spec, config.optim, config.scheduler), data)

    @fuzz(examples // OPENING, content=changed(parts), tensors=st.lists(stretched, max_size=1), raw=damaged(before))
    def check(content, tensors, raw):
        for name, place, tensor in tensors:
            holder = content.get(name) if isinstance(content, dict) else None
            if isinstance(holder, dict) and holder:
                holder[list(holder)[place % len(holder)]] = tensor
        if how == "bytes":
            path.write_bytes(raw)
        else:
            torch.save({**whole, **content} if isinstance(content, dict) else content, path)
        read_or_refused(started, copied)


@amounts
def test_summaries_of_runs_that_are_opened(examples, copied):
    path = copied / "summary.json"

    @fuzz(examples // OPENING, content=changed(json.loads(path.read_text())).map(as_yaml) | damaged(path.read_bytes()))
    def check(content):
        path.write_bytes(content)
        read_or_refused(partial(predicted, copied), copied)


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(lambda: Call(os.mkdir, "evil"), id="code"),
        pytest.param(lambda: Call(bytearray, 2**40), id="bytearray"),
        pytest.param(lambda: Call(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, (1, 2, 3)), id="sparse"),
    ],
)
def test_a_hostile_checkpoint_runs_nothing_and_takes_no_memory(more, copied):
    path = copied / "checkpoints/last.ckpt"
    torch.save(torch.load(path, weights_only=True) | {"more": more()}, path)
    with pytest.raises(DataError, match="no plain data"):
        read_checkpoint(path, "take another one")


def test_a_checkpoint_that_unpacks_to_a_thousand_times_its_size_is_refused(copied):
    path = copied / "checkpoints/last.ckpt"
    pickled = pickle.dumps({"state_dict": {}, "more": "x" * 10**7}, protocol=2)
    path.write_bytes(repacked(path.read_bytes(), pickled, zipfile.ZIP_DEFLATED))
    with pytest.raises(DataError, match="its parts are packed"):
        read_checkpoint(path, "take another one")


@amounts
def test_damaged_predictions_of_a_fold(examples, tmp_path):
    folder = write_run(tmp_path / "run", {"data.folds": 2, "data.fold": 0})
    outputs = np.full((9, 3), 1 / 3)
    write_predictions(folder, read_run(folder).result.classes, np.arange(9), np.arange(9) % 3, outputs)
    record, whole = read_run(folder), (folder / PREDICTIONS).read_bytes()

    @fuzz(examples, content=damaged(whole))
    def check(content):
        (folder / PREDICTIONS).write_bytes(content)
        frame = read_or_refused(lambda: read_predictions(record), folder)
        assert frame is None or set(frame["true"]) <= set(record.result.classes)
