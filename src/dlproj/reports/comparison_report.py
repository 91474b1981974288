"""Reports: one self-contained HTML file for one or several runs, and their table as CSV and Markdown."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from dlproj.config.checks import UserError
from dlproj.reports.comparison_page import SPREAD, comparison_page, title
from dlproj.reports.comparison_table import (
    Cell,
    as_csv,
    as_markdown,
    as_markdown_text,
    best,
    heading,
    repetitions,
    same_runs,
    shown,
    table,
)
from dlproj.reports.out_of_fold import NOTE, as_frame, out_of_fold
from dlproj.reports.run_page import run_page
from dlproj.runs.comparison import compare
from dlproj.runs.manifest import write_files
from dlproj.runs.record import Damaged, Run, read_run


def write_report(runs: Sequence[Run], damaged: Sequence[Damaged], output: Path, overwrite: bool = False) -> list[Path]:
    """Write `output` (.html) and beside it the table as .csv and .md; returns the paths.

    Raises UserError if that is impossible or, without overwrite, if it would replace files that are not dlproj's.
    """
    if output.suffix != ".html":
        raise UserError(f"{output} is not a name for a report: give one that ends in .html")
    html = run_report(runs[0]) if len(runs) == 1 and not damaged else comparison_report(runs, damaged, output)
    comparison = compare(runs)
    contents = {".html": html, ".csv": as_csv(table(comparison)), ".md": _markdown(runs, damaged)}
    files = {output.with_suffix(suffix).name: content for suffix, content in contents.items()}
    parts = out_of_fold(comparison)
    if any(part.predictions is not None for part in parts):
        name = f"{output.stem}_out_of_fold"
        files[f"{name}.csv"] = as_frame(parts).to_csv(index=False)
    return write_files(output.parent, files, overwrite)


def run_report(run: Run) -> str:
    """HTML page of one run."""
    return template("report_run.html").render(title=run.result.name, page=run_page(run))


def folder_report(folder: Path) -> str:
    """HTML page of the run in a folder. Raises DataError if it cannot be read."""
    return run_report(read_run(folder))


def comparison_report(runs: Sequence[Run], damaged: Sequence[Damaged], output: Path | None = None) -> str:
    """HTML page that compares several runs. output: where it will be, from which it links to the runs' own pages."""
    return template("report_comparison.html").render(comparison_page(runs, damaged, output))


@cache
def template(name: str) -> Template:
    """Load a page's template from this package."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(name)


def _markdown(runs: Sequence[Run], damaged: Sequence[Damaged]) -> str:
    comparison = compare(runs)
    parts = [f"# {as_markdown_text(title(comparison))}"]
    if len(runs) > 1 and (chosen := best(comparison)):
        parts.append(as_markdown_text(f"Best by {chosen.words}: {chosen.command}"))
    parts += [as_markdown_text(note)] if (note := same_runs(comparison)) else []
    parts.append(_markdown_table(table(comparison)))
    if comparison.repeats:
        parts += ["## Repeated runs", SPREAD, _markdown_table(repetitions(comparison))]
    if rows := [part.row() for part in out_of_fold(comparison)]:
        parts += ["## Out-of-fold predictions", NOTE, _markdown_table(rows)]
    if damaged:
        parts += ["## Skipped", "".join(f"- {as_markdown_text(f'{run.folder}: {run.reason}')}\n" for run in damaged)]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _markdown_table(rows: Sequence[Mapping[str, Cell]]) -> str:
    cells = [[shown(key, value) for key, value in row.items()] for row in rows]
    return as_markdown([heading(key) for key in rows[0]], cells)
