"""Metrics of an epoch beside scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

from dlproj.live_bytes import LiveBytes
from dlproj.models.losses import scores
from dlproj.models.metrics import Evaluation, TrainingSums, training_means

CPU = torch.device("cpu")
SIZES = [7, 7, 5, 1]  # of the batches: the last ones are not full


def outputs(classes, generator):
    logits = torch.randn(sum(SIZES), 1 if classes == 2 else classes, generator=generator)
    return logits, torch.randint(classes, (sum(SIZES),), generator=generator)


def mean_loss(logits, targets):
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], targets.float())
    return functional.cross_entropy(logits, targets)


def evaluated(logits, targets, classes):
    evaluation = Evaluation(classes, CPU)
    for part, true in zip(logits.split(SIZES), targets.split(SIZES), strict=True):
        evaluation.add(part, true, mean_loss(part, true))
    return evaluation


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_evaluation_agrees_with_scikit_learn(classes, generator):
    logits, targets = outputs(classes, generator)
    means = evaluated(logits, targets, classes).compute(0.0, penalized=False)
    predicted, labels = scores(logits).argmax(1), range(classes)
    probability = torch.sigmoid(logits[:, 0].double()) if classes == 2 else logits.double().softmax(1)
    assert means == pytest.approx(
        {
            "loss": metrics.log_loss(targets, probability, labels=labels),
            "accuracy": metrics.accuracy_score(targets, predicted),
            "macro_f1": metrics.f1_score(targets, predicted, average="macro"),
            "top2_accuracy": 1.0
            if classes == 2
            else metrics.top_k_accuracy_score(targets, logits.numpy(), k=2, labels=labels),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_confusion_matrix_has_true_classes_in_rows(classes, generator):
    logits, targets = outputs(classes, generator)
    matrix = evaluated(logits, targets, classes).confusion_matrix()
    expected = metrics.confusion_matrix(targets, scores(logits).argmax(1), labels=range(classes))
    assert matrix == expected.tolist()
    assert matrix != expected.T.tolist()
    assert type(matrix[0][0]) is int


def many_classes(generator, classes=1500, samples=2000):
    """Logits of which every fourth is right, and targets."""
    targets = torch.randint(classes, (samples,), generator=generator)
    logits = torch.rand(samples, classes, generator=generator)
    logits[torch.arange(0, samples, 4), targets[::4]] += 1
    return logits, targets


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("classes", [3, 10, 300])
def test_metrics_are_those_of_torchmetrics_to_the_digit(classes, generator):
    logits, targets = many_classes(generator, classes, 500)
    evaluation = Evaluation(classes, CPU)
    for part, true in zip(logits.split(64), targets.split(64), strict=True):
        evaluation.add(part, true, torch.tensor(0.0))
    means = evaluation.compute(0.0, penalized=False)
    assert {name: means[name] for name in ("accuracy", "top2_accuracy", "macro_f1")} == {
        "accuracy": float(multiclass_accuracy(logits, targets, classes, average="micro")),
        "top2_accuracy": float(multiclass_accuracy(logits, targets, classes, average="micro", top_k=2)),
        "macro_f1": float(multiclass_f1_score(logits, targets, classes, average="macro")),
    }


def test_of_many_classes_the_confusion_matrix_is_its_entries_above_0(generator):
    logits, targets = many_classes(generator, 300)
    evaluation = Evaluation(300, CPU)
    evaluation.add(logits, targets, torch.tensor(0.0))
    expected = metrics.confusion_matrix(targets, logits.argmax(1), labels=range(300))
    truths, guesses = expected.nonzero()
    assert evaluation.confusion_matrix() == np.stack([truths, guesses, expected[truths, guesses]], axis=1).tolist()


@pytest.mark.usefixtures("deterministic")
def test_counting_by_class_takes_no_more_memory_than_a_few_batches(generator):
    """With deterministic algorithms torchmetrics compares each of 1,000 samples with all 2,250,000 pairs of classes."""
    logits, targets = many_classes(generator)
    with LiveBytes() as live:
        evaluation = Evaluation(1500, CPU)
        for part, true in zip(logits.split(1000), targets.split(1000), strict=True):
            evaluation.add(part, true, torch.tensor(0.0))
        means, matrix = evaluation.compute(0.0, penalized=False), evaluation.confusion_matrix()
    assert means["macro_f1"] == pytest.approx(metrics.f1_score(targets, logits.argmax(1), average="macro"), rel=1e-5)
    assert sum(count for _, _, count in matrix) == 2000
    assert live.peak < 3 * logits[:1000].nbytes


def test_a_pass_of_a_single_sample_is_evaluated(generator):
    evaluation = Evaluation(3, CPU)
    evaluation.add(torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([1]), torch.tensor(0.5))
    assert evaluation.compute(0.0, penalized=False) == {
        "loss": 0.5,
        "accuracy": 0.0,
        "top2_accuracy": 1.0,
        "macro_f1": 0,
    }
    assert evaluation.confusion_matrix() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_macro_f1_leaves_out_a_class_that_is_neither_true_nor_predicted():
    targets = torch.tensor([0, 0, 1, 1, 2])
    predicted = torch.tensor([0, 1, 1, 1, 1])
    evaluation = Evaluation(4, CPU)
    evaluation.add(functional.one_hot(predicted, 4).float(), targets, torch.tensor(1.0))
    expected = metrics.f1_score(targets, predicted, average="macro", zero_division=0)
    assert evaluation.compute(0.0, penalized=False)["macro_f1"] == pytest.approx(expected)


def test_penalty_is_added_to_the_loss_and_told_apart(generator):
    logits, targets = outputs(3, generator)
    plain = evaluated(logits, targets, 3).compute(0.0, penalized=False)
    assert set(plain) == {"loss", "accuracy", "top2_accuracy", "macro_f1"}
    means = evaluated(logits, targets, 3).compute(0.5, penalized=True)
    assert means == pytest.approx(plain | {"loss": plain["loss"] + 0.5, "data_loss": plain["loss"], "penalty": 0.5})


def summed(logits, targets, penalties=None):
    sums = TrainingSums(CPU)
    penalties = penalties or [None] * len(SIZES)
    for part, true, penalty in zip(logits.split(SIZES), targets.split(SIZES), penalties, strict=True):
        sums.add(part, true, mean_loss(part, true), penalty)
    return sums.totals()


@pytest.mark.parametrize("classes", [2, 3])
def test_training_means_agree_with_scikit_learn(classes, generator):
    logits, targets = outputs(classes, generator)
    totals = summed(logits, targets)
    assert totals.dtype == torch.float64
    probability = torch.sigmoid(logits[:, 0].double()) if classes == 2 else logits.double().softmax(1)
    assert training_means(totals, penalized=False) == pytest.approx(
        {
            "loss": metrics.log_loss(targets, probability, labels=range(classes)),
            "accuracy": metrics.accuracy_score(targets, scores(logits).argmax(1)),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_of_mixed_samples_the_share_of_the_guess_is_a_hit(dtype):
    sums = TrainingSums(CPU)
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]]).repeat(500, 1)
    shares = torch.tensor([[0.25, 0.75, 0.0], [0.25, 0.0, 0.75]], dtype=dtype).repeat(500, 1)
    sums.add(logits, shares, torch.tensor(1.0), None)
    assert training_means(sums.totals(), penalized=False) == {"loss": 1.0, "accuracy": 0.5}


def test_training_penalty_is_the_mean_over_samples(generator):
    logits, targets = outputs(3, generator)
    penalties = [torch.tensor(value) for value in (4.0, 3.0, 2.0, 1.0)]
    means = training_means(summed(logits, targets, penalties), penalized=True)
    assert means["penalty"] == pytest.approx(np.average([4, 3, 2, 1], weights=SIZES))
    assert means["loss"] == pytest.approx(means["data_loss"] + means["penalty"])
    assert means["data_loss"] == pytest.approx(training_means(summed(logits, targets), penalized=False)["loss"])


def test_sums_of_two_processes_are_the_sums_of_one(generator):
    logits, targets = outputs(3, generator)
    halves = [TrainingSums(CPU), TrainingSums(CPU)]
    for half, part, true in zip(halves, logits.chunk(2), targets.chunk(2), strict=True):
        half.add(part, true, mean_loss(part, true), None)
    both = halves[0].totals() + halves[1].totals()
    torch.testing.assert_close(both, summed(logits, targets), rtol=1e-5, atol=1e-5)


def test_training_means_of_no_sample_yet_are_zero():
    assert training_means(TrainingSums(CPU).totals(), penalized=False) == {"loss": 0.0, "accuracy": 0.0}


def test_the_mean_of_many_small_batches_keeps_its_digits():
    """The epoch of lab2's exercise 5, 6,750 batches of 8, each with the loss of a guess among ten classes."""
    sums, loss = TrainingSums(CPU), torch.tensor(math.log(10))
    logits, targets = torch.zeros(8, 10), torch.zeros(8, dtype=torch.int64)
    for _ in range(6_750):
        sums.add(logits, targets, loss, None)
    assert training_means(sums.totals(), penalized=False)["loss"] == pytest.approx(math.log(10), rel=1e-5)


def test_one_batch_whose_loss_is_not_a_number_makes_the_mean_not_a_number():
    evaluation = Evaluation(2, CPU)
    for loss in (0.5, float("nan")):
        evaluation.add(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), torch.tensor(loss))
    assert math.isnan(evaluation.compute(0.0, penalized=False)["loss"])


def test_passes_of_two_processes_are_merged_as_between_processes():
    """The loss to the bit: each part's own sum, then the two sums."""
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(60, 4, generator=generator), torch.randint(4, (60,), generator=generator)
    parts = [Evaluation(4, CPU) for _ in range(2)]
    losses = [torch.rand(3, generator=generator) for _ in range(2)]
    for number, (part, mine) in enumerate(zip(parts, losses, strict=True)):
        for batch, loss in enumerate(mine):
            rows = slice(30 * number + 10 * batch, 30 * number + 10 * batch + 10)
            part.add(logits[rows], targets[rows], loss)
        part.compute(0.0, penalized=False)  # each process has looked at its own
    parts[0].merge(parts[1])
    merged = parts[0].compute(0.0, penalized=False)
    first, second = ((one[0] * 10 + one[1] * 10) + one[2] * 10 for one in losses)
    assert merged["loss"] == float((first + second) / 60)
    assert merged["accuracy"] == pytest.approx(metrics.accuracy_score(targets, logits.argmax(1)))
    assert parts[0].confusion_matrix() == metrics.confusion_matrix(targets, logits.argmax(1)).tolist()


def test_metrics_that_are_alike_in_a_first_batch_stay_two_metrics():
    """Of two classes the second guess is always right, whatever the first one is."""
    evaluation = Evaluation(2, CPU)
    right = torch.tensor([[1.0, 0.0]])
    for target in (0, 1, 1):
        evaluation.add(right, torch.tensor([target]), torch.tensor(0.0))
    means = evaluation.compute(0.0, penalized=False)
    assert (means["accuracy"], means["top2_accuracy"]) == (pytest.approx(1 / 3), 1.0)
