"""What the documents say must come out, each claim with a check that can fail.

A check asks Evidence for means over seeds and says whether the claim holds; what it asked for is the evidence.
Accuracies are fractions. Thresholds are chosen from the claims' words alone: chance is 0.1 with ten classes, 0.5 with
two.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from statistics import fmean
from typing import NamedTuple

from dlproj.reproduce.quantities import by_epoch, quantities
from dlproj.results import formats
from dlproj.results.record import Run

CHANCE = 0.1  # with ten classes
CLEARLY = 0.02  # what an accuracy must differ by where chance or noise could be the cause
EQUAL = 0.015  # accuracies that differ by less are called the same


class NotRunError(Exception):
    """A claim asks for an experiment that has not been run."""


class Evidence:
    """The runs by experiment and label, each over its seeds; notes what it is asked for."""

    def __init__(self, runs: dict[tuple[str, str], list[Run]]) -> None:
        self._runs = runs
        self.noted: list[str] = []

    def __call__(self, experiment: str, label: str = "", quantity: str = "test/accuracy") -> float:
        """The mean of a quantity over the seeds. Raises NotRunError."""
        values = [found[quantity] for run in self._of(experiment, label) if quantity in (found := quantities(run))]
        return self._mean(f"{quantity} of {experiment} {label}".rstrip(), quantity, values)

    def epoch(self, number: int, experiment: str, label: str = "", metric: str = "val/accuracy") -> float:
        """The mean of a metric after so many epochs. Raises NotRunError."""
        values = by_epoch(self._of(experiment, label), metric, number)
        return self._mean(f"{metric} of {experiment} {label}".rstrip() + f" after epoch {number}", metric, values)

    def _of(self, experiment: str, label: str) -> list[Run]:
        runs = self._runs.get((experiment, label))
        if not runs:
            raise NotRunError(f"{experiment} {label}".rstrip())
        return runs

    def _mean(self, words: str, quantity: str, values: list[float]) -> float:
        if not values:
            raise NotRunError(words)
        mean = fmean(values)
        self.noted.append(f"{words} {formats.quantity(quantity, mean)}")
        return mean


class Verdict(NamedTuple):
    """Whether a claim holds, None where it was not judged, and by which figures."""

    holds: bool | None
    evidence: str


def judge(claim: str, runs: dict[tuple[str, str], list[Run]]) -> Verdict:
    """Check a claim of CLAIMS on runs by experiment and label."""
    if claim not in CLAIMS:
        return Verdict(None, "not judged: there is no check of it")
    evidence = Evidence(runs)
    try:
        holds = CLAIMS[claim](evidence)
    except NotRunError as missing:
        return Verdict(None, f"not judged without {missing}")
    return Verdict(holds, "; ".join(dict.fromkeys(evidence.noted)))


Check = Callable[[Evidence], bool]


def _gap(of: Evidence, label: str) -> float:
    """How far the validation loss lies above the training loss at the end."""
    return of("lab5/lr_scaled", label, "val/loss") - of("lab5/lr_scaled", label, "train/loss")


def _falling(values: Iterable[float]) -> bool:
    return all(after < before for before, after in pairwise(values))


def _wider_with_the_rate(of: Evidence) -> bool:
    rates = ("0.1", "0.001", "1e-05")
    return all(
        _falling([of("lab5/weight_histograms", f"{rate}, {scaling}", "weight_deviation") for rate in rates])
        for scaling in ("unit", "none")
    )


CLAIMS: dict[str, Check] = {
    # lab2
    "60,000 training and 10,000 test images of 28 × 28 in 10 classes": lambda of: (
        [of("lab2/survey", "", name) for name in ("training_samples", "test_samples", "height", "width", "classes")]
        == [60_000, 10_000, 28, 28, 10]
    ),
    "parameter count of the plain model = 623,290": lambda of: of("lab2/plain", "", "parameters") == 623_290,
    "a penalty costs the plain model some accuracy": lambda of: of("lab2/regularized") < of("lab2/plain"),
    "L1 of 0.01 drives the model to chance, where without it SGD 0.01 scores clearly more": (
        lambda of: of("lab2/l1") < CHANCE + CLEARLY < of("lab2/sgd") - CLEARLY
    ),
    "a model whose weights are all 0 does not learn": lambda of: of("lab2/init_zeros") < CHANCE + CLEARLY,
    "a model whose weights are all 1 does not learn": lambda of: of("lab2/init_ones") < CHANCE + CLEARLY,
    "RMSprop below Adam on the L1 model": lambda of: of("lab2/l1_rmsprop") < of("lab2/l1_adam") - CLEARLY,
    "batch 8 takes longer an epoch than batch 128, with 16 times the updates": (
        lambda of: (
            of("lab2/batch8", "", "seconds_an_epoch") > of("lab2/l1", "", "seconds_an_epoch")
            and 15.9 < of("lab2/batch8", "", "steps_an_epoch") / of("lab2/l1", "", "steps_an_epoch") < 16.1
        )
    ),
    "patience 2 ends exercise 6 before its 100 epochs": lambda of: of("lab2/patience2", "", "last_epoch") < 100,
    "patience 2 ends exercise 7 before its 100 epochs": lambda of: of("lab2/cifar10_patience2", "", "last_epoch") < 100,
    "L1 of 0.01 drives the model to chance on CIFAR-10": lambda of: of("lab2/cifar10_l1") < CHANCE + CLEARLY,
    # lab4
    "parameter count of the simple network = 40,802": lambda of: of("lab4/simple_rnn", "", "parameters") == 40_802,
    "parameter count of the two simple layers = 121,002": (
        lambda of: of("lab4/simple_rnn_2", "", "parameters") == 121_002
    ),
    "raw word ids teach a simple recurrent network nothing": lambda of: abs(of("lab4/simple_rnn") - 0.5) < 0.03,
    "a second simple recurrent layer on raw word ids teaches nothing more": (
        lambda of: abs(of("lab4/simple_rnn_2") - 0.5) < 0.03
    ),
    "parameter count of the LSTM = 11,602,354": lambda of: of("lab4/lstm", "", "parameters") == 11_602_354,
    "parameter count of the two LSTMs = 11,669,922": lambda of: of("lab4/lstm_2", "", "parameters") == 11_669_922,
    "parameter count of the GRU = 11,537,154": lambda of: of("lab4/gru", "", "parameters") == 11_537_154,
    "the LSTM scores above 85 % where the simple network guesses": (
        lambda of: of("lab4/lstm") > 0.85 and of("lab4/simple_rnn") < 0.53
    ),
    "a second LSTM brings nothing": lambda of: of("lab4/lstm_2") < of("lab4/lstm") + EQUAL,
    # lab5
    "SGD 0.01 on raw pixels hardly learns": lambda of: of("lab5/sgd_raw") < 0.5,
    "SGD 0.01 on scaled pixels learns": lambda of: of("lab5/sgd_scaled") > 0.8,
    "batch 10,000 scores below batch 32": lambda of: of("lab5/batch10000") < of("lab5/batch32") - CLEARLY,
    "Adam 1e-1 on scaled pixels does not learn well": (
        lambda of: of("lab5/lr_scaled", "0.1") < of("lab5/lr_scaled", "0.001") - 0.1
    ),
    "Adam 1e-3 on scaled pixels is the best of the three rates after 5 epochs": (
        lambda of: of("lab5/lr_scaled", "0.001") > max(of("lab5/lr_scaled", "0.1"), of("lab5/lr_scaled", "1e-05"))
    ),
    "the gap between training and validation loss is smaller at Adam 1e-5 than at 1e-3": (
        lambda of: _gap(of, "1e-05") < _gap(of, "0.001")
    ),
    "Adam 1e-5 reaches in 100 epochs what 1e-3 reaches in 8": (
        lambda of: (
            abs(of("lab5/lr_scaled_100") - of("lab5/lr_scaled_8")) < EQUAL
            and of.epoch(8, "lab5/lr_scaled_100") < of("lab5/lr_scaled_8") - CLEARLY
            and of.epoch(50, "lab5/lr_scaled_100") < of("lab5/lr_scaled_100")
        )
    ),
    "learning rate 1e-1 on raw pixels does not train": lambda of: of("lab5/lr_raw", "0.1") < 0.2,
    "Adam 1e-3 on raw pixels scores below 1e-3 on scaled ones": (
        lambda of: of("lab5/lr_raw", "0.001") < of("lab5/lr_scaled", "0.001")
    ),
    "Adam 1e-5 on raw pixels scores as 1e-3 on scaled ones": (
        lambda of: abs(of("lab5/lr_raw", "1e-05") - of("lab5/lr_scaled", "0.001")) < EQUAL
    ),
    "the higher the learning rate, the wider the weights": _wider_with_the_rate,
    "at 1e-5 on raw pixels most weights lie within ±0.05": (
        lambda of: of("lab5/weight_histograms", "1e-05, none", "small_weights") > 0.9
    ),
    # regularization
    "validating after every batch takes most of the baseline's time": (
        lambda of: (
            of("regularization/baseline", "", "seconds") < of("regularization/baseline_as_done", "", "seconds") / 2
        )
    ),
    # mlp
    "8192 hidden units score above 64": lambda of: of("mlp/hidden_units", "[8192]") > of("mlp/hidden_units", "[64]"),
    "four hidden layers with N(0, 0.01²) stay at chance": (
        lambda of: of("mlp/depth", "[512, 256, 128, 64]") < CHANCE + CLEARLY
    ),
    "a single hidden unit holds accuracy below 45 %": lambda of: of("mlp/single_neuron") < 0.45,
    "learning rate 1 fails in 10 epochs": lambda of: of("mlp/learning_rate_10", "1") < 0.5,
    "learning rate 1 fails in 20 epochs": lambda of: of("mlp/learning_rate_20", "1") < 0.5,
    "learning rate 0.001 is too slow for 10 epochs": (
        lambda of: of("mlp/learning_rate_10", "0.001") < of("mlp/learning_rate_10", "0.1") - 0.1
    ),
    "learning rate 0.001 is too slow for 20 epochs": (
        lambda of: of("mlp/learning_rate_20", "0.001") < of("mlp/learning_rate_20", "0.1") - 0.1
    ),
    "batch 16 and 32 score above 95 % after 10 epochs, batch 1024 below 75 %": (
        lambda of: (
            min(of("mlp/batch_size", "16"), of("mlp/batch_size", "32")) > 0.95 and of("mlp/batch_size", "1024") < 0.75
        )
    ),
    "a batch of 1024 takes longer than one of 16": lambda of: (
        of("mlp/batch_size", "16", "milliseconds_a_batch") < of("mlp/batch_size", "1024", "milliseconds_a_batch")
    ),
}
