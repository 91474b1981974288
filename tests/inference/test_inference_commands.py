"""The commands as a shell sees them: exit codes, standard output and standard error."""

import csv
import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dlproj.cli import app as cli
from dlproj.machine import machine
from dlproj.models import recurrent
from dlproj.runs.summary import finite


@pytest.fixture
def dlproj(capsys, monkeypatch):
    """Call with arguments: exit code, standard output and standard error of the command."""

    def call(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "argv", ["dlproj", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            cli.main()
            code = 0
        except SystemExit as exit:
            code = exit.code or 0
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for number, size in enumerate([(8, 8), (12, 10), (12, 10), (640, 480)]):
        Image.fromarray(np.full(size[::-1], number, np.uint8)).convert("RGB").save(folder / f"{number}.png")
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(folder / "4.png")
    Image.new("P", (3, 3)).save(folder / "5.png")
    return folder


@pytest.mark.parametrize("command", ["evaluate", "predict", "export"])
def test_help_has_an_example(command):
    result = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"dlproj {command} logs/runs/" in result.output


def test_evaluate_prints_a_line_a_figure_and_whether_they_are_those_of_training(dlproj, digits):
    code, out, err = dlproj("evaluate", digits)
    recorded = json.loads((digits / "summary.json").read_text())
    rows = [line.split("\t") for line in out.splitlines()]
    assert (code, rows[0]) == (0, ["metric", "evaluated", "training"])
    assert {name: value for name, value, _ in rows[1:]} == {
        key: str(value) for key, value in recorded.items() if key.startswith("test/")
    }
    assert all(value == other for _, value, other in rows[1:])
    assert err == "the same figures as training recorded\n"


@pytest.mark.parametrize(
    ("trained_on", "where"),
    [
        ({}, ""),
        ({"machine": ""}, ""),
        ({"machine": "Plan 9, 1 core"}, f" on Plan 9, 1 core (here: {machine()})"),
        ({"machine": "Plan 9", "fallbacks": ["in float32"]}, f" on Plan 9; in float32 (here: {machine()})"),
        ({"machine": 9, "fallbacks": None}, f" on 9 (here: {machine()})"),  # a damaged record
        ({"machine": "\x1b[2J", "fallbacks": [{}]}, rf" on \x1b[2J; {{}} (here: {machine()})"),
    ],
)
def test_evaluate_names_the_machine_that_recorded_other_figures(trained_on, where, dlproj, digits, tmp_path):
    folder = shutil.copytree(digits, tmp_path / "run")
    recorded = json.loads((folder / "summary.json").read_text())
    recorded["test/loss"] += 1e-6
    (folder / "summary.json").write_text(json.dumps(recorded | trained_on))
    code, _, err = dlproj("evaluate", folder)
    assert (code, err) == (0, f"other figures than training recorded{where}\n")


def changed(run, folder, **figures):
    """A copy of the run that has recorded other figures."""
    folder = shutil.copytree(run, folder)
    recorded = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(
        json.dumps(recorded | {key.replace("_", "/", 1): figures[key] for key in figures})
    )
    return folder


@pytest.mark.parametrize("figure", [0.999, None, 0.0, "x"])
def test_evaluate_marks_a_figure_that_is_not_what_the_weights_give(dlproj, digits, tmp_path, figure):
    folder = changed(digits, tmp_path / "run", test_accuracy=figure)
    code, out, err = dlproj("evaluate", folder)
    rows = {name: mark for name, _, _, mark in (line.split("\t") for line in out.splitlines())}
    assert (code, [name for name, mark in rows.items() if mark]) == (1, ["test/accuracy"])
    assert err.startswith("other figures than training recorded: test/accuracy 0.")
    assert err.endswith(f", not {figure}\n")
    assert dlproj("evaluate", folder, "--json")[0] == 1


def test_another_machine_may_move_a_figure_by_two_samples_and_no_more(dlproj, digits, tmp_path):
    accuracy = json.loads((digits / "summary.json").read_text())["test/accuracy"]
    for name, machine_, samples, expected in (("a", "Plan 9", 2, 0), ("b", "Plan 9", 3, 1), ("c", machine(), 1, 1)):
        folder = changed(digits, tmp_path / name, machine=machine_, test_accuracy=accuracy - samples / 360.001)
        assert dlproj("evaluate", folder)[0] == expected


def test_evaluate_prints_a_line_for_each_of_several_runs(dlproj, digits, tmp_path):
    accuracy = json.loads((digits / "summary.json").read_text())["test/accuracy"]
    same = changed(digits, tmp_path / "hand-ins/alice")
    other = changed(digits, tmp_path / "hand-ins/bob", test_accuracy=0.999)
    first = f"{same}: test/accuracy {accuracy}, the same figures as training recorded"
    recorded = f"other figures than training recorded: test/accuracy {accuracy}, not 0.999"
    code, out, err = dlproj("evaluate", tmp_path / "hand-ins")
    assert (code, out.splitlines()) == (1, [first, f"{other}: test/accuracy {accuracy}, {recorded}"])
    assert err == "error: 1 of 2 runs were skipped or have other figures than training recorded\n"
    third = changed(digits, tmp_path / "third")
    assert dlproj("evaluate", same, third)[:2] == (0, f"{first}\n{first.replace(str(same), str(third))}\n")
    (third / "config.yaml").write_text("{")
    code, out, _ = dlproj("evaluate", same, third)
    assert (code, out.splitlines()[1].startswith(f"{third}: skipped: ")) == (1, True)
    assert dlproj("evaluate", same, third, "--json") == (1, "", "error: --json prints one run: name a single folder\n")


def test_predict_says_what_the_cpu_computes_in_another_precision(dlproj, trained_run, monkeypatch):
    small = ("data=feature_sum", "data.train_samples=100", "model=lstm", "model.hidden=[2]", "trainer.max_epochs=1")
    folder = trained_run(*small, "trainer.precision=bf16-mixed", "figures=none")
    monkeypatch.setattr(recurrent, "computes_bfloat16_lstm", lambda: False)
    code, out, err = dlproj("predict", folder, " ".join(["0.5"] * 20))
    assert (code, err) == (0, "this CPU cannot compute an LSTM in bfloat16: LSTM layers use float32\n")
    assert len(out.splitlines()) == 2


def test_evaluate_as_json(dlproj, digits):
    code, out, err = dlproj("evaluate", digits, "--json", "--checkpoint", "best", "--data", "eval_batch_size=7")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["split"], found["weights"], found["samples"]) == ("test", "best", 360)
    assert found["equals_training"] is None
    assert sum(map(sum, found["confusion_matrix"])) == 360
    assert 0 < found["test/accuracy"] < 1


def test_figures_that_are_not_finite_are_null():
    assert finite({"a": [float("nan"), float("inf"), 1.5]}) == {"a": [None, None, 1.5]}


def test_predict_as_table_csv_and_json_lines(dlproj, digits, images):
    rows = {}
    for name in ("table", "csv", "jsonl"):
        code, out, err = dlproj("predict", digits, images, "--format", name, "--top", "2")
        assert code == 0
        forms = "12×10 RGB, 8×8 RGB, 640×480 RGB, …"
        assert err == f"6 images converted: {forms} → 8×8 grey, on black\n"
        rows[name] = out
    by_tabs = list(csv.reader(io.StringIO(rows["table"]), delimiter="\t"))
    by_commas = list(csv.reader(io.StringIO(rows["csv"])))
    objects = [json.loads(line) for line in rows["jsonl"].splitlines()]
    columns = ["input", "class", "probability", "class_2", "probability_2"]
    assert by_tabs[0] == by_commas[0] == columns
    assert [row[0] for row in by_commas[1:]] == [str(images / f"{number}.png") for number in range(6)]
    for short, long, one in zip(by_tabs[1:], by_commas[1:], objects, strict=True):
        first, second = one["top"]
        assert long == [one["input"], *map(str, [*first.values(), *second.values()])]
        assert (one["class"], one["probability"]) == tuple(first.values())
        assert [short[1], short[3]] == [long[1], long[3]]
        assert float(short[2]) == pytest.approx(first["probability"], abs=5e-5)
        assert 1 > first["probability"] > second["probability"]


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_predict_names_all_that_it_leaves_out_after_the_others_are_predicted(
    dlproj, digits, images, tmp_path, batch_size
):
    folder = shutil.copytree(images, tmp_path / "images")
    (folder / "1.png").write_text("no image")
    (folder / "5.png").write_bytes(b"\0\0\0\x1cftypavif")
    code, out, err = dlproj("predict", digits, folder, "--format", "csv", "--batch-size", batch_size)
    whole = dlproj("predict", digits, images, "--format", "csv")[1].replace(str(images), str(folder)).splitlines()
    rest = [line for line in whole if "1.png" not in line and "5.png" not in line]
    assert [line.split(",")[:2] for line in out.splitlines()] == [line.split(",")[:2] for line in rest]
    assert (code, err.splitlines()[1:]) == (
        1,
        [
            f"left out: {folder}/1.png is damaged or not an image: replace or delete it",
            f"left out: {folder}/5.png is AVIF, which is not read: convert it to PNG or JPEG",
            "error: 2 of 6 inputs were left out, as listed above",
        ],
    )


def test_predict_of_nothing_that_can_be_read_is_one_line(dlproj, digits, reviews, tmp_path):
    (tmp_path / "a.png").write_text("no image")
    (tmp_path / "a.txt").write_text("\ufeff \n")
    for run, name, message in (
        (digits, "a.png", "is damaged or not an image"),
        (reviews, "a.txt", "is empty: write a text"),
    ):
        code, out, err = dlproj("predict", run, tmp_path / name, "--format", "csv")
        assert (code, out) == (1, "")
        assert err.startswith(f"error: {tmp_path}/{name} {message}")
        assert err.count("\n") == 1


def test_predict_of_a_misspelt_file_is_one_line(dlproj, reviews):
    code, out, err = dlproj("predict", reviews, "good film", "typo.txt", "--format", "csv")
    assert (code, out) == (1, "")
    assert err.startswith("error: no file 'typo.txt': name an existing file")


def test_a_byte_order_mark_changes_no_prediction(dlproj, reviews, tmp_path):
    found = []
    for encoding in ("utf-8", "utf-8-sig"):
        (tmp_path / "a.txt").write_text("good film", encoding=encoding)
        found.append(dlproj("predict", reviews, tmp_path / "a.txt", "--format", "csv"))
    assert found[0] == found[1]
    assert found[0][0] == 0


def test_predict_texts_of_standard_input(dlproj, reviews):
    lines = b"it's good, \"very\" good\n\nit's bad\n"
    code, out, err = dlproj("predict", reviews, "--format", "csv", "--top", "9", stdin=lines)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, err) == (0, "")
    assert [row["input"] for row in rows] == ['it\'s good, "very" good', "it's bad"]
    assert [row["class"] for row in rows] == ["positive", "negative"]
    assert {len(row) for row in rows} == {5}  # no more than the classes there are


def test_raw_outputs_are_not_called_probabilities(dlproj, trained_run, images):
    folder = trained_run("data=digits", "model.hidden=[4]", "trainer.max_epochs=1", "model.loss=mean_squared_error")
    code, out, _ = dlproj("predict", folder, images / "0.png", "--top", "1")
    assert (code, out.splitlines()[0]) == (0, "input\tclass\toutput")


def test_export_says_what_it_wrote(dlproj, digits, tmp_path):
    code, out, err = dlproj("export", digits, "--format", "exported_program", "--output", tmp_path / "model.pt2")
    rows = dict(line.split("\t") for line in out.splitlines())
    assert (code, err) == (0, "")
    assert rows["file"] == str(tmp_path / "model.pt2")
    assert rows["reads"] == "input: uint8 (batch, 1, 8, 8)"
    assert rows["gives"] == "probabilities: float32 (batch, 10)"
    assert (tmp_path / "model.pt2").is_file()


@pytest.mark.parametrize("command", ["evaluate", "predict", "export"])
def test_what_the_user_can_mend_is_one_line_and_exit_code_1(command, dlproj, tmp_path):
    code, out, err = dlproj(command, tmp_path / "nothing")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: no run at {tmp_path}/nothing")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["predict"], ["predict", "run", "--top", "0"], ["export", "run", "--format", "h5"]]
)
def test_wrong_usage_is_exit_code_2(arguments, dlproj):
    code, out, err = dlproj(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: " in err


def test_nothing_but_results_on_standard_output_in_a_process_of_its_own(reviews):
    command = [
        sys.executable,
        "-c",
        "from dlproj.cli.app import main; main()",
        "predict",
        str(reviews),
        "--format",
        "jsonl",
    ]
    done = subprocess.run(command, input="it's bad\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["class"] == "negative"
