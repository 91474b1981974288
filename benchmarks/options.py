"""The command line of `python -m benchmarks`, checked."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.cases import CASES, Case, shortened
from dlproj.machine import usable_cores

_OUTPUT = Path(__file__).parent / "RESULTS.md"
_QUICK_BATCHES = 4
_DESCRIPTION = """Compare dlproj's speed and memory with other ways to train the same networks. Takes the data from the
folder that DLPROJ_DATA_DIR names, and Keras from the Python that KERAS_PYTHON names, else from this one."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    cases: list[Case]
    variants: list[str] | None  # None: all
    threads: list[int]
    rounds: int
    device: str
    output: Path  # the report; the records go beside it, with the suffix .jsonl
    limit: int | None  # at most so many batches per chunk
    render: bool  # only write the report again


def parse(arguments: Sequence[str]) -> Options:
    """Parse the options; invalid ones end the process with one line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device=cuda, but torch sees no GPU: set --device=cpu")
    limit = _QUICK_BATCHES if given.quick else None
    chosen = [case for case in CASES if given.cases is None or case.name in given.cases]
    return Options(
        cases=[shortened(case, limit) for case in chosen] if limit else chosen,
        variants=given.variants,
        threads=given.threads or ([usable_cores()] if given.device == "cuda" else sorted({1, usable_cores()})),
        rounds=given.rounds or (2 if given.quick else 5),
        device=given.device,
        output=given.output,
        limit=limit,
        render=given.render,
    )


def _parser() -> argparse.ArgumentParser:
    names = [case.name for case in CASES]
    variants = list(dict.fromkeys(variant for case in CASES for variant in case.variants))
    parser = argparse.ArgumentParser("python -m benchmarks", description=_DESCRIPTION)
    parser.add_argument("--cases", type=_names(names), help=f"of {', '.join(names)}; default: all")
    parser.add_argument("--variants", type=_names(variants), help=f"of {', '.join(variants)}; default: all")
    parser.add_argument("--threads", type=_threads, help="such as 1,2; default: one, and all usable cores")
    parser.add_argument("--rounds", type=_positive, help="chunks per variant; default: 5")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_BATCHES} batches per chunk: check that it runs")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="the report; default: benchmarks/RESULTS.md")
    parser.add_argument("--render", action="store_true", help="write the report again from the records beside it")
    return parser


class _names:  # noqa: N801 — argparse shows the name
    """Parses names separated by commas, from a list of known ones."""

    def __init__(self, known: list[str]) -> None:
        self.known = known

    def __call__(self, text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in self.known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(self.known)}")
        return names


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 up")
    return int(text)


def _threads(text: str) -> list[int]:
    return [_positive(number) for number in text.split(",")]
