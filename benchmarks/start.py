"""Time how long commands take to answer, beside the imports of torch and Lightning: `python -m benchmarks.start`.

With --before FOLDER, the root of another checkout of dlproj, each command is also run there. All take turns, so that
other work on the machine affects them equally; each figure is the median.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
_FLOOR = "import torch, pytorch_lightning"


class Case(NamedTuple):
    """Arguments of `python`, run in a checkout."""

    name: str
    arguments: list[str]
    environment: Mapping[str, str] = {}
    exit_code: int = 0


def cases(folder: str) -> list[Case]:
    """The commands to time; runs are written below the folder."""
    one_step = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "figures=none"]
    run = ["train.py", "data=digits", "trainer.accelerator=cpu", "overwrite=true", f"hydra.run.dir={folder}/run"]
    tab = {"COMP_LINE": "python train.py optim.le", "COMP_POINT": "24"}
    return [
        Case(_FLOOR, ["-c", _FLOOR]),
        Case("train.py model.dropuot=0.1", ["train.py", "model.dropuot=0.1"], exit_code=1),
        Case("train.py --help", ["train.py", "--help"]),
        Case("the Tab key behind train.py optim.le", ["train.py", "-sc", "query=bash"], tab),
        Case("train.py data=digits, one step and no figures", [*run, *one_step]),
        Case("train.py data=digits", run),
    ]


def seconds(case: Case, root: Path) -> float:
    """Seconds of the command in the checkout at root. Raises RuntimeError for an unexpected exit code."""
    environment = os.environ | {"PYTHONPATH": str(root / "src")} | dict(case.environment)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *case.arguments], cwd=root, env=environment, capture_output=True, text=True)
    taken = time.perf_counter() - began
    if done.returncode != case.exit_code:
        raise RuntimeError(f"{case.name} ended with {done.returncode}: {done.stderr}")
    return taken


def table(roots: list[Path], repetitions: int) -> str:
    """Markdown table, one row per case: seconds, ratio to the imports' seconds, and to those of the other checkout."""
    times: dict[tuple[str, Path], list[float]] = {}
    with TemporaryDirectory() as folder:
        for _ in range(repetitions):
            for case in cases(folder):
                for root in roots:
                    times.setdefault((case.name, root), []).append(seconds(case, root))
    medians = {key: median(values) for key, values in times.items()}
    lines = ["| command | seconds | of the imports' | before | of before |", "|---|---|---|---|---|"]
    for case in cases(""):
        now, floor = medians[case.name, roots[0]], medians[_FLOOR, roots[0]]
        before = medians[case.name, roots[1]] if len(roots) > 1 else None
        beside = f"{before:.2f} | {now / before:.2f}" if before else "– | –"
        lines.append(f"| `{case.name}` | {now:.2f} | {now / floor:.2f} | {beside} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    print(table([ROOT, *([options.before.resolve()] if options.before else [])], options.repetitions))


if __name__ == "__main__":
    main()
