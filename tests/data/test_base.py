import ast
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.config.data import DataConfig, DataSpec, Kind, ValidationSplit
from dlproj.config.images import CIFAR10Config, FMNISTConfig, ImageFolderConfig
from dlproj.config.texts import IMDBConfig
from dlproj.data.base import DataModule
from dlproj.data.batches import Samples, Shard


@dataclass(slots=True)
class NumbersConfig(DataConfig):
    count: int = 100
    names: tuple[str, ...] = field(default=("even", "odd"))

    def spec(self):
        return DataSpec(Kind.features, (1,), self.names)

    def build(self, seed):
        return Numbers(self, seed)


class Numbers(DataModule):
    def load(self):
        inputs = torch.arange(self.config.count)[:, None].float()
        test = torch.arange(1000, 1030)[:, None].float()
        return Samples(inputs, inputs[:, 0].long() % 2), Samples(test, test[:, 0].long() % 2)


def module(seed=0, ranks=None, **settings):
    numbers = NumbersConfig(**settings).build(seed)
    if ranks:
        numbers.trainer = SimpleNamespace(
            distributed_sampler_kwargs={"rank": ranks[0], "num_replicas": ranks[1]},
            strategy=SimpleNamespace(root_device=torch.device("cpu")),
        )
    numbers.setup()
    return numbers


def values(samples):
    return samples.inputs[:, 0].long().tolist()


def test_last_cuts_the_end_before_any_shuffling():
    numbers = module(val_fraction=0.2)
    assert values(numbers.train) == list(range(80))
    assert values(numbers.val) == list(range(80, 100))
    assert values(numbers.test) == list(range(1000, 1030))


@pytest.mark.parametrize("count", [12, 100, 1437])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.35])
def test_last_is_the_split_of_keras(keras, count, fraction):
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    (train,), (val,) = train_validation_split((np.arange(count),), fraction)
    numbers = module(count=count, val_fraction=fraction)
    assert values(numbers.train) == train.tolist()
    assert values(numbers.val) == val.tolist()


def test_random_loses_nothing_and_depends_on_the_seed():
    first, again, other = (module(seed, val=ValidationSplit.random) for seed in (1, 1, 2))
    assert sorted(values(first.train) + values(first.val)) == list(range(100))
    assert len(first.val) == 10
    assert values(first.val) == values(again.val) != values(other.val)
    assert values(first.val) != list(range(90, 100))


def test_test_is_used_for_validation_where_asked_for():
    numbers = module(val=ValidationSplit.test)
    assert len(numbers.train) == 100
    assert values(numbers.val) == values(numbers.test)


def test_the_loaders_hand_out_each_split():
    numbers = module(batch_size=16, eval_batch_size=7)
    for loader, samples in (
        (numbers.train_dataloader(), numbers.train),
        (numbers.val_dataloader(), numbers.val),
        (numbers.test_dataloader(), numbers.test),
    ):
        assert sorted(torch.cat([inputs[:, 0] for inputs, _ in loader]).tolist()) == values(samples)
    assert len(numbers.train_dataloader()) == 6


def test_validation_reads_every_training_sample_once_too_where_that_is_asked_for():
    seen = []
    for rank in (0, 1):
        numbers = module(ranks=(rank, 2), batch_size=32, drop_last=True, eval_batch_size=7)
        numbers.transform_training = None  # augmentation
        numbers.evaluate_train = True
        val, train = numbers.val_dataloader()
        assert (val.samples, train.samples) == (numbers.val, numbers.train)
        seen += torch.cat([inputs[:, 0] for inputs, _ in train]).tolist()
    assert seen == values(numbers.train)


def test_the_shard_is_the_trainers():
    assert module().shard() == Shard(0, 1)
    assert module(ranks=(1, 2)).shard() == Shard(1, 2)
    single = NumbersConfig().build(0)
    single.trainer = SimpleNamespace(distributed_sampler_kwargs=None)
    assert single.shard() == Shard(0, 1)


def test_too_few_samples_end_in_one_line():
    with pytest.raises(DataError, match=r"the val set has 1 samples for 2 processes: set data\.val_fraction higher"):
        module(count=10, ranks=(0, 2))
    with pytest.raises(DataError, match=r"90 samples, a batch of all processes takes 91: set data\.batch_size"):
        module(batch_size=91, drop_last=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "data.batch_size=0 must be in"),
        ({"eval_batch_size": 0}, "data.eval_batch_size=0 must be in"),
        ({"val_fraction": 0.0}, "data.val_fraction=0.0 must be in"),
        ({"val_fraction": 1.0}, "data.val_fraction=1.0 must be in"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        NumbersConfig(**settings)


@pytest.mark.parametrize("cls", [FMNISTConfig, CIFAR10Config, ImageFolderConfig, IMDBConfig])
def test_root_comes_from_the_environment(cls, monkeypatch):
    monkeypatch.setenv("DLPROJ_DATA_DIR", "/somewhere")
    assert cls().root == "/somewhere"
    assert OmegaConf.structured(cls).root == "/somewhere"
    assert cls(root="here").root == "here"
    monkeypatch.delenv("DLPROJ_DATA_DIR")
    assert cls().root == "data"
    with pytest.raises(ConfigurationError, match=r"data\.root is empty"):
        cls(root="")


def test_slow_imports_wait_until_they_are_needed():
    lazy = {"torchvision", "sklearn", "PIL", "pooch"}
    for path in Path(find_spec("dlproj.data").origin).parent.glob("*.py"):
        tops = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {getattr(node, "module", None) or node.names[0].name for node in tops}
        assert not {name.split(".")[0] for name in names} & lazy, path


@pytest.mark.parametrize(("official", "lines"), [((100, 30), []), ((100, 40), ["100 + 30 samples, not 100 + 40"])])
def test_a_copy_that_is_not_whole_is_said_to_be(official, lines, monkeypatch, caplog):
    monkeypatch.setattr(Numbers, "official_sizes", official)
    module()
    assert [record.getMessage() for record in caplog.records] == [
        f"the data has {line}: is it complete?" for line in lines
    ]
