"""A change of the code's shape changes no weight and no figure: twenty runs, to the bit where they were recorded.

golden.json holds, for each kind of machine, hashes of the last checkpoint's weights and of every figure by epoch and of
the test; on another kind of machine the accuracies are compared, within what its rounding makes of them. It is written
anew, where a change of the figures is meant, by `python tests/golden/test_golden.py`.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hydra import compose, initialize_config_dir

from dlproj.config.compose import register
from dlproj.config.places import CONF
from dlproj.machine import machine
from dlproj.runs.new_run import checked
from dlproj.runs.record import read_run
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.run import run

FILE = Path(__file__).with_name("golden.json")
ALWAYS = [
    "name=golden",
    "data=digits",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.max_epochs=3",
    "optim.learning_rate=0.01",
    "trainer.progress_bar=false",
    "figures=none",
]
COMMANDS = [
    "model.hidden=[32]",
    "model.hidden=[32] optim=sgd optim.learning_rate=0.1 scheduler=constant",
    "model.hidden=[32] optim=nesterov scheduler=step scheduler.step_size=1 data.drop_last=true",
    "model.hidden=[32] optim=rmsprop optim.centered=true scheduler=exponential trainer.gradient_clip_val=0.5",
    "model.hidden=[32] optim=adamw scheduler.warmup_epochs=1 trainer.accumulate_grad_batches=2",
    "model.hidden=[32] optim=adagrad scheduler=plateau data.val=random data.val_fraction=0.2",
    "model.hidden=[{units: 32, activation: prelu}, {units: 16, activation: swish, dropout: 0.2}] model.weight_l1=1e-4",
    "model.hidden=[32,16] model.batch_norm=true model.order=[linear,activation,batch_norm] model.weight_l2=1e-3",
    "model.hidden=[] model.loss=mean_squared_error data.scaling=standardize",
    "model.hidden=[16] model.loss=binary_cross_entropy model.activation=tanh model.bias=false data.val=test",
    "model.hidden=[16] model.weight_initializer.name=orthogonal data.random_crop=1 data.random_flip=true seed=5",
    "model.hidden=[16] callbacks=early_stopping callbacks.early_stopping.restore_best=true trainer.evaluate_train=true",
    "model.hidden=[16] trainer.steps_per_execution=1 figures.gradients=true trainer.val_check_interval=5",
    "model.hidden=[16] trainer.precision=64-true data.batch_size=32 data.eval_batch_size=7",
    "model.hidden=[16] data=feature_sum data.train_samples=500 data.test_samples=100 model.outputs=1 "
    "model.loss=binary_cross_entropy model.output.activation=sigmoid",
    "model=simple_rnn model.hidden=[12] model.embedding_dim=null model.image_reading=columns model.recurrent_l2=1e-3",
    "model=lstm model.hidden=[12] model.embedding_dim=null model.image_reading=rows model.forget_bias=1",
    "model=gru model.hidden=[12,8] model.embedding_dim=null model.image_reading=rows model.bidirectional=true "
    "model.input_dropout=0.1",
    "model.hidden=[16] trainer=ddp data.batch_size=64",
    "model.hidden=[16,16] trainer=fsdp data.batch_size=64",
]


def kind_of_machine() -> str:
    """What the last bit of a sum may depend on."""
    limits = [
        f"{name}={os.environ[name]}" for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY") if name in os.environ
    ]
    return ", ".join([machine(), f"torch {torch.__version__.split('+')[0]}", *limits])


def outcome(command, folder):
    """Hashes of weights and of figures, and the test accuracy."""
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = checked(compose("config", [*ALWAYS, *_split(command)]))
    run(config, folder)
    weights = torch.load(checkpoint_path(folder, "last"), map_location="cpu", weights_only=True)["state_dict"]
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.contiguous().numpy().tobytes())
    recorded = read_run(folder)
    figures = {"epochs": recorded.epochs, "test": recorded.result.metrics, "last": recorded.result.last_epoch}
    text = json.dumps(figures, sort_keys=True)
    hashed = {"weights": digest.hexdigest()[:16], "figures": hashlib.sha256(text.encode()).hexdigest()[:16]}
    return hashed, recorded.result.metrics["test/accuracy"]


def _split(command):
    """At the blanks between settings: those within brackets follow a comma or a colon."""
    parts = []
    for part in command.split(" "):
        if parts and parts[-1].endswith((",", ":")):
            parts[-1] += f" {part}"
        else:
            parts.append(part)
    return parts


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_is_as_it_was_recorded(command, tmp_path):
    golden = json.loads(FILE.read_text())
    hashes, accuracy = outcome(command, tmp_path / "run")
    assert accuracy == pytest.approx(golden["accuracies"][command], abs=0.03)
    if known := golden["hashes"].get(kind_of_machine()):
        assert hashes == known[command]


def main() -> None:
    """Record all commands for this kind of machine."""
    golden = json.loads(FILE.read_text()) if FILE.exists() else {"accuracies": {}, "hashes": {}}
    own = golden["hashes"][kind_of_machine()] = {}
    for command in COMMANDS:
        with TemporaryDirectory() as folder:
            own[command], golden["accuracies"][command] = outcome(command, Path(folder) / "run")
        sys.stderr.write(f"{command}: {golden['accuracies'][command]:.2%}\n")
    FILE.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
