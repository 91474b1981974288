"""What can be typed behind `dlproj study`: a page, or a refusal in one line."""

import inspect

import pytest
from hypothesis import strategies as st
from mutations import amounts, fuzz, is_one_line
from typer.testing import CliRunner

from dlproj.cli.app import app
from dlproj.command_errors import in_one_line, is_user_error
from dlproj.labs.studies import study_command

VALUES = [
    *("", "0", "1", "2", "3", "-1", "5.5", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 20, "9" * 400, "0x10", "1_0"),
    *("abc", "1,2", "4,3,2", "3,3,3", ",", "1,,2", "1,2,", "[1,2]", "é", "٣", " 7", "7 ", "1,000", "--", "-"),
    *("x" * 5000, "\n", "\t", "\x1b", "\u2028", "null", "true", "999999,999999,999999", "../.."),
    *("4294967295", "4294967296"),
]


# The first function of each that would take its time; the others are fast.
MEASURING = {
    "activation_functions": None,
    "linear_collapse": None,
    "batch_norm_pitfalls": None,
    "piecewise_linear": "of_digits",
    "initialisation_signal": "measure",
    "scratch_vs_framework": "prepared",
    "matmul_alignment": "measure",
    "memory_footprint": "beside_torch",
    "hessian": "agreement",
    "batch_size_timing": "points",
    "parallelism": "plan",
    "loss_landscape": "_two_small_ones",
}


class OptionsTakenError(Exception):
    """What follows would be measured."""


def taken(*_, **__):
    raise OptionsTakenError


@amounts
@pytest.mark.parametrize("name", study_command.STUDIES)
def test_options_of_studies(name, examples, monkeypatch, tmp_path):
    monkeypatch.setattr(study_command, "write_article", lambda article, folder, overwrite=False: [])
    if MEASURING[name]:
        monkeypatch.setattr(f"dlproj.labs.studies.{name}.{MEASURING[name]}", taken)
    options = [f"--{key.replace('_', '-')}" for key in inspect.signature(study_command.study(name)).parameters]
    typed = st.dictionaries(st.sampled_from(options), st.sampled_from(VALUES), min_size=1, max_size=3)

    @fuzz(examples, typed=typed)
    def check(typed):
        words = [f"{option}={value}" for option, value in typed.items()]
        result = CliRunner().invoke(app, ["study", name, "--output", str(tmp_path), *words])
        if result.exit_code in (0, 2) or isinstance(result.exception, OptionsTakenError):  # 2: refused by typer
            return
        assert is_user_error(result.exception), words
        assert is_one_line(in_one_line(result.exception))
