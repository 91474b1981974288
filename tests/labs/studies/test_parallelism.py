"""Data and model parallelism over two processes end with the weights of one."""

import pytest

from dlproj.config.checks import ConfigurationError
from dlproj.labs.scaling.bench import measured, plan
from dlproj.labs.studies.parallelism import parallelism


@pytest.mark.slow
def test_every_strategy_ends_with_the_weights_of_one_process():
    table = parallelism("32,16", 32, steps=2).sections[0].table
    assert [row["strategy"] for row in table.rows] == ["single", "ddp", "fsdp", "tensor_parallel", "pipeline"]
    assert [row["processes"] for row in table.rows] == [1, 2, 2, 2, 2]
    assert all(row["largest_weight_difference"] < 1e-6 for row in table.rows)


@pytest.mark.slow
def test_weights_move_far_more_than_strategies_differ():
    common = ["model.hidden=[32,16]", "data.batch_size=32", "trainer.accelerator=cpu", "optim=sgd"]
    still, moving = (
        measured(plan([*common, f"optim.learning_rate={rate}"], [1], ["ddp"]), 2).outcomes[0].measured.weights
        for rate in (1e-12, 0.1)
    )
    assert max(float(abs(value - still[name]).max()) for name, value in moving.items()) > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": "many"}, "--hidden=many is not a list of whole numbers from 1 on: set such as 512,512"),
        ({"hidden": "64],seed=[3"}, "--hidden=64.,seed=.3 is not a list of whole numbers"),
        ({"hidden": "64,33"}, "--hidden=64,33 does not split in halves: set even numbers"),
        ({"batch": 12}, "--batch=12 is not a multiple of 8: set such as 256"),
    ],
)
def test_what_two_processes_cannot_share_is_refused(settings, message):
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        parallelism(**settings)
