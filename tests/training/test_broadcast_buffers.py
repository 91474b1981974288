"""Batch norm over several processes: the network that is validated and tested is the one that is saved."""

import textwrap

import pytest

from dlproj.inference.evaluate import evaluate
from dlproj.inference.trained import open_run
from dlproj.training.run import run

NET = """
    from torch import nn

    class Net(nn.Sequential):
        def __init__(self, in_features, num_classes):
            normalised = nn.Linear(in_features, 8), nn.BatchNorm1d(8), nn.ReLU()
            super().__init__(nn.Flatten(), *normalised, nn.Linear(8, num_classes))
"""
SETTINGS = (
    "data=digits",
    "data.drop_last=true",
    "model=custom",
    "model.network=net.py:Net",
    "callbacks.early_stopping.restore_best=false",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
    "trainer.max_epochs=1",
)


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize("strategy", ["ddp", pytest.param("fsdp", marks=pytest.mark.slow)])
def test_the_evaluated_network_is_the_saved_one(strategy, composed, tmp_path, monkeypatch):
    """Each process has statistics of its own samples; the checkpoint holds those of rank 0."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(textwrap.dedent(NET))
    result = run(composed(*SETTINGS, f"trainer={strategy}"), tmp_path / "run")
    for split in ("val", "test"):
        again = evaluate(open_run(tmp_path / "run"), split).metrics[f"{split}/loss"]
        assert again == pytest.approx(result.metrics[f"{split}/loss"], rel=1e-5)
