"""`python -m benchmarks`: measure, keep each record as it comes, and write the report."""

import json
import platform
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import datasets
from benchmarks.cases import Case, Job
from benchmarks.figures import Record
from benchmarks.options import Options, parse
from benchmarks.race import race
from benchmarks.table import render
from dlproj.config.checks import UserError
from dlproj.machine import machine, versions


def main(arguments: list[str]) -> None:
    """Measure the chosen cases, and print and write the report."""
    options = parse(arguments)
    records = options.output.with_suffix(".jsonl")
    try:
        if not options.render:
            _measure(options, _header(options, arguments), records)
        report = render([json.loads(line) for line in records.read_text(encoding="utf-8").splitlines()])
        options.output.write_text(report, encoding="utf-8")
    except KeyboardInterrupt:
        _say(f"interrupted: --render writes the report of what there is, from {records.name}")
        sys.exit(130)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    print(report)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _measure(options: Options, header: Record, path: Path) -> None:
    with TemporaryDirectory() as folder, path.open("w", encoding="utf-8") as file:
        for record in chain([header], _records(options, Path(folder))):
            file.write(json.dumps(record) + "\n")
            file.flush()


def _header(options: Options, arguments: list[str]) -> Record:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["python", "-m", "benchmarks", *arguments]),
        "rounds": options.rounds,
        "machine": machine() + _processor(),
        "device": options.device,
        "versions": versions(),
        "limit": options.limit,
    }


def _processor() -> str:
    """Name of the processor, if the system tells."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    name = next(names, platform.processor())
    return f", {name}" if name else ""


def _records(options: Options, folder: Path) -> Iterator[Record]:
    samples: dict[str, int] = {}
    for case in options.cases:
        if case.data not in samples:
            _say(f"{case.data}: preparing the arrays")
            samples[case.data] = datasets.write(case.data, folder)
        for threads in options.threads:
            if jobs := _jobs(options, case, threads, samples[case.data], folder):
                yield from race(jobs, options.rounds, _say)


def _jobs(options: Options, case: Case, threads: int, samples: int, folder: Path) -> list[Job]:
    return [
        Job(
            case=case,
            variant=variant,
            threads=threads,
            device=options.device,
            steps=case.steps(samples, variant),
            arrays=str(folder),
            output=str(folder / case.name / str(threads) / variant.replace(" ", "-")),
        )
        for variant in case.variants
        if options.variants is None or variant in options.variants
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
