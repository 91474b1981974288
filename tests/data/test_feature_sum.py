import numpy as np
import pytest
import torch

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.config.data import FeatureSumConfig


def data(seed=0, **settings):
    module = FeatureSumConfig(**settings).build(seed)
    module.prepare_data()
    module.setup()
    return module


def test_targets_follow_the_rule():
    module = data()
    for samples in (module.train, module.val, module.test):
        assert np.array_equal(samples.targets, samples.inputs.numpy().astype(float).sum(1) > 10)
    assert [len(split) for split in (module.train, module.val, module.test)] == [7200, 800, 2000]


def test_inputs_are_uniform_and_the_classes_even():
    train = data().train
    assert train.inputs.dtype == torch.float32
    assert train.inputs.shape[1:] == (20,)
    assert train.inputs.min() >= 0
    assert train.inputs.max() < 1
    assert abs(train.inputs.mean() - 0.5) < 0.005
    assert abs(train.inputs.std() - 12**-0.5) < 0.005
    assert abs(train.targets.float().mean() - 0.5) < 0.03


def test_the_samples_depend_on_data_seed_alone():
    first, other_run, other_data = data(seed=1), data(seed=2), data(seed=1, data_seed=1)
    assert torch.equal(first.train.inputs, other_run.train.inputs)
    assert not torch.equal(first.train.inputs, other_data.train.inputs)


def test_sizes_are_settings():
    module = data(train_samples=50, test_samples=7, features=3)
    assert module.spec.shape == (3,)
    assert module.test.inputs.shape == (7, 3)
    assert np.array_equal(module.test.targets, module.test.inputs.double().sum(1) > 1.5)


def test_a_sample_is_shown_as_numbers():
    assert data().shown(torch.tensor([0.5, 0.12345, 0.0])) == "0.5 0.123 0"


@pytest.mark.parametrize("settings", [{"data_seed": -1}, {"train_samples": 0}, {"test_samples": 0}, {"features": 0}])
def test_impossible_settings(settings):
    with pytest.raises(ConfigurationError, match=f"data.{next(iter(settings))}=.* must be in"):
        FeatureSumConfig(**settings)


def test_rows_of_numbers_are_read_as_they_are_written():
    module = FeatureSumConfig(features=3).build(0)
    assert torch.equal(module.encode(["1, 2,3", "0.5 1e-3 -2"]), torch.tensor([[1, 2, 3], [0.5, 1e-3, -2]]))
    with pytest.raises(DataError, match="'1 2' has 2 numbers, the model reads 3: write 3"):
        module.encode(["1 2 3", "1 2"])
    for number in ("nan", "inf", "-Infinity", "1e999"):
        with pytest.raises(DataError, match=f"'1 {number} 3' has numbers that are not finite: write 3 finite ones"):
            module.encode([f"1 {number} 3"])
