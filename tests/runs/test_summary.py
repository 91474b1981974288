import json

from dlproj.runs.summary import RunResult


def result(folder, **fields):
    return RunResult(folder=str(folder), name="n", status="completed", stop_reason="r", seed=0, **fields)


def test_metrics_stand_under_their_own_names_and_the_folder_is_left_out(tmp_path):
    result(tmp_path, metrics={"test/accuracy": 0.88}).write()
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["test/accuracy"] == 0.88
    assert "folder" not in found
    assert "metrics" not in found


def test_what_is_not_finite_is_null_as_json_has_no_word_for_it(tmp_path):
    result(tmp_path, metrics={"val/loss": float("nan"), "test/loss": float("inf")}).write()
    text = (tmp_path / "summary.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert found["val/loss"] is None
    assert found["test/loss"] is None


def refuse(word):
    raise AssertionError(f"{word} is not JSON")
