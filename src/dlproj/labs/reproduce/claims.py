"""What the documents conclude, and what we found beside it: each sentence with a check that can fail.

`reference.claims` of an experiment lists conclusions of its document, `reference.findings` our own. Accuracies are
fractions. Thresholds are chosen from the words alone: chance is 0.1 with ten classes, 0.5 with two.
"""

from collections.abc import Iterable
from itertools import pairwise

from dlproj.labs.reproduce.evidence import Check, Evidence

CHANCE = 0.1  # with ten classes
CLEARLY = 0.02  # what an accuracy must differ by where chance or noise could be the cause
EQUAL = 0.015  # accuracies that differ by less are called the same
NEAR_EPOCHS = 2  # "at about epoch 6" is 4 to 8
_FLAT = 0.005  # the most by which an accuracy without a trend rises or falls
_HALF = 0.55  # the most that rounds to half
_SWING = 0.01  # the least between the lowest and the highest of an accuracy that swings
_RATES = ("0.1", "0.001", "1e-05")
_ACTIVATIONS = ("relu", "sigmoid", "tanh", "leaky_relu", "elu")
_LEARNING_RATES = ("0.001", "0.01", "0.1", "0.3", "0.5", "1")
_BATCHES = ("16", "32", "64", "128", "256", "512", "1024")
_TRIALS = ("512_b128", "512_b64", "512_b32", "256_256", "128_256")


def _falling(values: Iterable[float]) -> list[bool]:
    return [after < before for before, after in pairwise(values)]


def _best(of: Evidence, experiment: str, winner: str, labels: Iterable[str]) -> list[bool]:
    """True if the winner has a higher test accuracy than each other."""
    return [of(experiment, winner) > of(experiment, label) for label in labels if label != winner]


def _near(values: Iterable[float], wanted: float, within: float) -> list[bool]:
    return [abs(value - wanted) < within for value in values]


def _settles(of: Evidence, experiment: str, epoch: int) -> list[bool]:
    """True if training and validation loss stop falling at about this epoch."""
    found = [of.curve("settled epoch", experiment, "", metric) for metric in ("train/loss", "val/loss")]
    return [abs(one - epoch) <= NEAR_EPOCHS for one in found]


def _swings(of: Evidence, experiment: str) -> list[bool]:
    """True if the accuracies of training and validation round to 48 to 53 %, and go up and down between."""
    parts = []
    for metric in ("train/accuracy", "val/accuracy"):
        lowest, highest = (of.curve(name, experiment, "", metric) for name in ("lowest", "highest"))
        parts += [lowest >= 0.475, highest < 0.535, highest - lowest > _SWING]
    return parts


def _by_rate(of: Evidence, quantity: str) -> list[bool]:
    """True if a quantity of lab5's weights falls from the highest rate to the lowest, on both scales of pixels."""
    found = [
        [of("lab5/weight_histograms", f"{rate}, {scaling}", quantity) for rate in _RATES]
        for scaling in ("unit", "none")
    ]
    return [part for values in found for part in _falling(values)]


def _overfits_more(of: Evidence, experiment: str, label: str, other: str) -> bool:
    """True if the gap between both accuracies is wider at one point of an experiment than at another."""
    return of(experiment, label, "accuracy_gap") > of(experiment, other, "accuracy_gap")


_DEEP, _SHALLOW = "[512, 256, 128, 64]", "[256, 128]"

CLAIMS: dict[str, Check] = {
    # lab2
    "a penalty costs the plain model some accuracy": lambda of: of("lab2/regularized") < of("lab2/plain"),
    "L1 of 0.01 drives the model to chance": lambda of: of("lab2/l1") < CHANCE + CLEARLY,
    "a model whose weights are all 0 does not learn": lambda of: of("lab2/init_zeros") < CHANCE + CLEARLY,
    "a model whose weights are all 1 does not learn": lambda of: of("lab2/init_ones") < CHANCE + CLEARLY,
    "RMSprop below Adam on the L1 model": lambda of: of("lab2/l1_rmsprop") < of("lab2/l1_adam"),
    "batch 8 takes longer an epoch than batch 128, with 16 times the updates": (
        lambda of: [
            of("lab2/batch8", "", "seconds_an_epoch") > of("lab2/l1", "", "seconds_an_epoch"),
            15.9 < of("lab2/batch8", "", "steps_an_epoch") / of("lab2/l1", "", "steps_an_epoch") < 16.1,
        ]
    ),
    "patience 2 ends exercise 6 before its 100 epochs": lambda of: of("lab2/patience2", "", "last_epoch") < 100,
    "patience 2 ends exercise 7 before its 100 epochs": lambda of: of("lab2/cifar10_patience2", "", "last_epoch") < 100,
    "L1 of 0.01 drives the model to chance on CIFAR-10": lambda of: of("lab2/cifar10_l1") < CHANCE + CLEARLY,
    # lab4
    "raw word ids teach a simple recurrent network nothing": lambda of: abs(of("lab4/simple_rnn") - 0.5) < 0.03,
    "a second simple recurrent layer on raw word ids teaches nothing more": (
        lambda of: abs(of("lab4/simple_rnn_2") - 0.5) < 0.03
    ),
    "exercise 1's losses stop falling at about epoch 5": lambda of: _settles(of, "lab4/simple_rnn", 5),
    "exercise 2's losses stop falling at about epoch 10": lambda of: _settles(of, "lab4/simple_rnn_2", 10),
    "exercise 3's losses stop falling at about epoch 6": lambda of: _settles(of, "lab4/lstm", 6),
    "exercise 4's losses stop falling at about epoch 6": lambda of: _settles(of, "lab4/lstm_2", 6),
    "exercise 5's losses stop falling at about epoch 6": lambda of: _settles(of, "lab4/gru", 6),
    "exercise 1's accuracies swing between 48 and 53 %": lambda of: _swings(of, "lab4/simple_rnn"),
    "exercise 2's accuracies swing between 48 and 53 %": lambda of: _swings(of, "lab4/simple_rnn_2"),
    "exercise 1's training accuracy has a rising trend": (
        lambda of: of.curve("trend", "lab4/simple_rnn", "", "train/accuracy") > _FLAT
    ),
    "exercise 2's training accuracy has a rising trend": (
        lambda of: of.curve("trend", "lab4/simple_rnn_2", "", "train/accuracy") > _FLAT
    ),
    "exercise 1's validation accuracy has no trend": (
        lambda of: abs(of.curve("trend", "lab4/simple_rnn", "", "val/accuracy")) < _FLAT
    ),
    "exercise 2's validation accuracy has no trend": (
        lambda of: abs(of.curve("trend", "lab4/simple_rnn_2", "", "val/accuracy")) < _FLAT
    ),
    "the GRU scores about as well as the LSTM": lambda of: abs(of("lab4/gru") - of("lab4/lstm")) < EQUAL,
    "the LSTM scores above 85 % where the simple network guesses": (
        lambda of: [of("lab4/lstm") > 0.85, of("lab4/simple_rnn") < 0.53]
    ),
    "a second LSTM brings nothing": lambda of: of("lab4/lstm_2") < of("lab4/lstm") + EQUAL,
    # lab5
    "training and validation accuracy are about 85 % at batch 32": lambda of: _near(
        [of("lab5/batch32", "", f"{split}/accuracy") for split in ("train_eval", "val")], 0.85, EQUAL
    ),
    "SGD 0.01 on raw pixels hardly learns": lambda of: of("lab5/sgd_raw") < 0.5,
    "SGD 0.01 on scaled pixels learns": lambda of: of("lab5/sgd_scaled") > 0.8,
    "batch 10,000 scores below batch 32": lambda of: of("lab5/batch10000") < of("lab5/batch32"),
    "batch 32 overfits more than batch 10,000": (
        lambda of: of("lab5/batch32", "", "accuracy_gap") > of("lab5/batch10000", "", "accuracy_gap")
    ),
    "Adam 1e-1 on scaled pixels does not learn well": (
        lambda of: of("lab5/lr_scaled", "0.1") < of("lab5/lr_scaled", "0.001") - 0.1
    ),
    "Adam 1e-3 on scaled pixels is the best of the three rates after 5 epochs": (
        lambda of: _best(of, "lab5/lr_scaled", "0.001", _RATES)
    ),
    "the gap between training and validation loss is smaller at Adam 1e-5 than at 1e-3": (
        lambda of: of("lab5/lr_scaled", "1e-05", "loss_gap") < of("lab5/lr_scaled", "0.001", "loss_gap")
    ),
    "Adam 1e-5 reaches in 100 epochs what 1e-3 reaches in 8": (
        lambda of: [
            abs(of("lab5/lr_scaled_100") - of("lab5/lr_scaled_8")) < EQUAL,
            of.epoch(8, "lab5/lr_scaled_100") < of("lab5/lr_scaled_8") - CLEARLY,
            of.epoch(50, "lab5/lr_scaled_100") < of("lab5/lr_scaled_100"),
        ]
    ),
    "learning rate 1e-1 on raw pixels does not train": lambda of: of("lab5/lr_raw", "0.1") < 0.2,
    "Adam 1e-3 on raw pixels scores below 1e-3 on scaled ones": (
        lambda of: of("lab5/lr_raw", "0.001") < of("lab5/lr_scaled", "0.001")
    ),
    "Adam 1e-5 on raw pixels scores as 1e-3 on scaled ones": (
        lambda of: abs(of("lab5/lr_raw", "1e-05") - of("lab5/lr_scaled", "0.001")) < EQUAL
    ),
    "Adam 1e-5 on raw pixels overfits more than 1e-3 on scaled ones": lambda of: (
        of("lab5/lr_raw", "1e-05", "accuracy_gap") > of("lab5/lr_scaled", "0.001", "accuracy_gap")
    ),
    "the higher the learning rate, the wider the weights": lambda of: _by_rate(of, "weight_deviation"),
    "the wider the weights, the more the model overfits": (
        lambda of: [*_by_rate(of, "weight_deviation"), *_by_rate(of, "accuracy_gap")]
    ),
    "the widest weights, at 1e-1, are of a model that is wrong on its training set, too": lambda of: [
        of("lab5/weight_histograms", f"0.1, {scaling}", "train_eval/accuracy") < 0.6 for scaling in ("unit", "none")
    ],
    "at 1e-5 on raw pixels most weights lie within ±0.05": (
        lambda of: of("lab5/weight_histograms", "1e-05, none", "small_weights") > 0.9
    ),
    # regularization
    "all three together score below the model without regularisation": (
        lambda of: of("regularization/altogether") < of("regularization/baseline")
    ),
    "a GPU halves the time": lambda of: (
        of("regularization/baseline_as_done", "", "seconds_on_gpu")
        < _HALF * of("regularization/baseline_as_done", "", "seconds_on_cpu")
    ),
    "validating after every batch takes most of the baseline's time": (
        lambda of: (
            of("regularization/baseline", "", "seconds") < of("regularization/baseline_as_done", "", "seconds") / 2
        )
    ),
    # mlp
    "8192 hidden units score above 64": lambda of: of("mlp/hidden_units", "[8192]") > of("mlp/hidden_units", "[64]"),
    "four hidden layers with N(0, 0.01²) stay at chance": lambda of: of("mlp/depth", _DEEP) < CHANCE + CLEARLY,
    "four hidden layers overfit more than two": lambda of: _overfits_more(of, "mlp/depth", _DEEP, _SHALLOW),
    "the same four hidden layers with Xavier's weights learn": lambda of: of("mlp/depth_xavier") > 0.8,
    "a single hidden unit holds accuracy below 45 %": lambda of: of("mlp/single_neuron") < 0.45,
    "learning rate 0.3 is the best in 10 epochs": (
        lambda of: _best(of, "mlp/learning_rate_10", "0.3", _LEARNING_RATES)
    ),
    "learning rate 0.5 is the best in 20 epochs": (
        lambda of: _best(of, "mlp/learning_rate_20", "0.5", _LEARNING_RATES)
    ),
    "learning rate 1 fails in 10 epochs": lambda of: of("mlp/learning_rate_10", "1") < 0.5,
    "learning rate 1 fails in 20 epochs": lambda of: of("mlp/learning_rate_20", "1") < 0.5,
    "learning rate 0.001 is too slow for 10 epochs": (
        lambda of: of("mlp/learning_rate_10", "0.001") < of("mlp/learning_rate_10", "0.1") - 0.1
    ),
    "learning rate 0.001 is too slow for 20 epochs": (
        lambda of: of("mlp/learning_rate_20", "0.001") < of("mlp/learning_rate_20", "0.1") - 0.1
    ),
    "[512] at 0.1 and batch 128 is the best of the five trials": (
        lambda of: _best(of, "mlp/random_search", "512_b128", _TRIALS)
    ),
    "tanh scores highest of the five activations": lambda of: _best(of, "mlp/activations", "tanh", _ACTIVATIONS),
    "sigmoid scores lowest of the five activations": lambda of: [
        of("mlp/activations", "sigmoid") < of("mlp/activations", other) for other in _ACTIVATIONS if other != "sigmoid"
    ],
    "total time falls as the batch grows": (
        lambda of: _falling([of("mlp/batch_size", size, "seconds") for size in _BATCHES])
    ),
    "time a batch rises with the batch size": lambda of: _falling(
        [of("mlp/batch_size", size, "total_milliseconds_a_batch") for size in reversed(_BATCHES)]
    ),
    "batch 16 overfits more than batch 1024": lambda of: _overfits_more(of, "mlp/batch_size_gap", "16", "1024"),
    "batch 1024 is as wrong on its training set after 10 epochs": lambda of: [
        abs(of("mlp/batch_size_gap", "1024", "accuracy_gap")) < CLEARLY,
        of("mlp/batch_size_gap", "1024", "train_eval/accuracy") < 0.75,
    ],
    "batch 16 and 32 score above 95 % after 10 epochs, batch 1024 below 75 %": lambda of: [
        of("mlp/batch_size", "16") > 0.95,
        of("mlp/batch_size", "32") > 0.95,
        of("mlp/batch_size", "1024") < 0.75,
    ],
}
