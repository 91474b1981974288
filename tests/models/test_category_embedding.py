"""Embedded categories: torch's own embeddings of the same weights, and what a model of them can do."""

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from dlproj.config.checks import ConfigurationError
from dlproj.config.data import DataSpec, Kind
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import AdamConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.models.category_embedding import CategoryEmbedding

SPEC = DataSpec(Kind.features, (2 + 3 + 4,), ("a", "b"), category_sizes=(3, 4))


def test_it_is_torchs_embedding_of_each_block():
    embedding = CategoryEmbedding((3, 4), 5)
    ids = torch.tensor([[0, 3], [2, 1]])
    numbers = torch.randn(2, 2)
    blocks = [one_hot(ids[:, 0], 3), one_hot(ids[:, 1], 4)]
    theirs = [nn.Embedding.from_pretrained(table.detach())(ids[:, i]) for i, table in enumerate(embedding.tables)]
    found = embedding(torch.cat([numbers, *blocks], 1))
    torch.testing.assert_close(found, torch.cat([numbers, *theirs], 1))


def test_a_block_of_zeros_is_zeros():
    assert CategoryEmbedding((3,), 2)(torch.tensor([[7.0, 0, 0, 0]])).tolist() == [[7, 0, 0]]


def test_the_perceptron_learns_the_vectors():
    config = MLPConfig(hidden=[6], category_embedding_dim=5)
    model = config.build(SPEC, AdamConfig(), SchedulerConfig())
    assert config.inputs_of(SPEC) == 2 + 2 * 5
    inputs = torch.cat([torch.randn(4, 2), one_hot(torch.arange(4) % 3, 3), one_hot(torch.arange(4), 4)], 1)
    logits = model(inputs)
    through = nn.Sequential(*model.sequential_layers())(inputs)
    assert torch.equal(logits, through)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert {id(p) for layer in model.sequential_layers() for p in layer.parameters()} == {
        id(p) for p in model.parameters()
    }


def test_without_a_size_the_categories_stay_one_hot():
    config = MLPConfig(hidden=[6])
    assert config.inputs_of(SPEC) == 9
    assert config.build(SPEC, AdamConfig(), SchedulerConfig()).hidden[0][0].in_features == 9


def test_data_without_categories_is_refused():
    with pytest.raises(ConfigurationError, match="category_embedding_dim is for categorical columns, and the data has"):
        MLPConfig(category_embedding_dim=2).check_data(DataSpec(Kind.features, (9,), ("a", "b")))
