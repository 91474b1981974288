"""Each claim holds on figures as the documents have them and fails on others."""

import pytest

from dlproj.labs.reproduce.claims import CLAIMS

ACCURACY = "test/accuracy"
RATES = ("0.1", "0.001", "1e-05")

# Figures on which every claim holds: (experiment, label, quantity) to a mean.
HELD = {
    ("lab2/plain", "", ACCURACY): 0.857,
    ("lab2/regularized", "", ACCURACY): 0.848,
    ("lab2/l1", "", ACCURACY): 0.0989,
    ("lab2/cifar10_l1", "", ACCURACY): 0.1,
    ("lab2/init_zeros", "", ACCURACY): 0.1,
    ("lab2/init_ones", "", ACCURACY): 0.1,
    ("lab2/l1_rmsprop", "", ACCURACY): 0.74,
    ("lab2/l1_adam", "", ACCURACY): 0.84,
    ("lab2/batch8", "", "seconds_an_epoch"): 20,
    ("lab2/l1", "", "seconds_an_epoch"): 3,
    ("lab2/batch8", "", "steps_an_epoch"): 6750,
    ("lab2/l1", "", "steps_an_epoch"): 422,
    ("lab2/patience2", "", "last_epoch"): 12,
    ("lab2/cifar10_patience2", "", "last_epoch"): 12,
    ("lab4/simple_rnn", "", ACCURACY): 0.4997,
    ("lab4/simple_rnn_2", "", ACCURACY): 0.4998,
    ("lab4/lstm", "", ACCURACY): 0.8757,
    ("lab4/lstm_2", "", ACCURACY): 0.8619,
    ("lab4/gru", "", ACCURACY): 0.8729,
    **{
        (f"lab4/{name}", "", f"settled epoch of {split}/loss"): epoch
        for split in ("train", "val")
        for name, epoch in (("simple_rnn", 5), ("simple_rnn_2", 10), ("lstm", 6), ("lstm_2", 6), ("gru", 6))
    },
    **{
        (f"lab4/{name}", "", f"{statistic} of {split}/accuracy"): value
        for split in ("train", "val")
        for name in ("simple_rnn", "simple_rnn_2")
        for statistic, value in (("lowest", 0.48), ("highest", 0.53))
    },
    **{
        (f"lab4/{name}", "", f"trend of {split}/accuracy"): value
        for name in ("simple_rnn", "simple_rnn_2")
        for split, value in (("train", 0.01), ("val", 0.001))
    },
    ("lab5/sgd_raw", "", ACCURACY): 0.1,
    ("lab5/sgd_scaled", "", ACCURACY): 0.85,
    ("lab5/batch32", "", ACCURACY): 0.85,
    ("lab5/batch10000", "", ACCURACY): 0.8,
    ("lab5/lr_scaled", "0.1", ACCURACY): 0.5,
    ("lab5/lr_scaled", "0.001", ACCURACY): 0.88,
    ("lab5/lr_scaled", "1e-05", ACCURACY): 0.8,
    ("lab5/lr_scaled", "1e-05", "loss_gap"): 0.01,
    ("lab5/lr_scaled", "0.001", "loss_gap"): 0.06,
    ("lab5/batch32", "", "train_eval/accuracy"): 0.85,
    ("lab5/batch32", "", "val/accuracy"): 0.85,
    ("lab5/batch32", "", "accuracy_gap"): 0.02,
    ("lab5/batch10000", "", "accuracy_gap"): 0.01,
    ("lab5/lr_raw", "1e-05", "accuracy_gap"): 0.05,
    ("lab5/lr_scaled", "0.001", "accuracy_gap"): 0.02,
    **{
        ("lab5/weight_histograms", f"{rate}, {scaling}", "accuracy_gap"): float(rate)
        for rate in RATES
        for scaling in ("unit", "none")
    },
    ("lab5/weight_histograms", "0.1, unit", "train_eval/accuracy"): 0.3,
    ("lab5/weight_histograms", "0.1, none", "train_eval/accuracy"): 0.1,
    ("lab5/lr_scaled_8", "", ACCURACY): 0.89,
    ("lab5/lr_scaled_100", "", ACCURACY): 0.89,
    ("lab5/lr_scaled_100", "", "val/accuracy after 8"): 0.8,
    ("lab5/lr_scaled_100", "", "val/accuracy after 50"): 0.88,
    ("lab5/lr_raw", "0.1", ACCURACY): 0.1,
    ("lab5/lr_raw", "0.001", ACCURACY): 0.86,
    ("lab5/lr_raw", "1e-05", ACCURACY): 0.88,
    **{
        ("lab5/weight_histograms", f"{rate}, {scaling}", "weight_deviation"): float(rate)
        for rate in RATES
        for scaling in ("unit", "none")
    },
    ("lab5/weight_histograms", "1e-05, none", "small_weights"): 0.95,
    ("regularization/altogether", "", ACCURACY): 0.8117,
    ("regularization/baseline", "", ACCURACY): 0.85,
    ("regularization/baseline_as_done", "", "seconds_on_gpu"): 150,
    ("regularization/baseline_as_done", "", "seconds_on_cpu"): 300,
    ("regularization/baseline", "", "seconds"): 10,
    ("regularization/baseline_as_done", "", "seconds"): 300,
    ("mlp/hidden_units", "[64]", ACCURACY): 0.84,
    ("mlp/hidden_units", "[8192]", ACCURACY): 0.86,
    ("mlp/depth", "[512, 256, 128, 64]", ACCURACY): 0.1,
    ("mlp/depth_xavier", "", ACCURACY): 0.86,
    ("mlp/depth", "[512, 256, 128, 64]", "accuracy_gap"): 0.03,
    ("mlp/depth", "[256, 128]", "accuracy_gap"): 0.02,
    ("mlp/single_neuron", "", ACCURACY): 0.36,
    **{
        ("mlp/learning_rate_10", rate, ACCURACY): accuracy
        for rate, accuracy in (
            ("0.001", 0.53),
            ("0.01", 0.77),
            ("0.1", 0.846),
            ("0.3", 0.858),
            ("0.5", 0.848),
            ("1", 0.16),
        )
    },
    **{
        ("mlp/learning_rate_20", rate, ACCURACY): accuracy
        for rate, accuracy in (
            ("0.001", 0.62),
            ("0.01", 0.81),
            ("0.1", 0.85),
            ("0.3", 0.873),
            ("0.5", 0.879),
            ("1", 0.1),
        )
    },
    **{
        ("mlp/activations", name, ACCURACY): accuracy
        for name, accuracy in (
            ("relu", 0.8701),
            ("sigmoid", 0.8665),
            ("tanh", 0.8794),
            ("leaky_relu", 0.8731),
            ("elu", 0.8723),
        )
    },
    **{
        ("mlp/random_search", name, ACCURACY): accuracy
        for name, accuracy in (
            ("512_b128", 0.8747),
            ("512_b64", 0.8726),
            ("512_b32", 0.8573),
            ("256_256", 0.8664),
            ("128_256", 0.8345),
        )
    },
    **{
        ("mlp/batch_size", size, name): value
        for name, values in (
            ("seconds", (7.71, 3.91, 2.14, 1.26, 0.82, 0.68, 0.56)),
            ("total_milliseconds_a_batch", (1.54, 1.57, 1.71, 1.99, 2.56, 4.27, 7.0)),
        )
        for size, value in zip(("16", "32", "64", "128", "256", "512", "1024"), values, strict=True)
    },
    ("mlp/batch_size_gap", "16", "accuracy_gap"): 0.01,
    ("mlp/batch_size_gap", "1024", "accuracy_gap"): 0.002,
    ("mlp/batch_size_gap", "1024", "train_eval/accuracy"): 0.6,
    ("mlp/batch_size", "16", ACCURACY): 0.98,
    ("mlp/batch_size", "32", ACCURACY): 0.99,
    ("mlp/batch_size", "1024", ACCURACY): 0.6,
}

# For each claim the figures that, each changed alone, make it fail.
FAILS = {
    "a penalty costs the plain model some accuracy": [("lab2/regularized", "", ACCURACY, 0.86)],
    "L1 of 0.01 drives the model to chance": [("lab2/l1", "", ACCURACY, 0.25)],
    "a model whose weights are all 0 does not learn": [("lab2/init_zeros", "", ACCURACY, 0.2)],
    "a model whose weights are all 1 does not learn": [("lab2/init_ones", "", ACCURACY, 0.2)],
    "RMSprop below Adam on the L1 model": [("lab2/l1_rmsprop", "", ACCURACY, 0.841)],
    "batch 8 takes longer an epoch than batch 128, with 16 times the updates": [
        ("lab2/batch8", "", "steps_an_epoch", 422),
        ("lab2/batch8", "", "seconds_an_epoch", 2),
    ],
    "patience 2 ends exercise 6 before its 100 epochs": [("lab2/patience2", "", "last_epoch", 100)],
    "patience 2 ends exercise 7 before its 100 epochs": [("lab2/cifar10_patience2", "", "last_epoch", 100)],
    "L1 of 0.01 drives the model to chance on CIFAR-10": [("lab2/cifar10_l1", "", ACCURACY, 0.2)],
    "raw word ids teach a simple recurrent network nothing": [
        ("lab4/simple_rnn", "", ACCURACY, 0.55),
        ("lab4/simple_rnn", "", ACCURACY, 0.45),
    ],
    "a second simple recurrent layer on raw word ids teaches nothing more": [("lab4/simple_rnn_2", "", ACCURACY, 0.55)],
    "the LSTM scores above 85 % where the simple network guesses": [
        ("lab4/lstm", "", ACCURACY, 0.84),
        ("lab4/simple_rnn", "", ACCURACY, 0.6),
    ],
    "exercise 1's losses stop falling at about epoch 5": [
        ("lab4/simple_rnn", "", "settled epoch of train/loss", 8),
        ("lab4/simple_rnn", "", "settled epoch of val/loss", 2),
    ],
    "exercise 2's losses stop falling at about epoch 10": [
        ("lab4/simple_rnn_2", "", "settled epoch of train/loss", 13),
        ("lab4/simple_rnn_2", "", "settled epoch of val/loss", 7),
    ],
    **{
        f"exercise {number}'s losses stop falling at about epoch 6": [
            (f"lab4/{name}", "", "settled epoch of train/loss", 9),
            (f"lab4/{name}", "", "settled epoch of val/loss", 3),
        ]
        for number, name in ((3, "lstm"), (4, "lstm_2"), (5, "gru"))
    },
    **{
        f"exercise {number}'s accuracies swing between 48 and 53 %": [
            (f"lab4/{name}", "", "lowest of val/accuracy", 0.47),
            (f"lab4/{name}", "", "highest of train/accuracy", 0.54),
            (f"lab4/{name}", "", "lowest of train/accuracy", 0.525),
        ]
        for number, name in ((1, "simple_rnn"), (2, "simple_rnn_2"))
    },
    **{
        f"exercise {number}'s training accuracy has a rising trend": [
            (f"lab4/{name}", "", "trend of train/accuracy", 0.004)
        ]
        for number, name in ((1, "simple_rnn"), (2, "simple_rnn_2"))
    },
    **{
        f"exercise {number}'s validation accuracy has no trend": [
            (f"lab4/{name}", "", "trend of val/accuracy", 0.02),
            (f"lab4/{name}", "", "trend of val/accuracy", -0.02),
        ]
        for number, name in ((1, "simple_rnn"), (2, "simple_rnn_2"))
    },
    "the GRU scores about as well as the LSTM": [("lab4/gru", "", ACCURACY, 0.85), ("lab4/gru", "", ACCURACY, 0.9)],
    "a second LSTM brings nothing": [("lab4/lstm_2", "", ACCURACY, 0.892)],
    "SGD 0.01 on raw pixels hardly learns": [("lab5/sgd_raw", "", ACCURACY, 0.6)],
    "SGD 0.01 on scaled pixels learns": [("lab5/sgd_scaled", "", ACCURACY, 0.7)],
    "batch 10,000 scores below batch 32": [("lab5/batch10000", "", ACCURACY, 0.85)],
    "Adam 1e-1 on scaled pixels does not learn well": [("lab5/lr_scaled", "0.1", ACCURACY, 0.8)],
    "Adam 1e-3 on scaled pixels is the best of the three rates after 5 epochs": [
        ("lab5/lr_scaled", "1e-05", ACCURACY, 0.89),
        ("lab5/lr_scaled", "0.1", ACCURACY, 0.89),
    ],
    "the gap between training and validation loss is smaller at Adam 1e-5 than at 1e-3": [
        ("lab5/lr_scaled", "1e-05", "loss_gap", 0.1)
    ],
    "training and validation accuracy are about 85 % at batch 32": [
        ("lab5/batch32", "", "train_eval/accuracy", 0.87),
        ("lab5/batch32", "", "val/accuracy", 0.83),
    ],
    "batch 32 overfits more than batch 10,000": [("lab5/batch10000", "", "accuracy_gap", 0.03)],
    "Adam 1e-5 on raw pixels overfits more than 1e-3 on scaled ones": [("lab5/lr_raw", "1e-05", "accuracy_gap", 0.01)],
    "the wider the weights, the more the model overfits": [
        ("lab5/weight_histograms", "0.1, none", "accuracy_gap", 0.0),
        ("lab5/weight_histograms", "0.1, none", "weight_deviation", 0.0),
        ("lab5/weight_histograms", "1e-05, unit", "accuracy_gap", 0.2),
    ],
    "the widest weights, at 1e-1, are of a model that is wrong on its training set, too": [
        ("lab5/weight_histograms", "0.1, unit", "train_eval/accuracy", 0.9),
        ("lab5/weight_histograms", "0.1, none", "train_eval/accuracy", 0.9),
    ],
    "Adam 1e-5 reaches in 100 epochs what 1e-3 reaches in 8": [
        ("lab5/lr_scaled_100", "", "val/accuracy after 8", 0.89),
        ("lab5/lr_scaled_100", "", "val/accuracy after 50", 0.891),
        ("lab5/lr_scaled_100", "", ACCURACY, 0.87),
    ],
    "learning rate 1e-1 on raw pixels does not train": [("lab5/lr_raw", "0.1", ACCURACY, 0.3)],
    "Adam 1e-3 on raw pixels scores below 1e-3 on scaled ones": [("lab5/lr_raw", "0.001", ACCURACY, 0.89)],
    "Adam 1e-5 on raw pixels scores as 1e-3 on scaled ones": [
        ("lab5/lr_raw", "1e-05", ACCURACY, 0.85),
        ("lab5/lr_raw", "1e-05", ACCURACY, 0.91),
    ],
    "the higher the learning rate, the wider the weights": [
        ("lab5/weight_histograms", "0.001, none", "weight_deviation", 0.2),
        ("lab5/weight_histograms", "1e-05, unit", "weight_deviation", 0.2),
    ],
    "at 1e-5 on raw pixels most weights lie within ±0.05": [
        ("lab5/weight_histograms", "1e-05, none", "small_weights", 0.8)
    ],
    "validating after every batch takes most of the baseline's time": [
        ("regularization/baseline_as_done", "", "seconds", 15)
    ],
    "all three together score below the model without regularisation": [
        ("regularization/altogether", "", ACCURACY, 0.86)
    ],
    "a GPU halves the time": [("regularization/baseline_as_done", "", "seconds_on_gpu", 250)],
    "8192 hidden units score above 64": [("mlp/hidden_units", "[8192]", ACCURACY, 0.83)],
    "four hidden layers with N(0, 0.01²) stay at chance": [("mlp/depth", "[512, 256, 128, 64]", ACCURACY, 0.2)],
    "a single hidden unit holds accuracy below 45 %": [("mlp/single_neuron", "", ACCURACY, 0.5)],
    "learning rate 1 fails in 10 epochs": [("mlp/learning_rate_10", "1", ACCURACY, 0.8)],
    "learning rate 1 fails in 20 epochs": [("mlp/learning_rate_20", "1", ACCURACY, 0.8)],
    "learning rate 0.001 is too slow for 10 epochs": [("mlp/learning_rate_10", "0.001", ACCURACY, 0.8)],
    "learning rate 0.001 is too slow for 20 epochs": [("mlp/learning_rate_20", "0.001", ACCURACY, 0.8)],
    "batch 16 and 32 score above 95 % after 10 epochs, batch 1024 below 75 %": [
        ("mlp/batch_size", "1024", ACCURACY, 0.8),
        ("mlp/batch_size", "16", ACCURACY, 0.9),
        ("mlp/batch_size", "32", ACCURACY, 0.9),
    ],
    "four hidden layers overfit more than two": [("mlp/depth", "[256, 128]", "accuracy_gap", 0.05)],
    "the same four hidden layers with Xavier's weights learn": [("mlp/depth_xavier", "", ACCURACY, 0.1)],
    "learning rate 0.3 is the best in 10 epochs": [("mlp/learning_rate_10", "0.5", ACCURACY, 0.87)],
    "learning rate 0.5 is the best in 20 epochs": [("mlp/learning_rate_20", "0.3", ACCURACY, 0.88)],
    "[512] at 0.1 and batch 128 is the best of the five trials": [("mlp/random_search", "512_b64", ACCURACY, 0.88)],
    "tanh scores highest of the five activations": [("mlp/activations", "relu", ACCURACY, 0.88)],
    "sigmoid scores lowest of the five activations": [("mlp/activations", "elu", ACCURACY, 0.86)],
    "total time falls as the batch grows": [("mlp/batch_size", "512", "seconds", 0.5)],
    "time a batch rises with the batch size": [("mlp/batch_size", "16", "total_milliseconds_a_batch", 1.6)],
    "batch 16 overfits more than batch 1024": [("mlp/batch_size_gap", "16", "accuracy_gap", 0.0)],
    "batch 1024 is as wrong on its training set after 10 epochs": [
        ("mlp/batch_size_gap", "1024", "accuracy_gap", 0.1),
        ("mlp/batch_size_gap", "1024", "train_eval/accuracy", 0.9),
    ],
}


class Figures:
    """Stands for Evidence, with figures of a table."""

    def __init__(self, figures):
        self.figures = figures

    def __call__(self, experiment, label="", quantity=ACCURACY):
        return self.figures[experiment, label, quantity]

    def epoch(self, number, experiment, label="", metric="val/accuracy"):
        return self.figures[experiment, label, f"{metric} after {number}"]

    def curve(self, statistic, experiment, label="", metric="val/loss"):
        return self.figures[experiment, label, f"{statistic} of {metric}"]


def holds(claim, figures):
    parts = CLAIMS[claim](Figures(figures))
    return all(parts) if isinstance(parts, list) else parts


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_holds_where_the_figures_say_so_and_fails_where_one_of_them_does_not(claim):
    assert holds(claim, HELD)
    for *key, contrary in FAILS[claim]:
        assert tuple(key) in HELD
        assert not holds(claim, HELD | {tuple(key): contrary}), (key, contrary)
