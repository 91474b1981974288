import sys

import pytest

from dlproj.reports.terminal import print_table, rows, show
from dlproj.runs.summary import RunResult

METRICS = {"test/accuracy": 0.12345, "test/loss": 2.5}


def result(**fields):
    return RunResult(
        "f", "n", "completed", "r", 0, metrics=METRICS, monitor="val/loss", tested_weights="best", **fields
    )


def test_accuracy_is_a_percentage_and_says_which_weights_were_tested():
    assert dict(rows(result(best_epoch=3)))["test accuracy"] == "12.35% (best weights)"


def test_the_interval_of_the_accuracy_fits_one_cell_and_needs_a_tested_run():
    tested = dict(rows(result(best_epoch=3, classes=["a", "b"], confusion_matrix=[[10, 5], [0, 15]])))
    assert tested["95% interval"] == "66.4% to 92.7%, from 30 samples"
    assert "95% interval" not in dict(rows(result(best_epoch=3)))


def test_the_best_epoch_is_named_with_its_metric_or_said_to_be_none():
    assert dict(rows(result(best_epoch=3)))["best epoch"] == "3 by val/loss"
    assert dict(rows(result(best_epoch=None)))["best epoch"] == "none: val/loss was never finite"


NAME = "runs/a[/x] [red]b[/red] :smile: $x$ with a name that is longer than forty columns"


def test_a_name_is_printed_as_it_is_and_in_one_line_where_there_is_no_terminal(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    shown = result(best_epoch=3, overrides=[f"data.root={NAME}"])
    shown.folder = str(tmp_path / NAME)
    show(shown)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"n data.root={NAME}"
    assert f"│ folder        │ {NAME} │" in lines


def test_a_narrow_terminal_folds_and_cuts_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = result(best_epoch=3)
    shown.folder = str(tmp_path / NAME)
    show(shown)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    cells = [line.split("│")[1:3] for line in lines if "│" in line]
    folder = next(place for place, (label, _) in enumerate(cells) if "folder" in label)
    assert "".join("".join(text for _, text in cells[folder:]).split()) == "".join(NAME.split())
    assert "…" not in "".join(lines)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_table_prints_a_users_words_as_they_are(terminal, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    print_table(["[class]", "n"], [[NAME, "1"], ["\x1b[31mred\nline", "2"]], "title [/x] :smile:")
    out = capsys.readouterr().out
    assert NAME in out
    assert "[class]" in out
    assert ("title [/x] :smile:" in out) == terminal
    assert "\x1b[31m" not in out  # nothing that a name holds speaks to the terminal


def test_a_table_for_which_a_terminal_is_too_narrow_is_lines_of_whole_words(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    row = [NAME, *(f"a value of {place}" for place in range(5))]
    print_table(["name", *map(str, range(5))], [row])
    assert capsys.readouterr().out.splitlines()[1].split("\t") == row
