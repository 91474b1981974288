"""Targets for speed and memory, and whether measured figures meet them. Pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figures, Row, memory_ratio, time_ratio


@dataclass(frozen=True)
class Target:
    """`variant` takes at most or at least `bound` times what `reference` takes."""

    variant: str
    reference: str | None  # None: bound is in seconds per chunk
    bound: float
    cases: str  # prefix of the names of cases
    at_least: bool = False
    measure: str = "time"  # "time", "memory" or "GPU memory"
    device: str = "cpu"

    def text(self) -> str:
        """The target in one line."""
        unit = f"× {self.reference}" if self.reference else "s an epoch"
        what = "" if self.measure == "time" else f", peak {self.measure}"
        return f"{self.variant} {'≥' if self.at_least else '≤'} {self.bound:g} {unit}{what}"

    def verdict(self, value: float) -> str:
        """Met or missed, and by what share of the bound."""
        met = value >= self.bound if self.at_least else value <= self.bound
        return f"{'met' if met else 'MISSED'} by {abs(value / self.bound - 1):.1%}"


_BUCKETED = "dlproj masked bucketed"
TARGETS = (
    Target("dlproj", "floor", 1.05, "mlp"),
    Target("template torchvision", "dlproj", 3.5, "mlp-1000-32", at_least=True),
    Target("template pairs", "dlproj", 2.8, "mlp-1000-32", at_least=True),
    Target("keras", "dlproj", 1.8, "mlp-1000-32", at_least=True),
    Target("keras", "dlproj", 1.2, "mlp-1000-128", at_least=True),
    Target("dlproj", "floor", 1.05, "lstm"),
    Target("floor", _BUCKETED, 1.8, "lstm", at_least=True),
    Target("dlproj", "floor", 1.1, "", measure="memory"),
    Target("dlproj", None, 0.1, "mlp-1000-128", device="cuda"),
    Target("template pairs", "dlproj", 20, "mlp-1000-128", at_least=True, device="cuda"),
    Target("dlproj", "floor", 1.2, "", measure="GPU memory", device="cuda"),
)


@dataclass(frozen=True)
class Verdict:
    """One target at one case and number of threads."""

    target: Target
    case: str
    threads: int
    value: float | None  # None: not measured

    def text(self) -> str:
        """Met or missed, and by how much."""
        return "not measured" if self.value is None else self.target.verdict(self.value)


def verdicts(figures: Figures, device: str) -> Iterator[Verdict]:
    """Verdicts on each target, for each measured case that it applies to."""
    for target in TARGETS:
        for row in figures.rows():
            if row.variant == target.variant and row.case.startswith(target.cases) and device == target.device:
                yield Verdict(target, row.case, row.threads, _value(figures, target, row))


def _value(figures: Figures, target: Target, row: Row) -> float | None:
    if target.reference is None:
        microseconds = row.microseconds_a_step()
        return None if microseconds is None else microseconds * row.steps / 1e6
    reference = figures.beside(row, target.reference)
    if target.measure != "time":
        return memory_ratio(row, reference, gpu=target.measure == "GPU memory")
    ratio = time_ratio(row, reference)
    return ratio.median if ratio else None
