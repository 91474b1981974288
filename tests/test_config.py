"""Every file under conf/ makes a run's parts, and every setting that cannot work is refused in words."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from folders import write_run
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from PIL import Image

from dlproj.command_errors import in_one_line, is_user_error
from dlproj.config.checks import ConfigurationError, UserError
from dlproj.config.compose import register
from dlproj.config.root import SCHEMAS, data_config, load
from dlproj.config.scheduler import CosineConfig
from dlproj.models import recurrent
from dlproj.runs.record import read_run
from dlproj.training.callbacks import build_callbacks
from dlproj.training.trainer import build_trainer

CONF = Path(__file__).parents[1] / "conf"
CHOICES = sorted(f"{group}={file.stem}" for group in [*SCHEMAS, "figures"] for file in (CONF / group).glob("*.yaml"))
GOES_WITH = {
    "data=imdb": ["model=lstm"],
    "model=lstm": ["data=imdb"],
    "model=gru": ["data=imdb"],
    "model=simple_rnn": ["data=imdb"],
    "data=sequence_arrays": ["model=gru"],
}

CUSTOM = {  # of packages, since they are here in any case
    "model=custom": ["model.network=torch.nn:Linear", "model.arguments={out_features: 2}", "data=feature_sum"],
    "optim=custom": ["optim.target=torch.optim.NAdam"],
    "scheduler=custom": ["scheduler.target=torch.optim.lr_scheduler.OneCycleLR", "scheduler.arguments={max_lr: 0.1}"],
}


@pytest.fixture
def image_folder(tmp_path):
    for place in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / place / "0.png")
    return tmp_path


def own_files(choice, tmp_path):
    """Small arrays or a small table for the data sets that read the user's own."""
    if choice == "data=table":
        table = tmp_path / "own.csv"
        table.write_text("number,class\n" + "".join(f"{i * i},{'ab'[i % 2]}\n" for i in range(20)))
        return [f"data.file={table}", "data.target=class"]
    x = {"data=image_arrays": [[[0, 1]], [[1, 0]]], "data=feature_arrays": [[0.5], [1.5]]}.get(choice, [[0, 2], [1, 2]])
    if choice == "data=custom":
        file = tmp_path / "own.py"
        file.write_text(f"def load():\n    return {x * 5}, {[0, 1] * 5}, {x}, [0, 1]\n")
        return [f"data.load={file}:load"]
    file = tmp_path / "own.npz"
    np.savez(file, x_train=x * 5, y_train=[0, 1] * 5, x_test=x, y_test=[0, 1])
    table = tmp_path / "own.csv"
    table.write_text("text,label\na film,good\nno film,bad\n")
    named = {
        "data=text_table": [f"data.file={table}", "data.test_fraction=0.5"],
        "data=hf": [f"data.path={table}", "data.test_fraction=0.5"],
        "data=text_folder": [f"data.root={text_folder(tmp_path)}"],
    }
    return [f"data.file={file}"] if choice.endswith("_arrays") else named.get(choice, [])


def text_folder(tmp_path):
    for place in ("train/bad", "train/good", "test/bad", "test/good"):
        (tmp_path / "texts" / place).mkdir(parents=True)
        (tmp_path / "texts" / place / "0.txt").write_text("a film")
    return tmp_path / "texts"


@pytest.mark.parametrize("choice", CHOICES)
def test_every_file_composes_and_builds(choice, composed, image_folder, tmp_path):
    roots = [f"data.root={image_folder}"] if choice == "data=image_folder" else own_files(choice, tmp_path)
    roots += CUSTOM.get(choice, [])
    config = composed(choice, *GOES_WITH.get(choice, []), *roots)
    data = config.data.build(config.seed)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    optimizer = config.optim.build(model.parameters())
    assert optimizer.param_groups[0]["lr"] == config.optim.learning_rate
    config.scheduler.build(optimizer, config.trainer.max_epochs, steps=100)
    assert len(build_callbacks(config.callbacks, tmp_path)) >= 2
    if choice not in ("trainer=gpu", "trainer=ddp"):  # they need more than this machine and this process
        trainer = build_trainer(config.trainer, [], tmp_path)
        assert trainer.max_epochs == config.trainer.max_epochs


def test_every_class_of_settings_is_reached_by_a_file(composed):
    for group, classes in SCHEMAS.items():
        files = "".join(file.read_text() for file in (CONF / group).glob("*.yaml"))
        assert all(f"/schema/{group}@_here_: {name}\n" in files for name in classes), group


def test_the_default_is_an_mlp_on_fashion_mnist_with_adam(composed):
    config = composed()
    assert (config.model.hidden, config.optim.learning_rate, config.seed) == ([1000], 0.001, 0)
    assert config.data.spec().shape == (1, 28, 28)
    assert isinstance(config.scheduler, CosineConfig)


def test_the_folder_of_the_data_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("DLPROJ_DATA_DIR", "/somewhere")
    assert SCHEMAS["data"]["fmnist"]().root == "/somewhere"
    monkeypatch.delenv("DLPROJ_DATA_DIR")
    assert SCHEMAS["data"]["fmnist"]().root == "data"


@pytest.mark.parametrize(
    "overrides",
    [
        ["data=digits", "model.hidden=[{units: 729, activation: softmax, weight_l1: 0.01}, 5]", "trainer=debug"],
        ["data=imdb", "model=lstm", "data.padding=post", "model.masking=true", "scheduler=step"],
        ["model.weight_initializer={name: normal, std: 0.01}", "model.output.bias_initializer.name=ones", "seed=7"],
        ["trainer.gradient_clip_val=1", "callbacks.early_stopping.patience=2", "optim=adagrad"],
    ],
)
def test_saved_settings_come_back_equal(overrides, composed, tmp_path):
    config = composed(*overrides)
    config.save(tmp_path / "config.yaml")
    assert load(tmp_path / "config.yaml") == config


def test_saved_settings_can_be_read_where_the_data_is_not(composed, image_folder, tmp_path):
    config = composed("data=image_folder", f"data.root={image_folder}")
    config.save(tmp_path / "config.yaml")
    (image_folder / "train").rename(image_folder / "moved")
    assert load(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("data", ["digits", "feature_sum"])
def test_no_folder_is_needed_or_kept_for_data_without_files(data, composed, monkeypatch):
    monkeypatch.setenv("DLPROJ_DATA_DIR", "/somewhere")
    assert "root" not in composed(f"data={data}").settings()["data"]
    assert not hasattr(data_config(data, []), "root")
    assert data_config("imdb", []).root == "/somewhere"


def test_settings_that_older_versions_wrote_are_read_whatever_has_no_effect(composed, tmp_path):
    config = composed("data=digits", "model.hidden=[]", "data.val=test")
    old = config.settings()
    old["data"] |= {"root": "/somewhere", "val_fraction": 0.3}
    old["model"]["dropout"] = 0.5
    old["callbacks"]["early_stopping"]["min_delta"] = 0.1
    old["trainer"] |= {"pipeline_schedule": "gpipe", "gradient_clip_algorithm": "value"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
    found = load(tmp_path / "config.yaml")
    assert (found.data.val_fraction, found.model.dropout) == (0.3, 0.5)
    assert not hasattr(found.data, "root")


def test_settings_that_there_were_not_yet_are_read_as_what_the_run_did(composed, tmp_path):
    new = ("order", "bias", "eval_mode", "negative_slope", "prelu_init", "elu_alpha", "swish_beta", "loss_from")
    config = composed("data=digits", "model.hidden=[8,{units: 4, batch_norm: true}]")
    old = config.settings()
    for name in new:
        del old["model"][name]
    del old["model"]["output"]["bias"], old["trainer"]["evaluate_train"], old["figures"]["graph"]
    del old["reference"]["curves"], old["reference"]["findings"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
    assert load(tmp_path / "config.yaml") == config


@pytest.mark.parametrize("content", ["", "a: [", "seed: 1", "schema: {data: nope}", "schema: {data: digits}\nseed: x"])
def test_damaged_settings_are_refused_with_the_name_of_the_file(content, tmp_path):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ConfigurationError, match=r"config\.yaml is not the complete settings of a run: take it from"):
        load(tmp_path / "config.yaml")


REFUSED = {
    "trainer.val_check_interval=0": "trainer.val_check_interval=0 must be in [1, inf)",
    "figures.samples=[grids]": "figures.samples=grids names no samples: set grid, or train: or test: with numbers",
    "figures.samples=[train:-1]": "figures.samples=train:-1 names no samples: set grid, or train: or test: with",
    "figures.gradients=true trainer.steps_per_execution=2": "figures.gradients=true looks at each batch by itself",
    "figures.gradients=true trainer.precision=16-mixed": "figures.gradients=true needs gradients that are not scaled",
    "figures.gallery=-1": "figures.gallery=-1 must be in [0, inf)",
    "figures.most_wrong=-1": "figures.most_wrong=-1 must be in [0, inf)",
    "model.hiden=[3]": "unknown setting model.hiden: did you mean model.hidden?",
    "+model.foo=3": "unknown setting model.foo: the settings there are activation, batch_norm, bias, bias_init",
    "+typo=1": "unknown setting typo: the settings there are callbacks, data, figures, init_from, logger, metrics",
    "+callbacks.extra.mine=3": "callbacks.extra.mine=3 names nothing to make: set callbacks.extra.mine._target_=",
    "logger=wandb logger.wandb.depth=2": "logger.wandb.depth: Key 'depth' is not in struct: put + before it to add it",
    "logger=cs": "unknown choice logger=cs: did you mean logger=csv?",
    "logger.tensorboard._target_=null": "logger.tensorboard={'_target_': None} names nothing to make",
    "metrics=cohen_kappa metrics.cohen_kappa.direction=up": "metrics.cohen_kappa.direction=up must be one of min, max",
    "+metrics.accuracy._target_=x": "metrics.accuracy is dlproj's own: choose another name",
    "+figures.extra.gallery._target_=x": "figures.extra.gallery is dlproj's own: choose another name",
    "callbacks.early_stopping.monitor=val/kappa": "callbacks.early_stopping.monitor=val/kappa must be one of val",
    "modl=mlp": "unknown setting modl: did you mean model?",
    "lr=0.1": "unknown setting lr: did you mean optim.learning_rate?",
    "optim.lr=0.1": "unknown setting optim.lr: did you mean optim.learning_rate?",
    "optim=rmsprop optim.decay=0.9": "unknown setting optim.decay: it is now optim.alpha",
    "scheduler.final_learning_rate=0": "unknown setting scheduler.final_learning_rate: it is now "
    "scheduler.min_learning_rate",
    "epochs=3": "unknown setting epochs: did you mean trainer.max_epochs?",
    "batch_size=8": "unknown setting batch_size: did you mean data.batch_size?",
    "hidden=[8]": "unknown setting hidden: did you mean model.hidden?",
    "patience=3": "unknown setting patience: did you mean callbacks.early_stopping.patience?",
    "data=digts": "unknown choice data=digts: did you mean data=digits? set one of cifar10, custom, digits, ",
    "data=my/wine.csv": "unknown choice data=my/wine.csv: did you mean data=table data.file=my/wine.csv?",
    "model=net.py:Net": "unknown choice model=net.py:Net: did you mean model=custom model.network=net.py:Net?",
    "model=foo": "unknown choice model=foo: set one of cnn, custom, gru, lstm, mlp, simple_rnn",
    "optim=lion": "unknown choice optim=lion: set one of adagrad, adam, adamw, custom, momentum, ",
    "model.dropout=abc": "model.dropout: Value 'abc' of type 'str' could not be converted to Float",
    "model.dropout=1.5": "model.dropout=1.5 must be in [0, 1)",
    "model.dropout=nan": "model.dropout=nan must be in [0, 1)",
    "model.activation=rleu": "model.activation: Invalid value 'rleu', expected one of [relu, leaky_relu",
    "model.hidden=[0]": "model.hidden[0].units=0 must be in [1, inf)",
    "model.hidden=[abc]": "model.hidden[0]='abc' is not a layer: set a width such as 256, or settings such as",
    "model.hidden=512": "model.hidden: Invalid value assigned: int is not a ListConfig, list or tuple: set a list",
    "model.weight_initializer=ones": "model.weight_initializer: Invalid type assigned: str is not a subclass of Init",
    "model.hidden=[{units: 3, weight_initializer: ones}]": "model.hidden[0]: Merge error: str is not a subclass",
    "model.hidden=[{units: 3, weight_initializer: null}]": "model.hidden[0].weight_initializer: field 'weight_init",
    "model.weight_initializer={name: constant, value: nan}": "model.weight_initializer.value=nan must be in",
    "seed=null": "seed: field 'seed' is not Optional: it cannot be null; set a value",
    "name=": "name is empty: set a word for the folder's name",
    "trainer.progress_bar=maybe": "trainer.progress_bar: Value 'maybe' is not a valid bool (type str): set true",
    "~optim": "optim: Structured config of type `Config` has missing mandatory value: optim: set",
    "+hydra=[{a: 1}]": 'the command line cannot be used (TypeError: can only concatenate str (not "dict") to str): a',
    "data=null": "a group of settings cannot be null: leave it out, or choose one of its files, such as data=digits",
    "scheduler=one_cycle scheduler.warmup_epochs=1": "scheduler=one_cycle rises by itself: set scheduler.pct_start",
    "scheduler=one_cycle scheduler.base_momentum=0.99": "scheduler.base_momentum=0.99 is above scheduler.max_momentum",
    "scheduler=one_cycle scheduler.cycle_momentum=false scheduler.max_momentum=0.9": "scheduler.base_momentum and",
    "scheduler=step scheduler.warmup_epochs=10": "scheduler.warmup_epochs=10.0 leaves nothing of trainer.max_epochs=10",
    "optim.layer_decay=0.5 scheduler.min_learning_rate=0.0001": "scheduler.min_learning_rate would be one for all",
    "trainer.max_steps=0": "trainer.max_steps=0 must be in [1, inf)",
    "scheduler=constant scheduler.gamma=0.5": "unknown setting scheduler.gamma: the only setting there is",
    "scheduler=plateau scheduler.min_learning_rate=5": "scheduler.min_learning_rate=5.0 is above optim",
    "model=gru data=digits model.image_reading=rows model.embedding_dropout=0.1": "model.embedding_* is for word ids",
    "model.hidden=[{units: 3, actvation: relu}]": "unknown setting model.hidden[0].actvation: did you mean",
    "model.hidden=[{activation: relu}]": "model.hidden[0] has no width: set model.hidden[0].units",
    "model.weight_initializer.std=1": "model.weight_initializer.std is read by normal only: set",
    "model.weight_initializer.name=normal": "model.weight_initializer.name=normal needs a number: set model.weight_ini",
    "model.weight_l1=-1": "model.weight_l1=-1.0 must be in [0, inf)",
    "model.outputs=1": "model.outputs=1 is a probability: set model.loss=binary_cross_entropy, model.output.activation",
    "model.output.activation=relu": "model.output.activation=relu does not go with model.loss=cross_entropy: set",
    "model.loss=mean_squared_error model.loss_from=logits": "model.loss_from=logits does not go with model.loss",
    "data=cifar10 model.inputs=784": "model.inputs=784, but the data has 3072 (image of 3 × 32 × 32): set",
    "data=digits model.text_input=counts": "model.text_input and model.embedding_dim are for texts: leave them out",
    "data=imdb model.text_input=counts model.embedding_dim=8": "model.embedding_dim is for text_input=mean_of_embe",
    "data=imdb data.padding=post data.bucket_by_length=true": "data.bucket_by_length=true saves work only if padding",
    "data=text_folder data.root=/nowhere": "/nowhere/train cannot be read",
    "data=text_table": "data.file is empty: set it to a table",
    "data=hf": "data.path is empty: set a name on the Hugging Face hub, or a local folder or file",
    "data=text_table data.file=/nowhere.csv": "/nowhere.csv cannot be read",
    "model=lstm": "an RNN needs to know how to read an image: set model.image_reading=rows",
    "model=lstm data=imdb model.masking=true": "model.masking=true reads reviews from their first word: set",
    "model=lstm data=imdb data.bucket_by_length=true": "data.bucket_by_length=true saves work only if padding",
    "model=lstm data=imdb data.padding=post data.bucket_by_length=true": "data.bucket_by_length=true saves work only "
    "if padding is masked: set model.masking=true",
    "model=lstm data=imdb model.hidden=[]": "model.hidden is empty: set at least one width, such as [128]",
    "model.class_weights=[1]": "model.class_weights has 1 weights, the data 10 classes (T-shirt/top, Tro",
    "model.class_weights=blanced": "model.class_weights=blanced is no weight for each class: set balanced, or a list",
    "model.class_weights=[1,abc]": "model.class_weights=[1, 'abc'] is no weight for each class: set balanced, or a",
    "model.class_weights={a: 1}": "model.class_weights={'a': 1} is no weight for each class: set balanced, or a list",
    "model.class_weights=[1,-1]": "model.class_weights[1]=-1.0 must be in [0, inf)",
    "model.class_weights=[1,nan]": "model.class_weights[1]=nan must be in [0, inf)",
    "model.class_weights=[0,0]": "model.class_weights=[0, 0] leaves no class to learn: set balanced, or a list",
    "model.class_weights=balanced data.sampling=balanced": "model.class_weights=balanced would count what data.samp",
    "model.label_smoothing=1": "model.label_smoothing=1.0 must be in [0, 1)",
    "model.loss=mean_squared_error model.label_smoothing=0.1": "model.label_smoothing is for a cross-entropy or focal",
    "model.focal_gamma=1": "model.focal_gamma=1.0 is read by model.loss=focal only: leave it out, or choose that",
    "model.loss=focal model.focal_gamma=-1": "model.focal_gamma=-1.0 must be in [0, inf)",
    "model.loss=focal model.loss_from=logits": "model.loss_from=logits does not go with model.loss=focal, which reads",
    "model.freeze=[hiden.0]": "model.freeze=hiden.0 must be one of reading, hidden.0, output: did you mean hidden.0?",
    "model=cnn model.freeze=[hidden.1]": "model.freeze=hidden.1 must be one of conv.0, conv.1, hidden.0, output: did",
    "model=lstm data=imdb model.freeze=[hidden.0]": "model.freeze=hidden.0 must be one of embedding, layers.0, output",
    "model=cnn model.freeze=[conv.0,conv.1,hidden.0,output]": "model.freeze names all layers, which leaves nothing to",
    "model.freeze=[output] trainer=pipeline": "model.freeze does not go with trainer=pipeline: set trainer=ddp or fsdp",
    "data.mixup=-1": "data.mixup=-1.0 must be in [0, inf)",
    "model=lstm data=imdb data.mixup=0.2": "data.mixup=0.2 mixes numbers, and this data has word ids: leave it out",
    "data.sampling=weighted": "data.sampling: Invalid value 'weighted', expected one of [shuffled, balanced]",
    "data.batch_size=0": "data.batch_size=0 must be in [1, inf)",
    "data.batch_size=1.5": "data.batch_size: Value '1.5' of type 'float' could not be converted to Integer",
    "data.val_fraction=1": "data.val_fraction=1.0 must be in (0, 1)",
    "data.scaling=half": "data.scaling: Invalid value 'half', expected one of [none, unit, min_max, standardize]",
    "optim.learning_rate=0": "optim.learning_rate=0.0 must be in (0, inf)",
    "optim=nesterov optim.momentum=0": "optim.nesterov=true needs optim.momentum above 0: set 0.9",
    "scheduler.warmup_epochs=1 trainer.max_epochs=1": "scheduler.warmup_epochs=1.0 leaves nothing of trainer.max_ep",
    "callbacks.early_stopping.patience=0": "callbacks.early_stopping.patience=0 must be in [1, inf)",
    "callbacks.early_stopping.monitor=loss": "callbacks.early_stopping.monitor=loss must be one of val",
    "trainer.max_epochs=0": "trainer.max_epochs=0 must be in [1, inf)",
    "trainer.devices=2": "2 devices need a strategy that shares the work: set trainer=ddp",
    "trainer.precision=8": "trainer.precision=8 must be one of 32-true, 64-true, 16-mixed, bf16-mixed",
    "trainer.max_time=00:00:00:00": "trainer.max_time=00:00:00:00 is not a time: set DD:HH:MM:SS, such as 00:01:30:00",
    "trainer.max_time=90": "trainer.max_time=90 is not a time: set DD:HH:MM:SS, such as 00:01:30:00",
    "trainer.precision=16-mixed trainer.gradient_clip_val=1": "trainer.gradient_clip_val does not go with 16-mixed",
    f"trainer.max_epochs={'9' * 20}": "trainer.max_epochs must be in [1, inf) and fit 64 bits",
    "seed=-1": "seed=-1 must be in [0, 4294967295]",
    "data=image_folder data.root=/nowhere": "/nowhere/train cannot be read",
    "data=feature_sum data.root=wine.csv": "data.root has no effect: leave it out, as this data needs no files",
    "data=digits +data.root=wine.csv": "data.root has no effect: leave it out, as this data needs no files",
    "data=digits ++data.root=wine.csv": "data.root has no effect: leave it out, as this data needs no files",
    "data.root=": "data.root is empty: set the folder that holds the data sets",
    "data=imdb model=lstm data.root=": "data.root is empty: set the folder that holds the data sets",
    "data.val=test data.val_fraction=0.2": "data.val_fraction=0.2 has no effect with data.val=test: set data.val=last",
    "callbacks.early_stopping.min_delta=0.1": "callbacks.early_stopping.min_delta=0.1 has no effect without a patience",
    "trainer.gradient_clip_algorithm=value": "trainer.gradient_clip_algorithm=value needs a bound: set trainer.grad",
    "trainer.pipeline_schedule=gpipe": "trainer.pipeline_schedule=gpipe is of trainer=pipeline: choose that or leave",
    "model.hidden=[] model.dropout=0.1": "model.hidden=[] has no hidden layers for model.dropout to act on",
    "model.order=linear": "model.order: Invalid value assigned: str is not a ListConfig, list or tuple: set a list",
    "model.order=[linear,relu]": "model.order[1]: Invalid value 'relu', expected one of [linear, batch_norm, act",
    "model.order=[activation,linear]": "model.order=[activation, linear]: set linear first and once",
    "model=lstm data=imdb model.order=[linear,activation]": "unknown setting model.order: ",
    "model=lstm data=imdb model.bias=false": "unknown setting model.bias: did you mean model.",
    "model.negative_slope=-1": "model.negative_slope=-1.0 must be in [0, inf)",
    "model.order=[linear,batch_norm,activation,activation]": (
        "model.order names batch_norm, which is off: set model.batch_norm=true or leave it out"
    ),
    "model.dropout=0.5 model.eval_mode=false trainer.evaluate_train=true": (
        "trainer.evaluate_train=true would go on training with model.eval_mode=false: leave one of them out"
    ),
    "model.swish_beta=2": "model.swish_beta is read by activation=swish only: leave it out, or choose that",
    "model.eval_mode=false": "model.eval_mode=false acts on dropout and batch norm, which the model has not: leave it",
    "model.hidden=[] model.batch_norm=true model.activation=tanh": "model.hidden=[] has no hidden layers for",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_a_setting_that_cannot_work_is_refused_in_one_line(overrides, composed):
    arguments = [overrides] if "{" in overrides else overrides.split()
    with pytest.raises((UserError, HydraException, OmegaConfBaseException, ValueError, TypeError)) as refused:
        composed(*arguments)
    assert is_user_error(refused.value)
    message = in_one_line(refused.value)
    assert message.startswith(REFUSED[overrides])
    assert "\n" not in message


@pytest.mark.parametrize(
    ("work", "asked"),
    [
        (lambda: torch.empty(10**14), " (400000000000000 bytes more needed)"),
        (lambda: np.empty((10**7, 10**7)), " (728. TiB more needed)"),
        (lambda: torch.empty(10**10, 10**10), ""),
    ],
)
def test_too_little_memory_is_one_line(work, asked):
    with pytest.raises((RuntimeError, MemoryError)) as refused:
        work()
    assert is_user_error(refused.value)
    assert in_one_line(refused.value).startswith(f"out of memory{asked}: use smaller batches or layers")
    assert not is_user_error(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_half_precision_on_the_cpu_is_refused(composed):
    with pytest.raises(UserError, match=r"16-mixed needs a GPU: set trainer\.precision=bf16-mixed"):
        composed("trainer=cpu", "trainer.precision=16-mixed").trainer.check_machine()


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("model", "precision", "device", "falls_back"),
    [
        ("lstm", "bf16-mixed", "cpu", True),
        ("lstm", "bf16-true", "cpu", False),  # torch's own loop computes it
        ("lstm", "32-true", "cpu", False),
        ("gru", "bf16-mixed", "cpu", False),
        ("lstm", "bf16-mixed", "auto", not torch.cuda.is_available()),
    ],
)
def test_an_lstm_falls_back_to_float32_where_the_cpu_has_none_in_bfloat16(
    model, precision, device, falls_back, there, composed, monkeypatch
):
    monkeypatch.setattr(recurrent, "computes_bfloat16_lstm", lambda: there)
    config = composed("data=feature_sum", f"model={model}", f"trainer.precision={precision}", f"trainer={device}")
    told = ["this CPU cannot compute an LSTM in bfloat16: LSTM layers use float32"]
    assert config.fallbacks() == (told if falls_back and not there else [])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_asked_for_in_vain(composed):
    with pytest.raises(UserError, match="the trainer wants 1 GPUs, this machine has 0"):
        composed("trainer=gpu").trainer.check_machine()


def test_the_data_alone_is_set_as_on_the_command_line():
    config = data_config("imdb", ["length=7", "data.padding=post", "root='/a b'"])
    assert (config.length, config.padding.value, config.root) == (7, "post", "/a b")
    assert config.vocabulary_size == 10_000


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("length=1,2", "length=1,2 sets no single value: write SETTING=VALUE"),
        ("+length=1", r"\+length=1 sets no single value: write SETTING=VALUE"),
        ("length=a'b", "length=a'b cannot be read: write SETTING=VALUE"),
        ("length=null", "data.length: .*it cannot be null; set a value"),
        ("model.hidden=[3]", "unknown setting data.model.hidden: the settings there are batch_size, "),
        ("root=''", "data.root is empty: set the folder that holds the data sets"),
    ],
)
def test_a_mistake_in_the_data_alone_is_refused(override, message):
    with pytest.raises(ConfigurationError, match=f"^{message}") as caught:
        data_config("imdb", [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("digits", ["root=/x"], "data.root has no effect: leave it out, as this data needs no files"),
        ("feature_sum", ["val=test", "val_fraction=0.5"], "data.val_fraction=0.5 has no effect with data.val=test"),
    ],
)
def test_what_has_no_effect_on_the_data_alone_is_refused(name, overrides, message):
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        data_config(name, overrides)


def test_jobs_of_a_cluster_have_the_commands_name():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        register()
        assert compose("config", return_hydra_config=True).hydra.job.name == "train"


OLDER = {
    "rmsprop": ("optim", "decay", "alpha", 0.9),
    "adagrad": ("optim", "initial_accumulator", "initial_accumulator_value", 0.1),
    "step": ("scheduler", "every", "step_size", 3),
    "cosine": ("scheduler", "final_learning_rate", "min_learning_rate", 0.0001),
}


@pytest.mark.parametrize("choice", OLDER)
def test_a_run_of_an_older_version_is_read_with_the_names_of_today(choice, composed, tmp_path):
    group, old, new, value = OLDER[choice]
    config = composed("data=digits", f"{group}={choice}")
    setattr(getattr(config, group), new, value)
    folder = write_run(tmp_path / "run")
    config.save(folder / "config.yaml")
    text = (folder / "config.yaml").read_text()
    assert text.count(f"  {new}: {value}\n") == 1
    (folder / "config.yaml").write_text(text.replace(f"  {new}: {value}\n", f"  {old}: {value}\n"))
    assert load(folder / "config.yaml") == config
    assert read_run(folder).settings == config.settings()
