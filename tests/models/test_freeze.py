"""Frozen layers: their parameters and statistics do not change, the others train as ever."""

import re

import pytest
import torch
from torch import nn

from dlproj.config.checks import ConfigurationError
from dlproj.reports.run_page import run_page
from dlproj.runs.record import read_run
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.progress_bar import layer_rows
from dlproj.training.run import run

QUICK = [
    *("data=digits", "trainer.max_epochs=2", "trainer.limit_train_batches=20", "figures=none"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false", "optim=momentum"),
]
MODELS = {
    "hidden.0": ["model.hidden=[16,8]", "model.batch_norm=true", "model.weight_l2=0.01", "model.activation=prelu"],
    "conv.1": ["model=cnn", "model.conv=[4,8]", "model.hidden=[16]", "model.batch_norm=true"],
    "layers.0": ["model=gru", "model.hidden=[8,8]", "model.image_reading=rows"],
    "output": ["model.hidden=[16]", "optim.weight_decay=0.1", "model.dropout=0.2"],
}


def start(config):
    """The weights that run() starts from."""
    torch.manual_seed(config.seed)
    return config.model.build(config.data.spec(), config.optim, config.scheduler).state_dict()


def weights(folder):
    return torch.load(checkpoint_path(folder, "last"), weights_only=True)["state_dict"]


@pytest.mark.parametrize("layer", MODELS)
def test_a_frozen_layer_alone_ends_with_the_bits_that_it_started_with(layer, composed, tmp_path):
    config = composed(*QUICK, *MODELS[layer], f"model.freeze=[{layer}]")
    run(config, tmp_path)
    before, after = start(config), weights(tmp_path)
    frozen = {name for name in after if name.startswith(f"{layer}.")}
    assert frozen
    assert {name for name in after if torch.equal(after[name], before[name])} == frozen
    saved = torch.load(checkpoint_path(tmp_path, "last"), weights_only=True)
    ((group,),) = (state["param_groups"] for state in saved["optimizer_states"])
    trained = [name for name in after if name not in frozen and "running" not in name and "batches" not in name]
    assert len(group["params"]) == len(trained)


def test_an_embedding_can_be_frozen_with_the_rows_that_no_word_reads(composed):
    config = composed(*("data=feature_sum", "model=lstm", "model.hidden=[4]"))
    config.model.embedding_dim, config.model.embedding_rows, config.model.freeze = 3, 60, ["embedding"]
    from dlproj.config.data import DataSpec, Kind

    model = config.model.build(DataSpec(Kind.sequence, (7,), ("a", "b"), 50, "pre"), config.optim, config.scheduler)
    model.configure_model()
    assert {name for name, value in model.named_parameters() if not value.requires_grad} == {
        "embedding.0.weight",
        "embedding.0.unread",
    }


def test_the_others_train_as_if_the_frozen_ones_were_constants(composed, tmp_path):
    """Against a loop of torch's own."""
    config = composed(*QUICK, "model.hidden=[16,8]", "model.freeze=[hidden.0]", "scheduler=constant")
    run(config, tmp_path)
    torch.manual_seed(config.seed)
    data = config.data.build(config.seed)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    data.setup()
    rest = [*model.hidden[1].parameters(), *model.output.parameters()]
    optimizer = torch.optim.SGD(rest, lr=config.optim.learning_rate, momentum=config.optim.momentum)
    loader = data.train_dataloader()
    for epoch in range(2):
        loader.batch_sampler.sampler.set_epoch(epoch)
        for (inputs, targets), _ in zip(loader, range(20), strict=False):
            optimizer.zero_grad()
            with torch.no_grad():
                features = model.hidden[0](inputs.flatten(1))
            nn.functional.cross_entropy(model.output(model.hidden[1](features)), targets).backward()
            optimizer.step()
    for name, value in weights(tmp_path).items():
        assert torch.allclose(value, model.state_dict()[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize("overrides", [[], ["model.eval_mode=false"]])
def test_batch_norm_of_a_frozen_layer_uses_its_statistics_and_keeps_them(overrides, composed, tmp_path):
    config = composed(*QUICK, "model.hidden=[16,8]", "model.batch_norm=true", "model.freeze=[hidden.0]", *overrides)
    run(config, tmp_path)
    after = weights(tmp_path)
    assert not after["hidden.0.batch_norm.running_mean"].any()
    assert int(after["hidden.0.batch_norm.num_batches_tracked"]) == 0
    assert after["hidden.1.batch_norm.running_mean"].any()


def test_the_table_and_the_page_say_what_is_frozen(composed, tmp_path):
    config = composed(*QUICK, "model.hidden=[16,8]", "model.freeze=[hidden.0]", "trainer.max_epochs=1")
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    model.configure_model()
    (first, *_, total) = layer_rows(model)
    assert (first[0], first[3]) == ("hidden.0.linear", "1,040, 1,040 of them not trained")
    assert total[3] == "1,266, 1,040 of them not trained"
    run(config, tmp_path)
    page = run_page(read_run(tmp_path))
    assert [(layer.name, layer.parameters, layer.frozen) for layer in page["layers"]] == [
        ("inputs", 0, False),
        ("hidden.0", 1040, True),
        ("hidden.1", 136, False),
        ("output", 90, False),
    ]


def test_a_name_that_only_the_built_model_knows_is_checked_there(composed, monkeypatch):
    config = composed("data=digits", "model.hidden=[16]")
    config.model.freeze = ["hiden.0"]
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    message = "model.freeze=hiden.0 must be one of hidden, hidden.0, hidden.0.linear, output: did you mean hidden.0?"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        model.configure_model()


def test_at_least_one_layer_is_trained(composed):
    config = composed("data=digits", "model.hidden=[16]", "model.freeze=[output,hidden.0]")
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    with pytest.raises(ConfigurationError, match=r"^model\.freeze names all layers, which leaves nothing to train"):
        model.configure_model()
