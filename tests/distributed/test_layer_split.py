"""The layers of one process's model on several devices, one after another."""

import pytest
import torch

from dlproj.config.checks import ConfigurationError
from dlproj.config.optim import AdamConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.distributed.layer_split import connect, place
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.run import run

QUICK = [
    "data=digits",
    "trainer.max_epochs=2",
    "trainer.progress_bar=false",
    "trainer.threads=1",
    "figures=none",
    "model.dropout=0.2",
    "trainer.evaluate_train=true",
]
MODELS = {"mlp": ["model.hidden=[16,8]"], "gru": ["model=gru", "model.image_reading=rows", "model.hidden=[8,8]"]}


def weights(folder):
    return torch.load(checkpoint_path(folder, "last"), weights_only=True)["state_dict"]


@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_is_spread_trains_to_the_bits_of_one_that_is_not(model, composed, tmp_path):
    whole = run(composed(*QUICK, *MODELS[model], "trainer=cpu"), tmp_path / "whole")
    spread = ["trainer=layer_split", "trainer.layer_devices=[cpu,cpu,cpu]"]
    split = run(composed(*QUICK, *MODELS[model], *spread), tmp_path / "split")
    assert split.metrics == whole.metrics
    first = weights(tmp_path / "whole")
    assert all(torch.equal(value, first[name]) for name, value in weights(tmp_path / "split").items())


def test_layers_stand_in_order_and_what_they_give_follows_them(composed):
    config = composed("data=digits", *MODELS["mlp"])
    network = config.model.build(config.data.spec(), AdamConfig(), SchedulerConfig())
    devices = [torch.device("cpu"), torch.device("meta")]  # a device without numbers, which every machine has
    first, second, last = layers = network.sequential_layers()
    place(layers, devices)
    connect(layers, devices)
    assert [next(layer.parameters()).device.type for layer in (first, second, last)] == ["cpu", "cpu", "meta"]
    seen = []
    last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].device.type))
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):  # back to the first device
        network(torch.zeros(4, 1, 8, 8))
    assert seen == ["meta"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["trainer.layer_devices=[cpu,cpu,cpu,cpu]"],
            r"names 4 devices for 3 layers, the output among them: name fewer",
        ),
        (["trainer.layer_devices=[gpu]"], r"trainer\.layer_devices: gpu is not a device: set cpu, cuda:0"),
        (["trainer.devices=2"], r"trainer=layer_split is one process: set trainer\.devices=1"),
        (["trainer=cpu", "trainer.layer_devices=[cpu]"], r"trainer\.layer_devices needs trainer=layer_split"),
    ],
)
def test_devices_that_cannot_be_are_refused(overrides, message, composed):
    with pytest.raises(ConfigurationError, match=message):
        composed(*QUICK, *MODELS["mlp"], "trainer=layer_split", *overrides)


def test_devices_that_this_machine_lacks_are_refused(composed, tmp_path):
    message = r"trainer\.layer_devices: this machine has no cuda:70, cuda:71, but \d+ GPUs"
    config = composed(*QUICK, *MODELS["mlp"], "trainer=layer_split", "trainer.layer_devices=[cuda:70,cuda:71]")
    with pytest.raises(ConfigurationError, match=message):
        run(config, tmp_path)
