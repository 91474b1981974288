"""`dlproj study`: one subcommand a study, whose parameters are its options and whose docstring is its help.

A study is a function of a module of its own name; what it returns is written as a page, figures and tables.
"""

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from dlproj.results import formats
from dlproj.results.article import Article, Section, Table, write_article
from dlproj.results.table import print_table
from dlproj.studies.timing import one_thread

STUDIES = (
    "activation_functions",
    "linear_collapse",
    "piecewise_linear",
    "batch_norm_pitfalls",
    "initialisation_signal",
    "scratch_vs_framework",
    "matmul_alignment",
    "memory_footprint",
    "hessian",
    "batch_size_timing",
    "parallelism",
    "loss_landscape",
)
Study = Callable[..., Article]


def run(arguments: Sequence[str]) -> None:
    """Run what follows `dlproj study` on the command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True, result_callback=_finish)(_begin)
    for name in STUDIES:
        app.command(name)(study(name))
    with one_thread():
        typer.main.get_command(app)(list(arguments), prog_name="dlproj study")


def study(name: str) -> Study:
    """The function of this name."""
    found: Study = getattr(import_module(f"dlproj.studies.{name}"), name)
    return found


def _begin(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="all of them, with their defaults")] = False,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="for the pages; each study has a folder of its own in it")
    ] = Path("logs/studies"),
) -> None:
    """Make the documents' figures and measurements again, what was reported beside what is measured.

    Each writes a page (HTML), its figures (PNG) and tables (CSV). `dlproj study NAME --help` states the mathematics.

    Examples: `dlproj study activation_functions`, `dlproj study --all`
    """
    if every:
        _run_all(output)
    elif context.invoked_subcommand is None:
        print(context.get_help())  # noqa: T201


def _finish(article: Article | None, every: bool, output: Path) -> None:
    """Print the tables of the study that has run, and write its page."""
    if article is None:
        return
    for section in article.sections:
        if section.table:
            print_table(section.table.columns, section.table.cells, section.heading)
            print()  # noqa: T201
    for path in write_article(_said_by(article, shlex.join(["dlproj", *sys.argv[1:]])), output / article.name):
        print(path)  # noqa: T201


def _said_by(article: Article, command: str) -> Article:
    return replace(article, subtitle=f"{article.subtitle} · {command}")


def _run_all(output: Path) -> None:
    """Run each with its defaults, and write a page that leads to theirs."""
    rows = []
    for name in STUDIES:
        began = time.perf_counter()
        article = study(name)()
        write_article(_said_by(article, f"dlproj study {name}"), output / name)
        rows.append((name, article.title, formats.duration(time.perf_counter() - began)))
        print(f"{output / name / name}.html", file=sys.stdout, flush=True)  # noqa: T201
    table = Table(("study", "what it shows", "time"), rows, links=[f"{name}/{name}.html" for name in STUDIES])
    page = Article("index", "Studies", "dlproj study --all", [Section("All studies", table=table)])
    print_table(table.columns, table.cells)
    for path in write_article(page, output):
        print(path)  # noqa: T201
