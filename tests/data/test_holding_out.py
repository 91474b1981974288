"""Test sets, folds and validation samples held out of the training set: scikit-learn's, to the sample."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split

from dlproj.config.arrays import FeatureArraysConfig
from dlproj.config.checks import ConfigurationError, DataError
from dlproj.config.data import FeatureSumConfig, ValidationSplit
from dlproj.config.images import DigitsConfig
from dlproj.data.array_modules import FeatureArraysDataModule
from dlproj.data.holding_out import Strata, hold_out_fold, hold_out_share

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.choice(3, 200, p=[0.5, 0.4, 0.1])
NUMBERS = np.arange(200.0)[:, None]  # a sample's only feature is its index
GROUPS = RANDOM.integers(0, 40, 200)
NAMES = ("a", "b", "c")


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "own.npz", x_train=NUMBERS, y_train=LABELS)
    return str(tmp_path / "own.npz")


@pytest.fixture
def file_with_test(tmp_path):
    parts = {"x_test": -1 - NUMBERS[:20], "y_test": LABELS[:20]}
    np.savez(tmp_path / "both.npz", x_train=NUMBERS, y_train=LABELS, **parts)
    return str(tmp_path / "both.npz")


def splits(file, seed=0, groups=None, **settings):
    """Indices of the samples in train, val and test."""
    config = FeatureArraysConfig(file=file, batch_size=1, **settings)
    config.check_read()
    config.spec()
    module = config.build(seed)
    if groups is not None:
        module.groups = lambda: torch.from_numpy(groups)
    module.setup()
    return [part.inputs[:, 0].long().tolist() for part in (module.train, module.val, module.test)], module


def test_a_stratified_test_set_is_that_of_scikit_learn_whatever_the_seed(file):
    (train, val, test), module = splits(file, seed=1, test_fraction=0.2, split_seed=7)
    wanted = train_test_split(np.arange(200), test_size=0.2, stratify=LABELS, random_state=7)[1]
    assert test == sorted(wanted) == module.test_indices.tolist()
    assert sorted(train + val + test) == list(range(200))
    assert splits(file, seed=2, test_fraction=0.2, split_seed=7)[0][2] == test
    assert splits(file, test_fraction=0.2)[0][2] != test


def test_folds_are_those_of_scikit_learn_and_test_each_sample_once(file):
    wanted = [test.tolist() for _, test in StratifiedKFold(5, shuffle=True, random_state=3).split(NUMBERS, LABELS)]
    found = [splits(file, seed=fold, folds=5, fold=fold, split_seed=3)[0] for fold in range(5)]
    assert [test for _, _, test in found] == wanted
    for parts in found:
        assert sorted([index for part in parts for index in part]) == list(range(200))


def test_folds_leave_an_official_test_set_alone(file_with_test):
    (train, val, test), _ = splits(file_with_test, folds=4)
    assert sorted(train + val + test) == list(range(200))
    assert min(splits(file_with_test)[0][2]) == -20


def test_groups_stay_together_in_every_split(file):
    wanted = StratifiedGroupKFold(4, shuffle=True, random_state=0).split(NUMBERS, LABELS, GROUPS)
    for fold, (_, test) in enumerate(wanted):
        for val in (ValidationSplit.random, ValidationSplit.stratified):
            parts, _ = splits(file, groups=GROUPS, folds=4, fold=fold, val=val)
            assert parts[2] == test.tolist()
            owners = [set(GROUPS[part]) for part in parts]
            assert sum(map(len, owners)) == len(set(GROUPS))
    parts, _ = splits(file, groups=GROUPS, test_fraction=0.3, val=ValidationSplit.random)
    assert sum(len(set(GROUPS[part])) for part in parts) == len(set(GROUPS))
    assert 50 <= len(parts[2]) <= 80  # a third


def test_groups_are_not_cut_by_the_last_samples(file):
    with pytest.raises(DataError, match=r"data\.val=last may divide a group of samples: set data\.val=random"):
        splits(file, groups=GROUPS, folds=4)


def test_stratified_validation_has_the_share_of_each_class(file_with_test):
    (train, val, _), _ = splits(file_with_test, seed=5, val=ValidationSplit.stratified, val_fraction=0.25)
    assert sorted(train + val) == list(range(200))
    for index in range(3):
        assert (LABELS[val] == index).sum() == pytest.approx((index == LABELS).sum() / 4, abs=1)
    assert splits(file_with_test, seed=6, val=ValidationSplit.stratified, val_fraction=0.25)[0][1] != val
    assert splits(file_with_test, seed=5, val=ValidationSplit.stratified, val_fraction=0.25)[0][1] == val


def test_each_fold_has_another_fingerprint(file):
    folds = [splits(file, folds=3, fold=fold)[1].fingerprint() for fold in (0, 1, 2, 0)]
    assert folds[0] == folds[3]
    assert len(set(folds)) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"the data has no test set: set data\.test_fraction=0\.2, or data\.folds=5"),
        ({"fold": 1}, r"data\.fold=1 has no effect without data\.folds"),
        ({"split_seed": 1}, r"data\.split_seed has no effect without"),
        ({"folds": 3, "test_fraction": 0.2}, r"data\.test_fraction has no effect with data\.folds"),
        ({"folds": 3, "fold": 3}, r"data\.fold=3 must be below data\.folds=3"),
        ({"folds": 3, "val": ValidationSplit.test}, r"data\.val=test would choose by the fold that is tested"),
        ({"folds": 1}, r"data\.folds=1 must be in \[2, inf\)"),
        ({"test_fraction": 1.0}, r"data\.test_fraction=1\.0 must be in \(0, 1\)"),
        ({"folds": 150}, r"150 folds need 150 samples of each class, 2 has \d+: add some, or leave the class out"),
        (
            {"test_fraction": 0.005},
            r"data\.test_fraction=0\.005: 199 \+ 1 samples are too few to have 3 classes in both",
        ),
    ],
)
def test_what_cannot_be_held_out_is_said_in_a_line(file, settings, message):
    with pytest.raises((ConfigurationError, DataError), match=message):
        splits(file, **settings)


@pytest.mark.parametrize("config", [DigitsConfig, FeatureSumConfig])
def test_a_share_is_not_held_out_where_there_is_a_test_set(config, file_with_test):
    with pytest.raises(ConfigurationError, match=r"data\.test_fraction is for data without a test set"):
        config(test_fraction=0.1)
    with pytest.raises(ConfigurationError, match=r"data\.test_fraction is for data without a test set"):
        splits(file_with_test, test_fraction=0.1)
    assert config(folds=2).folds == 2


@pytest.mark.parametrize("seed", range(20))
def test_any_labels_are_split_without_a_warning_or_refused(seed):
    random = np.random.default_rng(seed)
    size = int(random.integers(1, 40))
    targets = torch.from_numpy(random.integers(0, int(random.integers(1, 5)), size))
    groups = torch.from_numpy(random.integers(0, 8, size)) if seed % 2 else None
    strata = Strata(targets, ("a", "b", "c", "d"), groups)
    share, folds = float(random.uniform(0.01, 0.99)), int(random.integers(2, 8))
    for hold_out in (
        lambda: hold_out_share(strata, share, seed, "share"),
        lambda: hold_out_fold(strata, folds, 0, seed),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                kept, held_out = hold_out()
            except DataError:
                continue
        assert sorted(kept.tolist() + held_out.tolist()) == list(range(size))


def test_a_module_of_ones_own_may_have_no_test_set(file):
    class Module(FeatureArraysDataModule):
        def load(self):
            return super().load()[0], None

    module = Module(FeatureArraysConfig(file=file, folds=2, batch_size=1), 0)
    module.setup()
    assert len(module.test) == 100
