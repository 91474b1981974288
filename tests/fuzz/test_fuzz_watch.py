"""`dlproj watch` of damaged folders and of URLs that no browser sends: an answer to each, no file from elsewhere."""

import json
import os
from functools import partial
from urllib.parse import quote

import pytest
from folders import SETTINGS, summary, write_run
from hypothesis import strategies as st
from mutations import amounts, changed, damaged, fuzz, odd, read_or_refused

from dlproj.watch import board as board_module
from dlproj.watch.board import Board
from dlproj.watch.server import _file


def everything(board):
    """What the page can ask for, as it is sent."""
    overview = board.overview()
    answers = [overview, *(board.history(run["id"]) for run in overview["runs"])]
    answers += [board.sweep_table(sweep["id"]) for sweep in overview["sweeps"]]
    return json.dumps(answers, allow_nan=False)


@amounts
@pytest.mark.parametrize("name", ["summary.json", "metrics.csv", "config.yaml", "multirun.yaml"])
def test_a_sweep_with_a_damaged_file_is_shown(tmp_path, monkeypatch, name, examples):
    monkeypatch.setattr(board_module, "_SHARED_S", 0.0)
    for run in "ab":
        write_run(
            tmp_path / run, {"optim.learning_rate": ord(run) / 1000}, status="completed" if run == "a" else "running"
        )
    (tmp_path / "multirun.yaml").write_text("hydra: {sweeper: {objectives: [val/loss], of: dlproj_sweepers}}")
    board = Board(tmp_path)
    path = tmp_path / name if name == "multirun.yaml" else tmp_path / "b" / name
    whole = path.read_bytes()
    changes = {
        "summary.json": changed(summary()).map(json.dumps).map(str.encode),
        "config.yaml": changed(SETTINGS).map(json.dumps).map(str.encode),
        "multirun.yaml": odd.map(lambda value: json.dumps({"hydra": value, "of": "dlproj_sweepers"}).encode()),
    }

    @fuzz(examples // 4, content=damaged(whole) | changes.get(name, st.nothing()))
    def check(content):
        path.write_bytes(content)
        assert '"id": "a"' in read_or_refused(partial(everything, board), tmp_path)


PARTS = [
    "..",
    ".",
    "",
    "run",
    "report.html",
    "summary.json",
    "out",
    "link.txt",
    "secret.txt",
    "%2e%2e",
    "\\",
    "\0",
    "/",
]
part = st.sampled_from(PARTS) | st.text(max_size=8) | st.binary(max_size=4).map(os.fsdecode)


@amounts
def test_no_path_leads_out(tmp_path, examples):
    root = tmp_path / "logs"
    write_run(root / "run")
    (root / "run/report.html").write_text("page")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "out").symlink_to(tmp_path)
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")

    @fuzz(examples, parts=st.lists(part, max_size=5), quotes=st.integers(0, 2), above=st.booleans())
    def check(parts, quotes, above):
        path = "/".join([*([str(tmp_path)] if above else []), *parts])
        for _ in range(quotes):
            path = quote(os.fsencode(path), safe="")
        answer = read_or_refused(partial(_file, root, path), tmp_path)
        assert answer.status in (200, 404)
        assert b"secret" not in answer.body
