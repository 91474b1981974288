"""`dlproj study`: one subcommand a study, whose parameters are its options and whose docstring is its help.

A study is a function of a module of its own name; what it returns is written as a page, figures and tables.
"""

import inspect
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from dlproj import formats
from dlproj.config.checks import require
from dlproj.labs.studies.parts.timing import one_thread
from dlproj.reports.article import Article, Section, Table, check_folder, write_article
from dlproj.reports.terminal import print_table

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
    app.callback(invoke_without_command=True)(_begin)
    for name in STUDIES:
        app.command(name)(_written(study(name)))
    with one_thread():
        typer.main.get_command(app)(list(arguments), prog_name="dlproj study")


def study(name: str) -> Study:
    """The function of the study of this name."""
    function: Study = getattr(import_module(f"dlproj.labs.studies.{name}"), name)
    return function


Output = Annotated[Path, typer.Option(metavar="FOLDER", help="for the pages; each study has a folder of its own in it")]
_OUTPUT = Path("logs/studies")
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace files there that dlproj did not write, too")]


def _begin(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="all of them, with their defaults")] = False,
    output: Output = _OUTPUT,
    overwrite: Overwrite = False,
) -> None:
    """Make the documents' figures and measurements again, what was reported beside what is measured.

    Each writes a page (HTML), its figures (PNG) and tables (CSV). `dlproj study NAME --help` states the mathematics.

    Examples: `dlproj study activation_functions`, `dlproj study --all`
    """
    name = context.invoked_subcommand
    require(not (every and name), f"--all runs {name}, too: leave one of them out")
    if every:
        _run_all(output, overwrite)
    elif name is None:
        print(context.get_help())
    else:
        context.default_map = {name: {"output": output, "overwrite": overwrite}}


def _written(function: Study) -> Callable[..., None]:
    """The study as a command, which prints its tables and writes its page."""
    options = [
        inspect.Parameter("output", inspect.Parameter.KEYWORD_ONLY, default=_OUTPUT, annotation=Output),
        inspect.Parameter("overwrite", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Overwrite),
    ]
    signature = inspect.signature(function)

    def command(output: Path, overwrite: bool, **settings: Any) -> None:
        folder = output / function.__name__
        check_folder(function.__name__, folder, overwrite)  # rather than fail once all is measured
        article = function(**settings)
        for section in article.sections:
            if section.table:
                print_table(section.table.columns, section.table.cells, section.heading)
                print()
        for path in write_article(_complete(article, shlex.join(["dlproj", *sys.argv[1:]])), folder, overwrite):
            print(path)

    command.__doc__ = function.__doc__
    command.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *options])  # type: ignore[attr-defined]
    return command


def _complete(article: Article, command: str) -> Article:
    """With the command that makes it again, and with what the study's help says of the mathematics."""
    explanation = inspect.getdoc(study(article.name)) or ""
    return replace(article, subtitle=f"{article.subtitle} · {command}", introduction=explanation.split("\n\n"))


def _run_all(output: Path, overwrite: bool) -> None:
    """Run each with its defaults, and keep a page that leads to those that are done."""
    check_folder("index", output, overwrite)
    for name in STUDIES:
        check_folder(name, output / name, overwrite)
    rows: list[tuple[str, str, str]] = []
    for name in STUDIES:
        began = time.perf_counter()
        article = study(name)()
        write_article(_complete(article, f"dlproj study {name}"), output / name, overwrite)
        rows.append((name, article.title, formats.duration(time.perf_counter() - began)))
        print(f"{output / name / name}.html", flush=True)
        table = Table(("study", "what it shows", "time"), rows, links=[f"{row[0]}/{row[0]}.html" for row in rows])
        page = Article("index", "Studies", "dlproj study --all", [Section("Done", table=table)])
        index = write_article(page, output, overwrite)
    print_table(table.columns, table.cells)
    print(*index)
