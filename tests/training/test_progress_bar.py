"""What a run prints at a terminal and into a file."""

import io
import re

import pytest
from torch import nn

from dlproj.config.data import DataSpec, Kind
from dlproj.config.optim import AdamConfig
from dlproj.config.rnn import RNNConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.training.progress_bar import layer_rows
from dlproj.training.run import train

DIGITS = [
    "data=digits",
    "model.hidden=[16]",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.max_epochs=2",
    "figures=none",
]
LINE = r"epoch {}/2: loss \d\.\d{{4}}, accuracy \d+\.\d\d%, val/loss \d\.\d{{4}}, val/accuracy \d+\.\d\d%, \d+\.\d s"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def typed_at_terminal(monkeypatch):
    """Call with settings, a folder and the terminal's kind: what a run prints there."""

    def call(config, folder, kind="xterm"):
        stream = Terminal()
        monkeypatch.setattr("sys.stdout", stream)  # in the test itself: before it, pytest puts in its own
        monkeypatch.setenv("TERM", kind)
        monkeypatch.setenv("COLUMNS", "100")
        train(config, folder)
        return stream.getvalue()

    return call


def test_into_a_file_go_the_layers_and_a_plain_line_an_epoch(composed, tmp_path, capsys):
    train(composed(*DIGITS), tmp_path)
    out, err = capsys.readouterr()
    *table, first, second = out.splitlines()
    assert table == [
        "layer\tkind\tweights\tparameters",
        "hidden.0.linear\tLinear\t16×64, 16\t1,040",
        "output\tLinear\t10×16, 10\t170",
        "all\t\t\t1,210",
    ]
    assert re.fullmatch(LINE.format(1), first)
    assert re.fullmatch(LINE.format(2), second)
    assert err == ""


def test_the_line_says_what_the_record_does(composed, tmp_path, capsys):
    result = train(composed(*DIGITS), tmp_path)
    last = capsys.readouterr().out.splitlines()[-1]
    found = result.metrics
    assert f"loss {found['train/loss']:.4f}, accuracy {found['train/accuracy']:.2%}" in last
    assert f"val/loss {found['val/loss']:.4f}, val/accuracy {found['val/accuracy']:.2%}" in last


def test_at_a_terminal_each_epoch_has_a_bar_in_whose_place_its_line_comes(composed, tmp_path, typed_at_terminal):
    shown = typed_at_terminal(composed(*DIGITS), tmp_path)
    for epoch in (1, 2):
        bar, line = (shown.index(f"epoch {epoch}/2{sign}") for sign in ("   0%|", ": loss"))
        assert bar < line
    assert "epoch 1/2, validation" in shown
    assert " left" in shown
    left = [text.rpartition("\r")[2] for text in shown.split("\n")]
    assert [text for text in left if "|" in text and "left" in text] == []  # no bar stays


def test_a_terminal_that_cannot_move_its_cursor_gets_what_a_file_does(composed, tmp_path, typed_at_terminal):
    shown = typed_at_terminal(composed(*DIGITS), tmp_path, "dumb")
    assert "\r" not in shown
    assert re.search(LINE.format(2), shown)


def test_without_progress_nothing_is_printed(composed, tmp_path, capsys):
    train(composed(*DIGITS, "trainer.progress_bar=false"), tmp_path)
    assert capsys.readouterr() == ("", "")


def test_rows_that_no_word_reads_are_shown_as_parameters_that_are_not_trained():
    spec = DataSpec(Kind.sequence, (20,), ("a", "b"), 1_000, "pre")
    config = RNNConfig(hidden=[4], embedding_dim=8, embedding_rows=5_000)
    rows = layer_rows(config.build(spec, AdamConfig(), SchedulerConfig()))
    recurrent_and_output = 4 * (4 * (8 + 4) + 4) + 4 * 2 + 2
    assert rows[0] == ["embedding.0", "Embedding", "1000×8, 4000×8", "40,000, 32,000 of them not trained"]
    assert rows[-1][-1] == f"{5_000 * 8 + recurrent_and_output:,}, 32,000 of them not trained"


def test_a_module_without_parameters_of_its_own_has_no_row():
    assert [row[0] for row in layer_rows(nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False)))] == ["1", "all"]
