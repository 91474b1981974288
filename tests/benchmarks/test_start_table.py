"""The table of how long commands take."""

from pathlib import Path

import pytest

from benchmarks import start


def test_each_command_stands_beside_the_imports_and_the_other_checkout(monkeypatch):
    here, before = Path("here"), Path("before")
    taken = {case.name: float(place) for place, case in enumerate(start.cases(""), 1)}
    monkeypatch.setattr(start, "seconds", lambda case, root: taken[case.name] * (1 if root == here else 4))
    lines = start.table([here, before], repetitions=3).splitlines()
    assert lines[2] == "| `import torch, pytorch_lightning` | 1.00 | 1.00 | 4.00 | 0.25 |"
    assert lines[-1] == "| `train.py data=digits` | 6.00 | 6.00 | 24.00 | 0.25 |"
    assert start.table([here], repetitions=1).splitlines()[-1] == "| `train.py data=digits` | 6.00 | 6.00 | – | – |"


def test_a_command_that_ends_otherwise_is_no_time():
    case = start.Case("a refused one", ["-c", "import sys; sys.exit('no')"])
    with pytest.raises(RuntimeError, match="a refused one ended with 1: no"):
        start.seconds(case, Path.cwd())
    assert start.seconds(case._replace(exit_code=1), Path.cwd()) > 0
