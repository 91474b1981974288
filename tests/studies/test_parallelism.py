"""Data and model parallelism over two processes end with the weights of one."""

import pytest

from dlproj.settings import ConfigurationError
from dlproj.studies.parallelism import parallelism


@pytest.mark.slow
def test_every_strategy_ends_with_the_weights_of_one_process():
    table = parallelism("32,16", 32, steps=2).sections[0].table
    assert [row["strategy"] for row in table.rows] == [
        "single", "layer_split", "ddp", "fsdp", "tensor_parallel", "pipeline"
    ]  # fmt: skip
    assert [row["processes"] for row in table.rows] == [1, 1, 2, 2, 2, 2]
    assert all(row["largest_weight_difference"] < 1e-6 for row in table.rows)


def test_widths_that_are_none_are_refused():
    with pytest.raises(ConfigurationError, match=r"model\.hidden\[0\]"):
        parallelism("many")
