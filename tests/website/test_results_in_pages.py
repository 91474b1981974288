"""The tables of results in README.md and docs/labs.md say what RESULTS.md says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = (ROOT / "RESULTS.md").read_text()
README = (ROOT / "README.md").read_text()
LABS = (ROOT / "docs/labs.md").read_text()
ROW = re.compile(r"^\| `(.+?)` \| [^|]+ \| (\S+%) \| (\S+%|\S+ ± \S+%) \|$", re.MULTILINE)
ROWS = sorted({*ROW.findall(README), *ROW.findall(LABS)})


def test_there_are_tables():
    assert len(ROW.findall(README)) >= 5
    assert len(ROW.findall(LABS)) > 10


@pytest.mark.parametrize(("experiment", "reported", "reproduced"), ROWS)
def test_a_row_is_as_measured(experiment, reported, reproduced):
    row = rf"^\| {re.escape(experiment)} \| [^|]+ \| test/accuracy \| {reported} \| {re.escape(reproduced)} \|"
    assert re.search(row, RESULTS, re.MULTILINE)


def test_the_counts_are_as_measured():
    words = (
        r"Of (\d+) reported accuracies (\d+) are .* points, (\d+) of the (\d+) others have a reason .*; .* "
        r"Of (\d+) conclusions of the documents: (\d+) held, (\d+) not held, (\d+) not decided, (\d+) not judged;"
    )
    found = re.search(words, RESULTS, re.MULTILINE)
    reported, near, explained, far, conclusions, held, not_held, open_, unjudged = found.groups()
    text = " ".join(LABS.split())
    assert f"Of {reported} reported test, training and validation accuracies {near} come out within 1.5 points" in text
    assert f"for {explained} of the other {far} there is a [reason that was tested]" in text
    assert f"Of {reported} reported accuracies {near} come out within 1.5 points" in README
    assert f"each of the {conclusions} conclusions of the" in README
    assert (
        f"Of {conclusions} conclusions that the documents draw {held} are held by three seeds, {not_held} are not"
        in text
    )
    assert f"{open_} are not decided and {unjudged} cannot be judged" in text
