"""What Lightning's table of layers says of a network of which a part is not trained."""

import logging

import pytest
import pytorch_lightning as pl

from dlproj.data.base import DataSpec, Kind
from dlproj.models.rnn import RNNConfig
from dlproj.optim import AdamConfig, SchedulerConfig
from dlproj.training.progress import Summary


@pytest.fixture
def shown(caplog):
    """Call with a model: the text of its summary."""
    log = logging.getLogger("pytorch_lightning.callbacks.model_summary")
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(caplog.handler)

    def summary(model):
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
        Summary().on_fit_start(trainer, model)
        return caplog.text

    yield summary
    log.removeHandler(caplog.handler)
    log.setLevel(level)


def test_rows_that_no_word_reads_are_shown_as_parameters_that_are_not_trained(shown):
    spec = DataSpec(Kind.sequence, (20,), ("a", "b"), 1_000, "pre")
    config = RNNConfig(hidden=[4], embedding_dim=8, embedding_rows=5_000)
    text = shown(config.build(spec, AdamConfig(), SchedulerConfig()))
    recurrent_and_output = 4 * (4 * (8 + 4) + 4) + 4 * 2 + 2
    assert f"{5_000 * 8 + recurrent_and_output:,} parameters" in text
    for line in ("8.2 K     Trainable params", "32.0 K    Non-trainable params", "40.2 K    Total params"):
        assert line in text
    assert "embedding.0 | Embedding      | 40.0 K" in text
