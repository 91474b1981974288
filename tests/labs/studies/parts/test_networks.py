"""The project's networks as plain ones in NumPy."""

import numpy as np
import pytest
import torch

from dlproj.config.data import DataSpec, Kind
from dlproj.config.mlp import MLPConfig
from dlproj.config.optim import SGDConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.labs.studies.parts.networks import scratch_copy


@pytest.mark.parametrize("bias", [True, False])
def test_the_copy_computes_the_logits_of_the_network_with_and_without_biases(bias, generator):
    config = MLPConfig(hidden=[5, 4], bias=bias)
    model = config.build(DataSpec(Kind.features, (6,), ("a", "b", "c")), SGDConfig(), SchedulerConfig()).double()
    inputs = torch.randn(7, 6, generator=generator, dtype=torch.float64)
    logits = scratch_copy(model, np.float64).forward(inputs.numpy())[-1]
    np.testing.assert_allclose(logits, model(inputs).detach().numpy())
