"""Training restricted to older instruction sets by ONEDNN_MAX_CPU_ISA."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = [
    "data=feature_sum",
    "data.train_samples=2000",
    "model.hidden=[8]",
    "trainer.max_epochs=2",
    "optim.learning_rate=0.01",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "figures=none",
]
FALLBACK = "this CPU cannot compute an LSTM in bfloat16: LSTM layers use float32"
pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="ONEDNN_MAX_CPU_ISA names instruction sets of x86"
)


@pytest.fixture
def sweep(tmp_path):
    """Call with an instruction set and overrides: the summary of each run of `python train.py -m`, by what varies."""

    def run(isa, *overrides):
        command = [sys.executable, "-W", "error", str(ROOT / "train.py"), "-m", *SMALL, *overrides]
        environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        summaries = [json.loads(path.read_text()) for path in tmp_path.glob("logs/sweeps/*/*/summary.json")]
        return {tuple(value.split("=")[1] for value in found["overrides"][-2:]): found for found in summaries}

    return run


@pytest.mark.parametrize(
    "isa", ["AVX2", *(pytest.param(isa, marks=pytest.mark.slow) for isa in ("SSE41", "AVX512_CORE"))]
)
def test_every_network_trains_in_every_precision(isa, sweep):
    runs = sweep(isa, "model=mlp,simple_rnn,lstm,gru", "trainer.precision=32-true,64-true,bf16-mixed,bf16-true")
    assert len(runs) == 16
    for (cell, precision), found in runs.items():
        assert found["status"] == "completed"
        # bfloat16 has 8 bits, so in bf16-true a weight does not move by less than 1/256 of itself.
        tolerance = {"64-true": 1e-5, "bf16-mixed": 0.02, "bf16-true": 0.2}.get(precision, 0)
        assert found["test/loss"] == pytest.approx(runs[cell, "32-true"]["test/loss"], abs=tolerance)
    if isa != "AVX512_CORE":  # with which oneDNN computes in bfloat16
        assert {key: found["fallbacks"] for key, found in runs.items() if found["fallbacks"]} == {
            ("lstm", "bf16-mixed"): [FALLBACK]
        }


@pytest.mark.slow
def test_an_lstm_trains_in_mixed_bfloat16_by_every_strategy_that_does(sweep):
    runs = sweep(
        "AVX2",
        "model=lstm",
        "data.batch_size=32",
        "data.drop_last=true",
        "trainer.precision=bf16-mixed",
        "trainer=cpu,ddp,fsdp,tensor_parallel,layer_split",
        "sweep.jobs=1",
    )
    assert [found["fallbacks"] for found in runs.values()] == [[FALLBACK]] * 5
