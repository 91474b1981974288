"""Each claim holds on figures as the documents have them and fails on others; means and evidence are the runs' own."""

import pytest
from folders import write_run

from dlproj.reproduce.claims import CLAIMS, judge
from dlproj.results.record import read_run

ACCURACY = "test/accuracy"
RATES = ("0.1", "0.001", "1e-05")

# Figures on which every claim holds: (experiment, label, quantity) to a mean.
HELD = {
    ("lab2/survey", "", "training_samples"): 60_000, ("lab2/survey", "", "test_samples"): 10_000,
    ("lab2/survey", "", "height"): 28, ("lab2/survey", "", "width"): 28, ("lab2/survey", "", "classes"): 10,
    ("lab2/plain", "", "parameters"): 623_290, ("lab2/sgd", "", ACCURACY): 0.3,
    ("lab2/plain", "", ACCURACY): 0.857, ("lab2/regularized", "", ACCURACY): 0.848,
    ("lab2/l1", "", ACCURACY): 0.0989, ("lab2/cifar10_l1", "", ACCURACY): 0.1,
    ("lab2/init_zeros", "", ACCURACY): 0.1, ("lab2/init_ones", "", ACCURACY): 0.1,
    ("lab2/l1_rmsprop", "", ACCURACY): 0.74, ("lab2/l1_adam", "", ACCURACY): 0.84,
    ("lab2/batch8", "", "seconds_an_epoch"): 20, ("lab2/l1", "", "seconds_an_epoch"): 3,
    ("lab2/batch8", "", "steps_an_epoch"): 6750, ("lab2/l1", "", "steps_an_epoch"): 422,
    ("lab2/patience2", "", "last_epoch"): 12, ("lab2/cifar10_patience2", "", "last_epoch"): 12,
    ("lab4/simple_rnn", "", "parameters"): 40_802, ("lab4/simple_rnn_2", "", "parameters"): 121_002,
    ("lab4/simple_rnn", "", ACCURACY): 0.4997, ("lab4/simple_rnn_2", "", ACCURACY): 0.4998,
    ("lab4/lstm", "", ACCURACY): 0.8757, ("lab4/lstm_2", "", ACCURACY): 0.8619,
    ("lab4/lstm", "", "parameters"): 11_602_354, ("lab4/lstm_2", "", "parameters"): 11_669_922,
    ("lab4/gru", "", "parameters"): 11_537_154,
    ("lab5/sgd_raw", "", ACCURACY): 0.1, ("lab5/sgd_scaled", "", ACCURACY): 0.85,
    ("lab5/batch32", "", ACCURACY): 0.85, ("lab5/batch10000", "", ACCURACY): 0.8,
    ("lab5/lr_scaled", "0.1", ACCURACY): 0.5, ("lab5/lr_scaled", "0.001", ACCURACY): 0.88,
    ("lab5/lr_scaled", "1e-05", ACCURACY): 0.8,
    ("lab5/lr_scaled", "1e-05", "val/loss"): 0.5, ("lab5/lr_scaled", "1e-05", "train/loss"): 0.5,
    ("lab5/lr_scaled", "0.001", "val/loss"): 0.35, ("lab5/lr_scaled", "0.001", "train/loss"): 0.3,
    ("lab5/lr_scaled_8", "", ACCURACY): 0.89, ("lab5/lr_scaled_100", "", ACCURACY): 0.89,
    ("lab5/lr_scaled_100", "", "val/accuracy after 8"): 0.8, ("lab5/lr_scaled_100", "", "val/accuracy after 50"): 0.88,
    ("lab5/lr_raw", "0.1", ACCURACY): 0.1, ("lab5/lr_raw", "0.001", ACCURACY): 0.86,
    ("lab5/lr_raw", "1e-05", ACCURACY): 0.88,
    **{("lab5/weight_histograms", f"{rate}, {scaling}", "weight_deviation"): float(rate)
       for rate in RATES for scaling in ("unit", "none")},
    ("lab5/weight_histograms", "1e-05, none", "small_weights"): 0.95,
    ("regularization/baseline", "", "seconds"): 10, ("regularization/baseline_as_done", "", "seconds"): 300,
    ("mlp/hidden_units", "[64]", ACCURACY): 0.84, ("mlp/hidden_units", "[8192]", ACCURACY): 0.86,
    ("mlp/depth", "[512, 256, 128, 64]", ACCURACY): 0.1, ("mlp/single_neuron", "", ACCURACY): 0.36,
    **{(f"mlp/learning_rate_{epochs}", rate, ACCURACY): accuracy
       for epochs in (10, 20) for rate, accuracy in (("0.001", 0.53), ("0.1", 0.85), ("1", 0.1))},
    ("mlp/batch_size", "16", ACCURACY): 0.98, ("mlp/batch_size", "32", ACCURACY): 0.99,
    ("mlp/batch_size", "1024", ACCURACY): 0.6,
    ("mlp/batch_size", "16", "milliseconds_a_batch"): 1.5, ("mlp/batch_size", "1024", "milliseconds_a_batch"): 7.0,
}  # fmt: skip

# For each claim the figures that, each changed alone, make it fail.
FAILS = {
    "60,000 training and 10,000 test images of 28 × 28 in 10 classes": [
        ("lab2/survey", "", "training_samples", 59_999), ("lab2/survey", "", "test_samples", 9_999),
        ("lab2/survey", "", "height", 14), ("lab2/survey", "", "width", 56), ("lab2/survey", "", "classes", 9)],
    "parameter count of the plain model = 623,290": [("lab2/plain", "", "parameters", 623_280)],
    "a penalty costs the plain model some accuracy": [("lab2/regularized", "", ACCURACY, 0.86)],
    "L1 of 0.01 drives the model to chance, where without it SGD 0.01 scores clearly more": [
        ("lab2/l1", "", ACCURACY, 0.25), ("lab2/sgd", "", ACCURACY, 0.13)],
    "a model whose weights are all 0 does not learn": [("lab2/init_zeros", "", ACCURACY, 0.2)],
    "a model whose weights are all 1 does not learn": [("lab2/init_ones", "", ACCURACY, 0.2)],
    "RMSprop below Adam on the L1 model": [("lab2/l1_rmsprop", "", ACCURACY, 0.83)],
    "batch 8 takes longer an epoch than batch 128, with 16 times the updates": [
        ("lab2/batch8", "", "steps_an_epoch", 422), ("lab2/batch8", "", "seconds_an_epoch", 2)],
    "patience 2 ends exercise 6 before its 100 epochs": [("lab2/patience2", "", "last_epoch", 100)],
    "patience 2 ends exercise 7 before its 100 epochs": [("lab2/cifar10_patience2", "", "last_epoch", 100)],
    "L1 of 0.01 drives the model to chance on CIFAR-10": [("lab2/cifar10_l1", "", ACCURACY, 0.2)],
    "parameter count of the simple network = 40,802": [("lab4/simple_rnn", "", "parameters", 41_002)],
    "parameter count of the two simple layers = 121,002": [("lab4/simple_rnn_2", "", "parameters", 121_402)],
    "raw word ids teach a simple recurrent network nothing": [
        ("lab4/simple_rnn", "", ACCURACY, 0.55), ("lab4/simple_rnn", "", ACCURACY, 0.45)],
    "a second simple recurrent layer on raw word ids teaches nothing more": [
        ("lab4/simple_rnn_2", "", ACCURACY, 0.55)],
    "parameter count of the LSTM = 11,602,354": [("lab4/lstm", "", "parameters", 11_602_353)],
    "parameter count of the two LSTMs = 11,669,922": [("lab4/lstm_2", "", "parameters", 11_669_923)],
    "parameter count of the GRU = 11,537,154": [("lab4/gru", "", "parameters", 11_536_554)],
    "the LSTM scores above 85 % where the simple network guesses": [
        ("lab4/lstm", "", ACCURACY, 0.84), ("lab4/simple_rnn", "", ACCURACY, 0.6)],
    "a second LSTM brings nothing": [("lab4/lstm_2", "", ACCURACY, 0.892)],
    "SGD 0.01 on raw pixels hardly learns": [("lab5/sgd_raw", "", ACCURACY, 0.6)],
    "SGD 0.01 on scaled pixels learns": [("lab5/sgd_scaled", "", ACCURACY, 0.7)],
    "batch 10,000 scores below batch 32": [("lab5/batch10000", "", ACCURACY, 0.85)],
    "Adam 1e-1 on scaled pixels does not learn well": [("lab5/lr_scaled", "0.1", ACCURACY, 0.8)],
    "Adam 1e-3 on scaled pixels is the best of the three rates after 5 epochs": [
        ("lab5/lr_scaled", "1e-05", ACCURACY, 0.89), ("lab5/lr_scaled", "0.1", ACCURACY, 0.89)],
    "the gap between training and validation loss is smaller at Adam 1e-5 than at 1e-3": [
        ("lab5/lr_scaled", "1e-05", "train/loss", 0.4)],
    "Adam 1e-5 reaches in 100 epochs what 1e-3 reaches in 8": [
        ("lab5/lr_scaled_100", "", "val/accuracy after 8", 0.89),
        ("lab5/lr_scaled_100", "", "val/accuracy after 50", 0.891), ("lab5/lr_scaled_100", "", ACCURACY, 0.87)],
    "learning rate 1e-1 on raw pixels does not train": [("lab5/lr_raw", "0.1", ACCURACY, 0.3)],
    "Adam 1e-3 on raw pixels scores below 1e-3 on scaled ones": [("lab5/lr_raw", "0.001", ACCURACY, 0.89)],
    "Adam 1e-5 on raw pixels scores as 1e-3 on scaled ones": [
        ("lab5/lr_raw", "1e-05", ACCURACY, 0.85), ("lab5/lr_raw", "1e-05", ACCURACY, 0.91)],
    "the higher the learning rate, the wider the weights": [
        ("lab5/weight_histograms", "0.001, none", "weight_deviation", 0.2),
        ("lab5/weight_histograms", "1e-05, unit", "weight_deviation", 0.2)],
    "at 1e-5 on raw pixels most weights lie within ±0.05": [
        ("lab5/weight_histograms", "1e-05, none", "small_weights", 0.8)],
    "validating after every batch takes most of the baseline's time": [
        ("regularization/baseline_as_done", "", "seconds", 15)],
    "8192 hidden units score above 64": [("mlp/hidden_units", "[8192]", ACCURACY, 0.83)],
    "four hidden layers with N(0, 0.01²) stay at chance": [("mlp/depth", "[512, 256, 128, 64]", ACCURACY, 0.2)],
    "a single hidden unit holds accuracy below 45 %": [("mlp/single_neuron", "", ACCURACY, 0.5)],
    "learning rate 1 fails in 10 epochs": [("mlp/learning_rate_10", "1", ACCURACY, 0.8)],
    "learning rate 1 fails in 20 epochs": [("mlp/learning_rate_20", "1", ACCURACY, 0.8)],
    "learning rate 0.001 is too slow for 10 epochs": [("mlp/learning_rate_10", "0.001", ACCURACY, 0.8)],
    "learning rate 0.001 is too slow for 20 epochs": [("mlp/learning_rate_20", "0.001", ACCURACY, 0.8)],
    "batch 16 and 32 score above 95 % after 10 epochs, batch 1024 below 75 %": [
        ("mlp/batch_size", "1024", ACCURACY, 0.8), ("mlp/batch_size", "16", ACCURACY, 0.9),
        ("mlp/batch_size", "32", ACCURACY, 0.9)],
    "a batch of 1024 takes longer than one of 16": [("mlp/batch_size", "16", "milliseconds_a_batch", 8.0)],
}  # fmt: skip


class Figures:
    """Stands for Evidence, with figures of a table."""

    def __init__(self, figures):
        self.figures = figures

    def __call__(self, experiment, label="", quantity=ACCURACY):
        return self.figures[experiment, label, quantity]

    def epoch(self, number, experiment, label="", metric="val/accuracy"):
        return self.figures[experiment, label, f"{metric} after {number}"]


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_holds_where_the_figures_say_so_and_fails_where_one_of_them_does_not(claim):
    assert CLAIMS[claim](Figures(HELD))
    for *key, contrary in FAILS[claim]:
        assert tuple(key) in HELD
        assert not CLAIMS[claim](Figures(HELD | {tuple(key): contrary})), (key, contrary)


@pytest.fixture
def runs(tmp_path):
    """Runs of one experiment that came to these accuracies."""

    def make(*accuracies):
        return [
            read_run(write_run(tmp_path / str(seed), **{"test/accuracy": accuracy, "parameters": 7}))
            for seed, accuracy in enumerate(accuracies)
        ]

    return make


def test_the_mean_over_seeds_is_judged_and_is_the_evidence(runs):
    found = {("lab5/lr_raw", "0.1"): runs(0.1, 0.26)}
    verdict = judge("learning rate 1e-1 on raw pixels does not train", found)
    assert verdict == (True, "test/accuracy of lab5/lr_raw 0.1 18.00%")


def test_a_claim_about_what_was_not_run_is_not_judged(runs):
    verdict = judge("RMSprop below Adam on the L1 model", {("lab2/l1_rmsprop", ""): runs(0.7)})
    assert verdict == (None, "not judged without lab2/l1_adam")


def test_a_claim_about_what_runs_do_not_produce_is_not_judged(runs):
    found = {("lab5/weight_histograms", "1e-05, none"): runs(0.7)}
    verdict = judge("at 1e-5 on raw pixels most weights lie within ±0.05", found)
    assert verdict == (None, "not judged without small_weights of lab5/weight_histograms 1e-05, none")


def test_a_claim_without_a_check_says_so():
    assert judge("the moon is of cheese", {}) == (None, "not judged: there is no check of it")
