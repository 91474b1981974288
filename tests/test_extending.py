"""What is added from outside: a class that is not whole fails when it is made, and says what it lacks."""

from dataclasses import dataclass

import pytest
from torch import nn

from dlproj.config.data import DataConfig, DigitsConfig
from dlproj.config.mlp import MLPConfig
from dlproj.config.model import ModelConfig
from dlproj.config.optim import AdamConfig, OptimConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.data.base import DataModule
from dlproj.models.classifier import Classifier
from dlproj.models.mlp import MLPClassifier


@pytest.fixture
def image_spec():
    return DigitsConfig().spec()


class Deaf(Classifier):
    """A model without a forward()."""

    sequential_layers = nn.Module.modules


class Empty(DataModule):
    """Data without samples."""


@dataclass(slots=True)
class Unbuilt(OptimConfig):
    """Settings of no optimizer."""


@dataclass(slots=True)
class Unread(ModelConfig):
    """Settings of a model that reads nothing."""

    def hidden_layers(self):
        return []


@dataclass(slots=True)
class Unseen(DataConfig):
    """Settings of data of which nothing is known."""

    def build(self, seed):
        return Empty(self, seed)


@pytest.mark.parametrize(
    ("make", "lacking"),
    [
        (lambda spec: Deaf(MLPConfig(), spec, AdamConfig(), SchedulerConfig()), "forward"),
        (lambda spec: Empty(None, 0), "load"),
        (lambda spec: Unbuilt(), "build"),
        (lambda spec: Unread(), "inputs_of"),
        (lambda spec: Unseen(), "spec"),
    ],
)
def test_a_class_that_lacks_a_method_is_refused_by_its_name(make, lacking, image_spec):
    with pytest.raises(TypeError, match=rf"abstract class \w+ with.* abstract method.*\b{lacking}\b"):
        make(image_spec)


def test_a_whole_one_is_made(image_spec):
    assert isinstance(MLPClassifier(MLPConfig(), image_spec, AdamConfig(), SchedulerConfig()), Classifier)
