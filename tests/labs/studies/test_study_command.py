"""`dlproj study`: the page that it writes, and what all studies share."""

import csv
import inspect
from typing import get_args, get_type_hints

import pytest
import torch
import typer
from threadpoolctl import threadpool_info
from typer.testing import CliRunner

from dlproj.cli.app import app
from dlproj.config.checks import ConfigurationError
from dlproj.labs.studies import study_command
from dlproj.labs.studies.study_command import STUDIES, study
from dlproj.reports.article import Article


def test_a_study_prints_its_tables_and_writes_its_page_with_figures_and_tables(tmp_path):
    arguments = ["study", "--output", str(tmp_path), "activation_functions", "--largest", "5"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    folder = tmp_path / "activation_functions"
    page = (folder / "activation_functions.html").read_text()
    assert "inputs from -5 to 5" in page
    assert page.count("<svg ") == 2
    assert '<p class="introduction">Derivatives come from torch&#39;s autograd in float64' in page
    assert "http://" not in page.replace("http://www.w3.org", "")  # of SVG's name space
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    with (folder / "sigmoid.csv").open() as file:
        assert [row["x"] for row in csv.DictReader(file)] == ["-10.0", "-5.0", "0.0", "5.0", "10.0"]
    assert "x\treported\tmeasured" in result.stdout.splitlines()


def test_without_a_name_it_lists_the_studies():
    result = CliRunner().invoke(app, ["study"], env={"COLUMNS": "200"}, catch_exceptions=False)
    assert result.exit_code == 0
    assert all(name in result.stdout for name in STUDIES)


def test_all_of_them_leave_a_page_that_leads_to_theirs(tmp_path, monkeypatch):
    monkeypatch.setattr(study_command, "STUDIES", ("activation_functions", "linear_collapse"))
    result = CliRunner().invoke(app, ["study", "--output", str(tmp_path), "--all"], catch_exceptions=False)
    assert result.exit_code == 0
    index = (tmp_path / "index.html").read_text()
    for name in study_command.STUDIES:
        assert f'<a href="{name}/{name}.html">{name}</a>' in index
        assert (tmp_path / name / f"{name}.html").exists()


def test_the_folder_may_be_named_after_the_study_and_is_tried_before_it_runs(tmp_path, monkeypatch):
    arguments = ["study", "linear_collapse", "--output", str(tmp_path / "new")]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert (tmp_path / "new" / "linear_collapse" / "linear_collapse.html").exists()
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(torch.linalg, "svdvals", None)  # what the study begins with would fail
    with pytest.raises(ConfigurationError, match=r"cannot be written to .*: choose another folder"):
        CliRunner().invoke(app, [*arguments[:-1], str(tmp_path / "file")], catch_exceptions=False)


def test_options_that_are_refused_leave_no_folder(tmp_path):
    arguments = ["study", "linear_collapse", "--output", str(tmp_path / "new" / "place"), "--widths", "3"]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_done_of_all_of_them_is_on_the_page_when_one_fails(tmp_path, monkeypatch):
    def failing():
        raise MemoryError

    monkeypatch.setattr("dlproj.labs.studies.hessian.hessian", failing)
    monkeypatch.setattr(study_command, "STUDIES", ("linear_collapse", "hessian"))
    assert CliRunner().invoke(app, ["study", "--output", str(tmp_path), "--all"]).exit_code == 1
    assert "linear_collapse.html" in (tmp_path / "index.html").read_text()


def test_a_study_computes_on_one_thread(tmp_path, monkeypatch):
    found = []

    def counting() -> Article:
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        found.extend([torch.get_num_threads(), *blas])
        return Article("linear_collapse", "", "", [])

    monkeypatch.setattr("dlproj.labs.studies.linear_collapse.linear_collapse", counting)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        CliRunner().invoke(app, ["study", "linear_collapse", "--output", str(tmp_path)], catch_exceptions=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(found) == {1}


def test_all_of_them_and_one_are_too_many(tmp_path):
    with pytest.raises(ConfigurationError, match="--all runs hessian, too: leave one of them out"):
        CliRunner().invoke(app, ["study", "--output", str(tmp_path), "--all", "hessian"], catch_exceptions=False)


@pytest.mark.parametrize("arguments", [["nothing"], ["activation_functions", "--largest", "many"], ["--fly"]])
def test_wrong_usage_is_exit_code_2(arguments):
    assert CliRunner().invoke(app, ["study", *arguments]).exit_code == 2


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_states_its_mathematics_and_explains_each_option(name):
    function = study(name)
    assert len(inspect.getdoc(function) or "") > 200
    alone = typer.Typer(add_completion=False)
    alone.command()(function)
    options = typer.main.get_command(alone).params
    assert len(options) == len(inspect.signature(function).parameters)
    assert all(option.help for option in options)
    for key, hint in get_type_hints(function, include_extras=True).items():
        if get_args(hint)[:1] == (int,):
            assert None not in (hint.__metadata__[0].min, hint.__metadata__[0].max), key
