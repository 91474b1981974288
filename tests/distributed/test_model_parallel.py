"""A model over several processes: FSDP2, tensor parallelism, both, and a pipeline, against one process."""

import json

import numpy as np
import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.inference.evaluate import evaluate
from dlproj.inference.trained import open_run
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.run import run

pytestmark = pytest.mark.usefixtures("forked_processes")
SHARED = [
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=12",
    "data.drop_last=true",
    "trainer.evaluate_train=true",
]
MLP = [
    "data=digits",
    "model.hidden=[32,16,8]",
    "model.weight_l2=0.01",
    "trainer.gradient_clip_val=0.5",
    "optim=momentum",
]
GRU = ["data=digits", "model=gru", "model.image_reading=rows", "model.hidden=[8,8,8]"]
CNN = ["data=digits", "model=cnn", "model.conv=[4,8]", "model.hidden=[16]", "model.weight_l2=0.01"]
CHANGED = [*MLP, "data.mixup=0.3", "model.label_smoothing=0.1", "model.class_weights=balanced"]
FROZEN = [*MLP, "model.freeze=[hidden.1]", "model.loss=focal", "data.sampling=balanced"]
TEXTS = ["data=sequence_arrays", "model.hidden=[8]", "model.embedding_dim=4"]  # an embedding and what reads it
MODELS = {"mlp": MLP, "gru": GRU, "cnn": CNN, "changed": CHANGED, "frozen": FROZEN, "texts": TEXTS}
FOUR = "trainer.devices=4"
STRATEGIES = {  # the settings of each, and over how many processes it shares a batch
    "cpu": (["trainer=cpu"], 1),
    "fsdp": (["trainer=fsdp"], 2),
    "tensor_parallel": (["trainer=tensor_parallel"], 1),
    "pipeline": (["trainer=pipeline"], 1),
    "fsdp_tensor_parallel": (["trainer=fsdp_tensor_parallel"], 2),
    "ddp-4": (["trainer=ddp", FOUR], 4),
    "fsdp-4": (["trainer=fsdp", FOUR], 4),
    "tensor_parallel-4": (["trainer=tensor_parallel", FOUR, "trainer.tensor_parallel_size=4"], 1),
    "pipeline-4": (["trainer=pipeline", FOUR], 1),
}
QUICK = ("fsdp", "tensor_parallel", "pipeline")
OTHERS = [name for name in STRATEGIES if name not in ("cpu", *QUICK)]


def ids_in(folder):
    """A file of sequences of ids, padded in front."""
    random = np.random.default_rng(0)
    x = random.integers(1, 30, (1000, 12)) * (np.arange(12) >= random.integers(0, 12, (1000, 1)))
    y = (x == 7).any(1).astype(int)
    np.savez(folder / "ids.npz", x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
    return folder / "ids.npz"


def checkpoint(folder):
    return torch.load(checkpoint_path(folder, "last"), weights_only=True)


@pytest.fixture(scope="module")
def trained(composed, tmp_path_factory):
    """Call with a model and a strategy: its folder; global batches are the same for all."""
    folders = {}

    def train(model, strategy):
        if (model, strategy) not in folders:
            folder = folders[model, strategy] = tmp_path_factory.mktemp(strategy)
            settings, ways = STRATEGIES[strategy]
            own = [f"data.file={ids_in(tmp_path_factory.mktemp('ids'))}"] if model == "texts" else []
            run(composed(*SHARED, *MODELS[model], *own, *settings, f"data.batch_size={64 // ways}"), folder)
        return folders[model, strategy]

    return train


@pytest.mark.parametrize(
    ("model", "strategy"),
    [
        *(("mlp", strategy) for strategy in QUICK),
        *(pytest.param("mlp", strategy, marks=pytest.mark.slow) for strategy in OTHERS),
        *(pytest.param("changed", strategy, marks=pytest.mark.slow) for strategy in QUICK),
        *(
            pytest.param("frozen", strategy, marks=pytest.mark.slow)
            for strategy in ("fsdp", "tensor_parallel", "ddp-4")
        ),
        *(pytest.param("gru", strategy, marks=pytest.mark.slow) for strategy in (*QUICK, OTHERS[0])),
        *(pytest.param("texts", strategy, marks=pytest.mark.slow) for strategy in QUICK),
        *(pytest.param("cnn", strategy, marks=pytest.mark.slow) for strategy in ("fsdp", "pipeline", "ddp-4")),
    ],
)
def test_processes_that_share_a_model_end_with_the_weights_and_metrics_of_one(model, strategy, trained):
    one, many = trained(model, "cpu"), trained(model, strategy)
    first, second = checkpoint(one)["state_dict"], checkpoint(many)["state_dict"]
    assert first.keys() == second.keys()
    assert all((first[name] - second[name]).abs().max() <= 1e-6 for name in first)
    ours, theirs = (json.loads((folder / "summary.json").read_text()) for folder in (many, one))
    assert {"train/loss", "train_eval/loss", "val/loss", "test/loss"} <= theirs.keys()
    assert {key: ours[key] for key in ours if "/" in key} == pytest.approx(
        {key: theirs[key] for key in theirs if "/" in key}, abs=1e-6
    )
    assert ours["confusion_matrix"] == theirs["confusion_matrix"]
    assert (ours["parameters"], ours["steps"]) == (theirs["parameters"], theirs["steps"])
    inspected, alone = (json.loads((folder / "inspection.json").read_text()) for folder in (many, one))
    assert inspected["histograms"].keys() == alone["histograms"].keys()
    assert [sample["index"] for sample in inspected["gallery"]] == [sample["index"] for sample in alone["gallery"]]


@pytest.mark.parametrize("strategy", QUICK)
def test_their_checkpoint_is_one_file_that_one_process_opens(strategy, trained):
    folder = trained("mlp", strategy)
    assert checkpoint_path(folder, "last").is_file()
    opened = open_run(folder)
    assert sum(parameter.numel() for parameter in opened.model.parameters()) == 64 * 32 + 32 * 16 + 16 * 8 + 8 * 10 + 66
    outcome = evaluate(opened)
    assert outcome.metrics == pytest.approx(outcome.recorded, abs=1e-6)
    assert outcome.samples == 360


@pytest.mark.parametrize("strategy", ["fsdp", "pipeline"])
def test_a_resumed_run_that_is_split_ends_as_one_that_never_stopped(strategy, composed, tmp_path):
    settings = ["figures=none", "callbacks.resume=auto", "model.dropout=0.1", "scheduler=constant"]
    config = composed(*SHARED, *MLP, f"trainer={strategy}", *settings)
    run(config, tmp_path / "whole")
    config.trainer.max_epochs = 1
    run(config, tmp_path / "part")
    (tmp_path / "part/summary.json").unlink()
    (tmp_path / "part/config.yaml").unlink()
    config.trainer.max_epochs = 2
    run(config, tmp_path / "part")
    first, second = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "part")
    assert all(torch.equal(first["state_dict"][name], value) for name, value in second["state_dict"].items())


@pytest.mark.parametrize("strategy", QUICK)
def test_their_checkpoint_holds_the_optimizer_of_one_process(strategy, trained):
    (one,), (many,) = (checkpoint(trained("mlp", name))["optimizer_states"] for name in ("cpu", strategy))
    assert one["param_groups"] == many["param_groups"]
    assert one["state"].keys() == many["state"].keys()
    for number, state in one["state"].items():
        assert torch.allclose(state["momentum_buffer"], many["state"][number]["momentum_buffer"], rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_a_pipeline_of_four_trains_as_one_process_where_the_last_batch_does_not_divide(schedule, composed, tmp_path):
    layers = [
        "data=digits",
        "data.batch_size=60",
        "model.hidden=[32,16,8]",
        "trainer.max_epochs=1",
        "figures=none",
        "trainer.progress_bar=false",
        "trainer.threads=1",
    ]
    one = run(composed(*layers, "trainer=cpu"), tmp_path / "one")
    assert one.samples["train"] % 60 % 5
    four = ["trainer.devices=4", "trainer.micro_batches=5", "trainer.accelerator=cpu"]
    run(composed(*layers, "trainer=pipeline", *four, f"trainer.pipeline_schedule={schedule}"), tmp_path / "four")
    first, second = (checkpoint(tmp_path / name)["state_dict"] for name in ("one", "four"))
    assert all((first[name] - second[name]).abs().max() <= 1e-6 for name in first)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.devices=3", "trainer.micro_batches=1"], r"micro_batches=1 leaves some of the 3 processes without"),
        (["trainer.devices=4", "model.hidden=[8,8]"], "has 3 layers for 4 processes, the output among them"),
        (["data.batch_size=30"], r"trainer\.micro_batches=4 does not divide data\.batch_size=30"),
        (["trainer=ddp", "trainer.micro_batches=4"], r"trainer\.micro_batches=4 needs trainer=pipeline"),
        (["trainer.pipeline_schedule=zigzag"], "zigzag must be one of gpipe, 1f1b"),
        (["trainer.precision=bf16-mixed"], "bf16-mixed does not go with pipeline: set 32-true or 64-true"),
        (["trainer.accumulate_grad_batches=2"], "does not go with pipeline, whose micro-batches do so"),
        (["figures.gradients=true"], r"figures\.gradients=true looks at layers that a pipeline has in other"),
        (["model.batch_norm=true"], r"model\.batch_norm would see a part of each batch"),
        (["model.dropout=0.1", "model.eval_mode=false", "trainer.devices=1"], r"model\.eval_mode=false needs one"),
        (["model.batch_norm=true", "trainer.devices=1"], r"model\.batch_norm would see a part of each batch"),
        (
            ["model=lstm", "data=imdb", "data.padding=post", "model.embedding_dim=8", "model.masking=true"],
            r"model\.masking=true does not go with trainer=pipeline",
        ),
    ],
)
def test_what_a_pipeline_cannot_do_is_refused_before_processes_start(overrides, message, composed):
    with pytest.raises(ConfigurationError, match=message):
        composed("data=digits", "trainer=pipeline", "trainer.accelerator=cpu", *overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.dropout=0.1"], "dropout does not go with trainer.tensor_parallel_size=2"),
        (["model=lstm", "data=imdb", "model.embedding_dim=8", "model.embedding_dropout=0.1"], "dropout does not go"),
        (["model.hidden=[32,16,7]"], r"model\.hidden\[2\] has 7 units for trainer\.tensor_parallel_size=2 processes"),
        (["model.batch_norm=true"], r"model\.batch_norm would see a part of each batch at a time"),
        (["trainer=ddp", "model.batch_norm=true"], r"model\.batch_norm would see a part of each batch"),
        (["trainer.devices=3"], r"tensor_parallel_size=2 does not divide the 3 processes: set it lower"),
        (
            ["model.hidden=[8,8,{units: 8, activation: prelu}]"],
            r"model\.hidden\[2\] has the activation prelu, which needs",
        ),
        (["model.activation=softmax"], r"model\.hidden\[0\] has the activation softmax, which needs all units in one"),
        (["model.eval_mode=false"], r"model\.eval_mode=false needs one process that has the whole model"),
        (["trainer=ddp", "model.eval_mode=false"], r"model\.eval_mode=false needs one process that has the whole"),
        (["trainer=ddp", "trainer.tensor_parallel_size=2"], "needs trainer.strategy=model_parallel"),
        (["trainer.precision=16-mixed"], "does not go with model_parallel: set 32-true or bf16-mixed"),
    ],
)
def test_what_cannot_be_split_is_refused_before_processes_start(overrides, message, composed):
    with pytest.raises(ConfigurationError, match=message):
        composed("data=digits", "trainer=tensor_parallel", "trainer.accelerator=cpu", *overrides)
