"""What can be typed behind `dlproj study`: a page, or a refusal in one line."""

import inspect

import pytest
from hypothesis import strategies as st
from mutations import amounts, fuzz, is_one_line
from typer.testing import CliRunner

from dlproj.cli import app
from dlproj.command import can_be_mended, in_one_line
from dlproj.studies import command

VALUES = [
    *("", "0", "1", "2", "3", "-1", "5.5", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 20, "9" * 400, "0x10", "1_0"),
    *("abc", "1,2", "4,3,2", "3,3,3", ",", "1,,2", "1,2,", "[1,2]", "é", "٣", " 7", "7 ", "1,000", "--", "-"),
    *("x" * 5000, "\n", "\t", "\x1b", "\u2028", "null", "true", "999999,999999,999999", "../.."),
    *("4294967295", "4294967296"),
]  # fmt: skip


@amounts
@pytest.mark.parametrize("name", ["activation_functions", "linear_collapse", "batch_norm_pitfalls"])
def test_options_of_studies(name, examples, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "write_article", lambda article, folder: [])
    options = [f"--{key.replace('_', '-')}" for key in inspect.signature(command.study(name)).parameters]

    typed = st.dictionaries(st.sampled_from(options), st.sampled_from(VALUES), min_size=1, max_size=3)

    @fuzz(examples, typed=typed)
    def check(typed):
        words = [f"{option}={value}" for option, value in typed.items()]
        result = CliRunner().invoke(app, ["study", name, "--output", str(tmp_path), *words])
        if result.exit_code not in (0, 2):  # 2: refused by typer
            assert can_be_mended(result.exception), words
            assert is_one_line(in_one_line(result.exception))
