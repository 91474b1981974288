"""The README's table of results says what RESULTS.md says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = (ROOT / "RESULTS.md").read_text()
README = (ROOT / "README.md").read_text()
ROWS = re.findall(r"^\| `(.+?)` \| [^|]+ \| (\S+%) \| (\S+ ± \S+%) \|$", README, re.MULTILINE)


def test_there_is_a_table():
    assert len(ROWS) > 10


@pytest.mark.parametrize(("experiment", "reported", "reproduced"), ROWS)
def test_a_row_is_as_measured(experiment, reported, reproduced):
    row = rf"^\| {re.escape(experiment)} \| [^|]+ \| test/accuracy \| {reported} \| {re.escape(reproduced)} \|"
    assert re.search(row, RESULTS, re.MULTILINE)


def test_the_counts_are_as_measured():
    words = (r"Of (\d+) reported accuracies (\d+) are .* points, (\d+) of the (\d+) others have a reason; .* "
             r"Claims: (\d+) held, (\d+) not held\.$")  # fmt: skip
    reported, near, explained, far, held, not_held = map(int, re.search(words, RESULTS, re.MULTILINE).groups())
    text = " ".join(README.split())
    assert f"of {reported} reported test, training and validation accuracies {near} come out within 1.5 points" in text
    assert f"for {explained} of the other {far} there is a reason" in text
    assert f"{held} of {held + not_held} claims held" in text
