"""Out-of-fold predictions: each sample's prediction by the run of a cross-validation that was not trained on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlproj.config.checks import DataError
from dlproj.reports.reading import Interval, wilson_interval
from dlproj.runs.comparison import Comparison, Row, Scalar, fold_of, folds_of
from dlproj.runs.predictions import read_predictions
from dlproj.runs.record import Run

if TYPE_CHECKING:
    import pandas as pd

NOTE = (
    "Each sample is predicted by the run that has not trained on it, so all samples of the data count once. The "
    "interval is Wilson's; it does not know that the runs share training samples."
)


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """The predictions of the folds' runs with the same settings and seed, put together."""

    settings: dict[str, Scalar]  # those that vary, and the seed if it does
    folds: int
    classes: list[str]
    predictions: "pd.DataFrame | None"  # columns as of read_predictions(), and fold; None if they are not complete
    lack: str  # why not, in words

    def confusion_matrix(self) -> list[list[int]]:
        """Counts by true class (rows) and predicted class; empty if the predictions are not complete."""
        if self.predictions is None:
            return []
        place = {name: i for i, name in enumerate(self.classes)}
        counts = [[0] * len(place) for _ in place]
        for truth, guess in zip(self.predictions["true"], self.predictions["predicted"], strict=True):
            counts[place[truth]][place[guess]] += 1
        return counts

    def hits(self) -> int:
        """Number of samples that are predicted right."""
        assert self.predictions is not None
        return int((self.predictions["true"] == self.predictions["predicted"]).sum())

    def interval(self) -> Interval:
        """Wilson's interval of the accuracy."""
        assert self.predictions is not None
        return wilson_interval(self.hits(), len(self.predictions))

    def row(self) -> Row:
        """The settings, and what came of them; None for an accuracy that is not known."""
        row: Row = {**self.settings, "folds": self.folds, "samples": None, "out-of-fold/accuracy": None}
        if self.predictions is None:
            return row | {"out-of-fold/accuracy low": None, "out-of-fold/accuracy high": None, "missing": self.lack}
        low, high, samples = self.interval()
        row |= {"samples": samples, "out-of-fold/accuracy": self.hits() / samples}
        return row | {"out-of-fold/accuracy low": low, "out-of-fold/accuracy high": high, "missing": ""}

    def words(self) -> str:
        """The accuracy in one line: "out-of-fold accuracy 96.8%, 95% interval 95.9% to 97.5%, from 1,797 samples"."""
        name = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        named = f" of {name}" if name else ""
        if self.predictions is None:
            return f"no out-of-fold accuracy{named}: {self.lack}"
        low, high, samples = self.interval()
        accuracy = f"{self.hits() / samples:.2%}, 95% interval {low:.1%} to {high:.1%}"
        return f"out-of-fold accuracy{named}: {accuracy}, from {samples:,} samples in {self.folds} folds"


def out_of_fold(comparison: Comparison) -> list[OutOfFold]:
    """The out-of-fold predictions of each group and seed, the best group first; empty if no folds vary."""
    if "data.fold" not in comparison.varied:
        return []
    found = []
    for group in (comparison.groups[i] for i in comparison.group_ranking()):
        runs = [run for run in group.repetitions if folds_of(run)]
        for seed in dict.fromkeys(run.result.seed for run in runs):
            settings = group.settings | ({"seed": seed} if "seed" in comparison.varied else {})
            found.append(_joined(settings, [run for run in runs if run.result.seed == seed]))
    return found


def as_frame(parts: Sequence[OutOfFold]) -> "pd.DataFrame":
    """The complete ones in one table: settings, fold, index, true, predicted, probabilities. Raises DataError."""
    import pandas as pd

    complete = [part for part in parts if part.predictions is not None]
    if not complete:
        raise DataError(
            f"there are no out-of-fold predictions: {parts[0].lack if parts else 'data.fold does not vary'}"
        )
    frames = [
        pd.concat([pd.DataFrame([part.settings] * len(part.predictions)), part.predictions], axis=1)
        for part in complete
        if part.predictions is not None
    ]
    return pd.concat(frames, ignore_index=True)


def _joined(settings: dict[str, Scalar], runs: Sequence[Run]) -> OutOfFold:
    import pandas as pd

    folds, classes = folds_of(runs[0]), runs[0].result.classes
    completed = [run for run in runs if run.result.status == "completed"]
    if len(completed) < folds:
        return OutOfFold(settings, folds, classes, None, f"{len(completed)} of {folds} folds are completed")
    try:
        frames = [read_predictions(run).assign(fold=fold_of(run)) for run in completed]
    except DataError as error:
        return OutOfFold(settings, folds, classes, None, str(error))
    joined = pd.concat(frames, ignore_index=True).sort_values("index", ignore_index=True)
    samples = sum(runs[0].result.samples.values())
    if joined["index"].tolist() != list(range(samples)):
        lack = f"the folds hold {len(joined):,} predictions of {samples:,} samples: was the data changed between them?"
        return OutOfFold(settings, folds, classes, None, lack)
    return OutOfFold(settings, folds, classes, joined[["fold", *joined.columns[:-1]]], "")
