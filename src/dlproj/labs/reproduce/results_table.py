"""The table of reported against reproduced, as RESULTS.md, results.csv, results.json and at the terminal."""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median

from dlproj import formats
from dlproj.config.checks import ConfigurationError, require
from dlproj.file_systems import why
from dlproj.labs.reproduce.evidence import Decision
from dlproj.labs.reproduce.plan import QUICK_BATCHES, QUICK_EPOCHS, QUICK_REVIEW_BATCHES
from dlproj.labs.reproduce.quantities import LABELS
from dlproj.labs.reproduce.recorded import HEADER, as_json
from dlproj.labs.reproduce.recorded import NAME as RECORDED
from dlproj.labs.reproduce.rows import Judged, Row
from dlproj.reports.comparison_table import as_csv, as_markdown
from dlproj.runs.manifest import listed, refuse_foreign, write_files

COLUMNS = ("experiment", "place", "quantity", "reported", "reproduced", "difference", "claims", "time", "remark")
FILES = ("RESULTS.md", "results.csv", RECORDED)
_TITLE = "# Reported and reproduced"
_BEGINNINGS = (_TITLE, "experiment,point,place,quantity,reported,reproduced", HEADER)  # of FILES
_QUICK = (
    f"**A quick run: at most {QUICK_EPOCHS} epochs of {QUICK_BATCHES} batches; of reviews {QUICK_REVIEW_BATCHES}, "
    "validated and tested on one. It shows that everything trains; its figures are not those of the experiments.**"
)


def write(rows: Sequence[Row], judged: Sequence[Judged], command: str, quick: bool, folder: Path) -> list[Path]:
    """Write RESULTS.md, results.csv and results.json into folder."""
    files = {
        "RESULTS.md": as_page(rows, judged, command, quick),
        "results.csv": _csv(rows, judged, quick),
        RECORDED: as_json(run for row in rows for run in row.runs),
    }
    return write_files(folder, files, overwrite=True)  # check_folder() has looked at them


def check_folder(folder: Path, quick: bool) -> None:
    """Raise ConfigurationError if it cannot be written to, holds somebody's files, or a table worth more than ours."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        texts = [_text(folder / name) for name in FILES]
    except OSError as error:
        raise ConfigurationError(f"--output {folder} cannot be used ({why(error)}): name another folder") from error
    ours = all(not text or text.startswith(begins) for text, begins in zip(texts, _BEGINNINGS, strict=True))
    if listed(folder) or not ours:  # without a list of what was written, the files of a checkout or of an older version
        refuse_foreign(folder, FILES, "name another folder with --output, or move it away")
    worth_more = quick and ",false," in texts[1]
    require(not worth_more, f"--output {folder} holds the table of a whole run: name another folder for a quick one")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def cells(rows: Sequence[Row], judged: Sequence[Judged]) -> list[list[str]]:
    """Each row's cells of COLUMNS, as people read them."""
    return [_cells(row, judged) for row in rows]


def as_page(rows: Sequence[Row], judged: Sequence[Judged], command: str, quick: bool) -> str:
    """RESULTS.md: where the figures come from, then a table and the claims of each suite."""
    parts = [f"{_TITLE}\n", _introduction(rows, judged, command, quick)]
    for suite, some in groupby(rows, lambda row: row.point.experiment.split("/")[0]):
        mine = list(some)
        document = mine[0].point.config.reference.document
        parts.append(
            f"## {suite}\n\nDocument {document}.\n\n{as_markdown(COLUMNS, [_cells(row, judged) for row in mine])}"
        )
        names = {row.point.experiment for row in mine}
        claims = [_claim_cells(one) for one in judged if one.experiment in names]
        if claims:
            parts.append(as_markdown(("experiment", "claim", "of", "verdict", "evidence"), claims))
    return "\n".join(parts)


def _claim_cells(one: Judged) -> list[str]:
    whose = "dlproj" if one.is_ours else "the document"
    return [one.experiment, one.claim, whose, one.verdict.decision.value, one.verdict.evidence]


def _introduction(rows: Sequence[Row], judged: Sequence[Judged], command: str, quick: bool) -> str:
    runs = {run.key: run for row in rows for run in row.runs}.values()
    versions = sorted({f"{name} {version}" for run in runs for name, version in run.versions.items()})
    commits = sorted({_short(run.git_commit) for run in runs})
    seeds = sorted({run.seed for run in runs})
    lines = [
        f"Made by `{command}`: {len(runs)} runs of one thread each, seeds {', '.join(map(str, seeds))}, "
        f"{formats.duration(sum(run.seconds for run in runs))} of training in all.",
        f"Machine: {'; '.join(sorted({run.machine for run in runs}))}. Versions: {', '.join(versions)}. "
        f"Commits of the runs: {', '.join(commits)}.",
        "Reproduced figures are means over the seeds ± their sample standard deviation; differences of accuracies are "
        "in percentage points; the time is that of one training with its validation.",
    ]
    if quick:
        lines.insert(0, _QUICK)
    documents, ours = ([one for one in judged if one.is_ours is mine] for mine in (False, True))
    lines.append(_ON_VERDICTS)
    lines.append(
        f"{_nearness(rows)} Of {len(documents)} conclusions of the documents: {_claims(documents)}; "
        f"of {len(ours)} findings of ours: {_claims(ours)}."
    )
    return "\n\n".join(lines) + "\n"


_ON_VERDICTS = (
    "A conclusion is held where its check holds for 95 % of what the means over all seeds could be, given the runs "
    "(each mean ± its standard error times Student's t), not held where it fails for 95 %, and otherwise not decided "
    "by these seeds; one seed decides nothing but counts that all seeds share, and seeds that agree to the digit are "
    "taken to be all alike. Findings are our own, such as a measured cause beside a document's explanation."
)


def _short(commit: str | None) -> str:
    return "unknown" if commit is None else commit[:10] + "+" * commit.endswith("+")


def _nearness(rows: Sequence[Row]) -> str:
    """How near the accuracies came, in a sentence."""
    accuracies = [row for row in rows if row.quantity.endswith("/accuracy") and row.difference is not None]
    if not accuracies:
        return "No reported accuracy is among these experiments."
    distances = [abs(row.difference) for row in accuracies if row.difference is not None]
    far = [row for row in accuracies if not row.is_near]
    return (
        f"Of {len(accuracies)} reported accuracies {len(accuracies) - len(far)} are reproduced within 1.5 points, "
        f"{sum(row.is_explained for row in far)} of the {len(far)} others have a reason that was tested; the "
        f"median distance is {100 * median(distances):.2f} points."
    )


def _cells(row: Row, judged: Sequence[Judged]) -> list[str]:
    return [
        str(row.point),
        row.point.config.reference.place,
        row.quantity,
        formats.NONE if row.reported is None else formats.quantity(row.quantity, row.reported),
        _reproduced(row),
        _difference(row),
        _claims(_of_experiment(row, judged)),
        formats.duration(row.seconds),
        row.remark,
    ]


def _reproduced(row: Row) -> str:
    if row.mean is None:
        return formats.NONE
    if row.quantity in LABELS:
        return ", ".join(formats.quantity(row.quantity, value) for value in row.values)
    if row.quantity.endswith("accuracy"):
        return formats.mean_and_spread(row.quantity, row.mean, row.deviation)
    spread = f" ± {formats.quantity(row.quantity, row.deviation)}" if row.deviation else ""
    return formats.quantity(row.quantity, row.mean) + spread


def _difference(row: Row) -> str:
    if row.difference is None or not math.isfinite(row.difference):
        return formats.NONE
    if row.quantity in LABELS:
        return "another" if row.difference else "the same"
    if row.quantity.endswith("accuracy"):
        return f"{100 * row.difference:+.2f}"
    sign = "+" if row.difference > 0 else ""
    return sign + formats.quantity(row.quantity, row.difference)


def _of_experiment(row: Row, judged: Iterable[Judged]) -> list[Judged]:
    """The conclusions of the row's document."""
    return [one for one in judged if one.experiment == row.point.experiment and not one.is_ours]


def _claims(judged: Iterable[Judged]) -> str:
    decisions = [one.verdict.decision for one in judged]
    counts = [(decisions.count(decision), decision.value) for decision in Decision]
    return ", ".join(f"{count} {word}" for count, word in counts if count) or formats.NONE


def _csv(rows: Sequence[Row], judged: Sequence[Judged], quick: bool) -> str:
    return as_csv(
        [
            {
                "experiment": row.point.experiment,
                "point": row.point.label,
                "place": row.point.config.reference.place,
                "quantity": row.quantity,
                "reported": row.reported,
                "reproduced": row.mean,
                "standard_deviation": row.deviation,
                "seeds": len(row.values),
                "difference": row.difference,
                "claims": _claims(_of_experiment(row, judged)),
                "seconds": row.seconds,
                "quick": str(quick).lower(),
                "remark": row.remark,
            }
            for row in rows
        ]
    )
