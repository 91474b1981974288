"""Medians and paired ratios from records of single chunks. Pure functions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Record = dict[str, Any]


@dataclass
class Row:
    """Results of one variant of one case at one number of threads."""

    case: str
    threads: int
    variant: str
    steps: int  # per chunk
    seconds: dict[int, float] = field(default_factory=dict)  # per chunk, by round
    peak_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None
    note: str = ""  # why there are no figures

    def microseconds_a_step(self) -> float | None:
        """Median over the rounds."""
        return median(self.seconds.values()) / self.steps * 1e6 if self.seconds else None


@dataclass(frozen=True)
class Ratio:
    """Median and range of ratios, each of two chunks of the same round."""

    median: float
    lowest: float
    highest: float


class Figures:
    """All rows by case, threads and variant, in the order of the records."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._rows: dict[tuple[str, int, str], Row] = {}
        for record in records:
            if "variant" in record:
                self._add(record)

    def _add(self, record: Record) -> None:
        key = (record["case"], record["threads"], record["variant"])
        if "steps" in record:
            self._rows[key] = Row(*key, record["steps"])
        elif "seconds" in record:
            self._rows[key].seconds[record["round"]] = record["seconds"]
        elif "note" in record:
            self._rows[key].note = record["note"]
        elif "peak_memory_bytes" in record:
            self._rows[key].peak_memory_bytes = record["peak_memory_bytes"]
            self._rows[key].peak_gpu_memory_bytes = record["peak_gpu_memory_bytes"]

    def rows(self) -> list[Row]:
        """All rows, in the order of the records."""
        return list(self._rows.values())

    def beside(self, row: Row, variant: str) -> Row | None:
        """The row of another variant of the same case at the same number of threads."""
        return self._rows.get((row.case, row.threads, variant))


def time_ratio(row: Row | None, reference: Row | None) -> Ratio | None:
    """Ratio of the time per step to the reference's; None without a common round."""
    if row is None or reference is None:
        return None
    rounds = sorted(row.seconds.keys() & reference.seconds.keys())
    per_round = [row.seconds[r] / row.steps / (reference.seconds[r] / reference.steps) for r in rounds]
    return Ratio(median(per_round), min(per_round), max(per_round)) if per_round else None


def memory_ratio(row: Row | None, reference: Row | None, gpu: bool = False) -> float | None:
    """Ratio of the peak memory to the reference's; None if one of them is unknown or 0."""
    name = "peak_gpu_memory_bytes" if gpu else "peak_memory_bytes"
    mine, others = getattr(row, name, None), getattr(reference, name, None)
    return mine / others if mine and others else None
