"""Code of the user's own: it trains as dlproj's does, is kept with the run, and runs only where that is allowed."""

import importlib
import re
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from torch import nn
from typer.testing import CliRunner

import dlproj
from dlproj.api.composing import composed as checked_settings
from dlproj.cli.app import app
from dlproj.config import consent, user_code
from dlproj.config.checks import ConfigurationError, UserError
from dlproj.config.conversion import typed
from dlproj.config.custom import CustomConfig, CustomDataConfig, CustomOptimConfig, CustomSchedulerConfig
from dlproj.config.images import DigitsConfig
from dlproj.config.optim import AdamConfig
from dlproj.config.scheduler import SchedulerConfig
from dlproj.config.trainer import StrategyName
from dlproj.data import custom as custom_data
from dlproj.inference.evaluate import evaluate
from dlproj.inference.trained import open_run
from dlproj.runs.record import read_run
from dlproj.training.monitors.network_graph import graph_of
from dlproj.training.run import run

QUIET = ("figures=none", "logger=none", "trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false")
DIGITS = ("data=digits", "trainer.max_epochs=2", *QUIET)
NET = """
    import math
    from torch import nn
    from blocks import dense

    class Net(nn.Module):
        def __init__(self, in_features, num_classes, width=32):
            super().__init__()
            self.hidden = nn.Sequential(dense(in_features, width))
            self.output = nn.Linear(width, num_classes)

        def forward(self, inputs):
            return self.output(self.hidden(inputs.flatten(1)))
"""
BLOCKS = """
    from collections import OrderedDict
    from torch import nn

    def dense(inputs, width):
        return nn.Sequential(OrderedDict(linear=nn.Linear(inputs, width), activation=nn.ReLU()))
"""


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, with net.py and blocks.py, and a user who has run nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write(tmp_path, net=NET, blocks=BLOCKS)
    return tmp_path


@pytest.fixture
def stranger(monkeypatch):
    """Call to become a user, in another process, who has run nothing yet."""

    def become():
        monkeypatch.setenv("XDG_STATE_HOME", "stranger")
        monkeypatch.setattr(consent, "_allowed", set())
        monkeypatch.setattr(user_code, "_sources", {})

    return become


def custom(*overrides):
    return dlproj.train("model=custom", "model.network=net.py:Net", *DIGITS, *overrides, folder="run")


def read(cls, settings):
    """Settings that are checked as on the command line, without its time."""
    config = typed(cls, settings, cls.key.partition(".")[0])
    if hasattr(config, "check_read"):
        config.check_read()
    config.check_code()
    return config


def classifier(settings):
    config = read(CustomConfig, {"network": "net.py:Net"} | settings)
    return config.build(DigitsConfig().spec(), AdamConfig(), SchedulerConfig())


def weights(folder, name="last"):
    return torch.load(f"{folder}/checkpoints/{name}.ckpt", weights_only=True)["state_dict"]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), marks=pytest.mark.slow),
        ("model.loss=mean_squared_error", "trainer.gradient_clip_val=0.1", "optim.ema_decay=0.9"),
    ],
)
def test_a_copy_of_the_mlp_has_its_weights_and_figures_to_the_bit(here, more):
    own = dlproj.train(
        "model=custom", "model.network=net.py:Net", "model.arguments={width: 48}", *DIGITS, *more, folder="own"
    )
    built_in = dlproj.train("model=mlp", "model.hidden=[48]", *DIGITS, *more, folder="mlp")
    assert own.metrics == built_in.metrics
    theirs = weights("mlp")
    assert {name.removeprefix("network."): value.tolist() for name, value in weights("own").items()} == {
        name: value.tolist() for name, value in theirs.items()
    }
    a, b = read_run(Path("own")), read_run(Path("mlp"))
    assert a.result.parameters == b.result.parameters
    assert a.inspection.dead_units == b.inspection.dead_units


def test_a_run_keeps_its_code_and_is_used_with_that_when_the_file_has_changed(here, caplog, capsys):
    run = custom()
    before = run.predict(np.zeros((1, 8, 8)))
    write(here, net=NET.replace("return self", "return -self"))
    loaded = open_run(run.folder)
    assert caplog.messages[-1] == "net.py has changed: run uses its own copy"
    assert evaluate(loaded).equals_training()
    assert dlproj.load_run("run").predict(np.zeros((1, 8, 8))).equals(before)
    assert (run.folder / "code/model/blocks.py").read_text() == textwrap.dedent(BLOCKS)
    assert "runs code of net.py\n" in capsys.readouterr().err


def test_a_run_is_used_where_the_file_is_not(here, tmp_path_factory, monkeypatch):
    run = custom()
    folder = shutil.copytree(run.folder, tmp_path_factory.mktemp("elsewhere") / "run")
    monkeypatch.chdir(folder.parent)
    assert evaluate(open_run(folder)).equals_training()


def test_somebody_elses_code_runs_only_where_the_user_says_so(here, stranger):
    custom()
    stranger()
    write(here, net="raise AssertionError", blocks="raise AssertionError")
    words = "run runs net.py:Net, which you have not trained with here: look at run/code, then add --allow-code"
    for use in (lambda: open_run(Path("run")), lambda: dlproj.resume("run"), lambda: dlproj.load_run("run").model):
        with pytest.raises(UserError, match=re.escape(words)):
            use()
    assert isinstance(dlproj.load_run("run", allow_code=True).model.network, nn.Module)
    stranger()
    with pytest.raises(UserError, match="add --allow-code"):
        open_run(Path("run"))


def test_a_run_goes_on_with_a_schedule_of_ones_own(here, stranger):
    custom()
    stranger()
    schedule = "from torch.optim.lr_scheduler import StepLR\nclass Halved(StepLR): pass"
    write(here, schedule=schedule)
    typed = ["trainer.max_epochs=9", "scheduler=custom", "scheduler.target=schedule.py:Halved"]
    arguments = "scheduler.arguments={step_size: 3}"
    with pytest.raises(UserError, match=r"run runs net\.py:Net, which you have not trained with here"):
        dlproj.resume("run", *typed, arguments)
    stranger()
    dlproj.resume("run", *typed, arguments, allow_code=True)
    assert read_run(Path("run")).result.last_epoch == 9
    assert Path("run/code/scheduler/schedule.py").read_text() == schedule


@pytest.mark.parametrize("change", ["net.py", "arguments", "new.py"])
def test_consent_is_to_this_code_with_these_arguments(here, change, stranger):
    custom()
    if change == "arguments":
        text = Path("run/config.yaml").read_text()
        assert "arguments: {}" in text
        Path("run/config.yaml").write_text(text.replace("arguments: {}", "arguments: {width: 32}", 1))
    else:
        with Path("run/code/model", change).open("a") as file:
            file.write("raise AssertionError\n")
    consent._allowed.clear()
    with pytest.raises(UserError, match=r"is not the code that the run was trained with|add --allow-code"):
        open_run(Path("run"))


def test_a_run_folder_calls_no_function_of_a_package_without_consent(here):
    custom("model.network=torch.nn:Linear", "model.arguments={in_features: 20, out_features: 2}", "data=feature_sum")
    open_run(Path("run"))
    text = Path("run/config.yaml").read_text()
    Path("run/config.yaml").write_text(text.replace("torch.nn:Linear", "os:_exit").replace("out_features", "status"))
    with pytest.raises(
        UserError, match=r"run runs os:_exit\(in_features=20, status=2\), .*: see what that is, then add --allow-code"
    ):
        open_run(Path("run"))


def test_compiled_code_beside_the_copy_is_not_read(here):
    """Python would take a .pyc of the right time instead of the source, which is what was allowed."""
    run = custom()
    assert not list(here.rglob("*.pyc"))
    assert "__pycache__" not in {path.name for path in run.folder.rglob("*")}


STOPPABLE = """
    import os
    from torch import nn

    class Net(nn.Module):
        def __init__(self, in_features, num_classes):
            super().__init__()
            self.output = nn.Sequential(nn.Flatten(), nn.Linear(in_features, num_classes), nn.Dropout(0.2))
            self.steps = 0

        def forward(self, inputs):
            self.steps += self.training
            if self.steps == int(os.environ.get("STOP_AT", -1)):
                raise KeyboardInterrupt
            return self.output(inputs)
"""
CYCLIC = (
    *("scheduler=custom", "scheduler.target=torch.optim.lr_scheduler.CyclicLR", "scheduler.interval=step"),
    "scheduler.arguments={base_lr: 0.001, max_lr: 0.01, step_size_up: 3, cycle_momentum: false}",
)
ONE_CYCLE = (
    *("scheduler=custom", "scheduler.target=torch.optim.lr_scheduler.OneCycleLR"),
    "scheduler.arguments={max_lr: 0.01}",
)
BY_EPOCH = (
    *("scheduler=custom", "scheduler.target=torch.optim.lr_scheduler.CosineAnnealingLR", "scheduler.interval=epoch"),
)


@pytest.mark.parametrize(
    ("optim", "schedule"),
    [
        ("NAdam", CYCLIC),
        pytest.param("Adamax", ONE_CYCLE, marks=pytest.mark.slow),
        pytest.param("ASGD", BY_EPOCH, marks=pytest.mark.slow),
    ],
)
def test_a_run_is_resumed_to_the_bit_with_its_code_optimizer_andschedule(optim, schedule, here, monkeypatch):
    write(here, net=STOPPABLE)
    parts = ("optim=custom", f"optim.target=torch.optim.{optim}", *schedule, "trainer.max_epochs=3")
    custom(*parts).folder.rename("whole")
    monkeypatch.setenv("STOP_AT", "15")  # in the second of three epochs
    with pytest.raises(KeyboardInterrupt):
        custom(*parts)
    monkeypatch.delenv("STOP_AT")
    write(here, net="raise AssertionError")  # the run's own copy goes on
    resumed = dlproj.resume("run")
    assert resumed.status == "completed"
    assert resumed.metrics == dlproj.load_run("whole").metrics
    assert {name: value.tolist() for name, value in weights("run").items()} == {
        name: value.tolist() for name, value in weights("whole").items()
    }


@pytest.mark.parametrize("optim", ["adam", pytest.param("rmsprop", marks=pytest.mark.slow)])
def test_an_optimizer_and_a_schedule_of_torch_are_those_of_dlproj(here, optim):
    """The same classes with the same settings, here chosen by torch's names."""
    target, arguments = {"adam": ("Adam", "{fused: true}"), "rmsprop": ("RMSprop", "{alpha: 0.9}")}[optim]
    theirs = ("optim=custom", f"optim.target=torch.optim.{target}", f"optim.arguments={arguments}")
    step = ("scheduler=custom", "scheduler.target=torch.optim.lr_scheduler.StepLR", "scheduler.interval=epoch")
    common = ("model.hidden=[16]", "optim.learning_rate=0.01", "optim.weight_decay=0.001", *DIGITS)
    own = dlproj.train(*theirs, *step, "scheduler.arguments={step_size: 1, gamma: 0.5}", *common, folder="own")
    ours = [f"optim={optim}", *(["optim.alpha=0.9"] if optim == "rmsprop" else [])]
    ours += ["scheduler=step", "scheduler.step_size=1", "scheduler.gamma=0.5"]
    assert own.metrics == dlproj.train(*ours, *common, folder="ours").metrics


def test_a_schedule_is_as_long_as_the_training_unless_its_length_is_given(here):
    run = custom("optim=sgd", *ONE_CYCLE, "trainer.steps_per_execution=1")
    last = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    (schedule,) = last["lr_schedulers"]
    assert schedule["total_steps"] == run._record.result.steps
    custom("optim=sgd", *ONE_CYCLE[:2], "scheduler.arguments={max_lr: 0.1, total_steps: 977}", "overwrite=true")
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["lr_schedulers"][0]["total_steps"] == 977


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("class Net(nn.Module)", {}, "net.py line 3 cannot be read as Python (expected ':'): correct it"),
        ("class Nett: pass", {}, "model.network: net.py has no Net: did you mean Nett?"),
        ("", {"network": "net.py:Other"}, "model.network: net.py has no Other: it has nn, torch"),
        ("import nowhere\nclass Net: pass", {}, "net.py line 3: ModuleNotFoundError: No module named 'nowhere'"),
        ("1 / 0\nclass Net: pass", {}, "net.py line 3: ZeroDivisionError: division by zero"),
        ("Net = 3", {}, "model.network=net.py:Net is no class and no function: name one"),
        ("class Net: pass", {}, "model.network=net.py:Net makes a Net: it must make a nn.Module"),
        ("def Net(): pass", {}, "model.network=net.py:Net makes a NoneType: it must make a nn.Module"),
        ("def Net(wide): pass", {}, "Net needs wide: set model.arguments='{wide: …}'"),
        (
            "def Net(wide=1): pass",
            {"arguments": {"wid": 1}},
            "model.arguments.wid is no argument of Net: did you mean wide",
        ),
        ("def Net(): pass", {"arguments": {"wid": 1}}, "model.arguments.wid is no argument of Net: it takes none"),
        ("Net = lambda a: a", {}, "Net needs a: set model.arguments='{a: …}'"),
        ("def Net(): return nn.Linear(64, 10)", {}, "model.network=net.py:Net cannot be used: RuntimeError: mat1 and "),
        (
            "def Net(): return nn.Flatten()",
            {},
            "returns the shape (2, 64): it must return a logit for each class, (2, 10)",
        ),
        (
            "def Net(): return nn.Sequential(nn.Flatten(), nn.RNN(64, 10))",
            {},
            "returns a tuple: it must return a logit ",
        ),
        ("def Net(): return nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10))", {}, "has no parameters to train"),
        (
            "class Net(nn.Module): pass",
            {},
            "model.network=net.py:Net cannot be used: NotImplementedError: Module [Net] ",
        ),
        ("class Net(nn.Module):\n def forward(self, x):\n  return x.nothing", {}, "net.py line 5, in forward: Attr"),
        ("class Net(nn.Module):\n def __init__(self):\n  self.a = nn.ReLU()", {}, "net.py line 5, in __init__: Attr"),
        ("", {"network": "not_there.py:Net"}, "model.network=not_there.py:Net: there is no file "),
        ("", {"network": "~nobody-here/net.py:Net"}, "model.network=~nobody-here/net.py:Net: "),
        ("", {"network": "net.py"}, "model.network=net.py names no code: set such as my_file.py:Name or "),
        ("", {"network": "net.py:"}, "model.network=net.py: names no code: "),
        ("", {"network": ""}, "model.network= names no code: "),
        ("", {"network": "os"}, "model.network=os names no code: "),
        ("", {"network": "nowhere.net:Net"}, "there is no package nowhere: install it, or name a file, my_file.py:Net"),
        ("", {"network": "torch.nn:Linea"}, "model.network: torch.nn has no Linea: did you mean Linear?"),
        ("", {"hidden": [3]}, "model.hidden has no effect with model=custom, whose network has its own layers"),
        ("", {"output": {"bias": False}}, "model.output.bias has no effect with model=custom, "),
    ],
)
def test_a_network_that_cannot_be_used_is_answered_in_one_line(text, settings, words, here):
    (here / "net.py").write_text(f"import torch\nfrom torch import nn\n{text}\n")
    with pytest.raises(UserError, match=re.escape(words)) as told:
        classifier(settings)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        ("pipeline", "model=custom does not go with trainer=pipeline: set trainer=ddp or fsdp"),
        ("tensor_parallel", "model=custom does not go with trainer.tensor_parallel_size=2: set trainer=ddp or fsdp"),
    ],
)
def test_a_strategy_that_needs_to_know_the_layers_is_refused(trainer, words, here):
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        custom(f"trainer={trainer}", "trainer.devices=2")


def test_what_fails_in_the_users_code_while_it_trains_is_told_with_its_line(here):
    write(here, net=NET.replace("return self", "assert len(inputs) != 5, 'five'\n            return self"))
    with pytest.raises(UserError, match=r"^net\.py line 13, in forward: AssertionError: five$"):
        custom("data.batch_size=5")


def test_a_file_may_lie_in_a_folder_with_spaces(here):
    (here / "my nets, new").mkdir()
    write(here / "my nets, new", net=NET, blocks=BLOCKS)
    run = custom("model.network='my nets, new/net.py:Net'")
    assert evaluate(open_run(run.folder)).equals_training()


def test_modules_of_the_same_name_are_told_apart(here):
    """Each network gets the blocks.py beside it, whatever was imported before."""
    first = custom()
    (here / "other").mkdir()
    write(here / "other", net=NET, blocks=BLOCKS.replace("ReLU", "Tanh"))
    first.folder.rename("first")
    second = custom("model.network=other/net.py:Net")
    kinds = [type(dlproj.load_run(name).model.network.hidden[0].activation) for name in ("first", second.folder)]
    assert kinds == [nn.ReLU, nn.Tanh]


def test_a_class_is_a_model_in_python(here, monkeypatch):
    monkeypatch.syspath_prepend(here)
    write(here, own_net_in_python=NET)
    net = importlib.import_module("own_net_in_python")
    run = dlproj.train(*DIGITS, model=net.Net, model__arguments={"width": 8}, folder="run")
    assert run.settings["model"]["network"] == f"{here}/own_net_in_python.py:Net"
    assert evaluate(open_run(run.folder)).equals_training()


def test_an_argument_that_the_data_does_not_have_is_named(here):
    write(here, net=NET.replace("num_classes,", "num_classes, vocabulary_size,"))
    needs = r"Net needs vocabulary_size, which this data does not have: set model\.arguments, or other data"
    with pytest.raises(ConfigurationError, match=needs):
        custom()
    assert custom("model.arguments={vocabulary_size: 9}").status == "completed"


@pytest.mark.parametrize("network", [type("Net", (nn.Module,), {}), lambda: None, nn.Linear.forward])
def test_a_class_that_no_file_defines_is_refused(network, here):
    with pytest.raises(
        ConfigurationError, match=r"is not defined at the top of a file of its own: write it to one, and import it$"
    ):
        dlproj.train(*DIGITS, model=network, folder="run")


def test_an_object_is_no_class(here):
    with pytest.raises(
        ConfigurationError, match=r"^model is an object of Linear: give the class, and its arguments as"
    ):
        dlproj.train(*DIGITS, model=nn.Linear(3, 4), folder="run")


def test_code_that_changes_while_a_run_begins_is_refused(here):
    config, _ = checked_settings(["model=custom", "model.network=net.py:Net", *DIGITS])
    user_code._sources.clear()
    write(here, net=NET + "\n")
    with pytest.raises(ConfigurationError, match=r"^net\.py:Net has changed since the run began: start it again$"):
        user_code.admit(config, here / "run")


def test_the_code_decides_whether_a_run_is_the_same(here):
    custom()
    write(here, net=NET.replace("width=32", "width=33"))
    with pytest.raises(ConfigurationError, match=r"holds a run with model\.code=\w+ \(now \w+\)"):
        custom("callbacks.resume=auto")


@pytest.mark.parametrize(
    ("text", "chain", "hidden"),
    [
        ("nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))", True, ["2"]),
        ("nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))", True, ["1"]),
        ("Twice()", False, []),
    ],
)
def test_activations_and_chains_are_found(text, chain, hidden, here):
    twice = """
        class Twice(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.relu = nn.Linear(64, 64), nn.Linear(64, 10), nn.ReLU()

            def forward(self, x):
                x = x.flatten(1)
                return self.b(self.relu(x + self.relu(self.a(x))))
    """
    (here / "net.py").write_text(f"from torch import nn\n{textwrap.dedent(twice)}\ndef Net(): return {text}\n")
    model = custom("trainer.max_epochs=1").model
    assert model.is_chain is chain
    assert list(model.hidden_outputs()) == hidden
    if chain:
        assert graph_of(model, dlproj.load_run("run")._loaded.data.spec, "loss")[-1].operation == "loss"
    else:
        with pytest.raises(ValueError, match="not modules applied one after another"):
            graph_of(model, dlproj.load_run("run")._loaded.data.spec, "loss")


DATA = """
    import numpy as np
    from sklearn.datasets import load_wine

    NAMES = np.array(["barolo", "grignolino", "barbera"])

    def load(seed=0, test=40):
        x, y = load_wine(return_X_y=True)
        order = np.random.default_rng(seed).permutation(len(x))
        x, y = x[order], NAMES[y[order]]
        return x[:-test], y[:-test], x[-test:], y[-test:]

    def nested():
        x_train, y_train, x_test, y_test = load()
        return (x_train, y_train), (x_test, y_test)

    def shuffled():
        x, y = load_wine(return_X_y=True)
        order = np.random.permutation(len(x))
        return x[order][:100], y[order][:100], x[order][100:], y[order][100:]

    def images():
        x = np.random.default_rng(0).integers(0, 255, (40, 6, 6), dtype=np.uint8)
        return x, np.arange(40) % 2, x[:10], np.arange(10) % 2

    def ids():
        x, y, _, _ = images()
        return x[:, 0], y, x[:10, 0], y[:10]

    def no_test():
        return load(test=1)[:2]

    def three(): return 1, 2, 3
    def none(): pass
    def text(): return [["a"]] * 4, [0, 1] * 2, [["a"]] * 4, [0, 1] * 2
    def broken(): return np.zeros(3) @ np.zeros(4)
"""


@pytest.fixture
def with_data(here):
    write(here, my_data=DATA)
    return here


def own_data(name, *overrides):
    chosen = ("data=custom", f"data.load=my_data.py:{name}", "model.hidden=[8]")
    return dlproj.train(*chosen, *QUIET, "trainer.max_epochs=2", *overrides, folder="run")


def test_a_function_s_arrays_train_as_the_same_arrays_from_python(with_data):
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], np.array(["barolo", "grignolino", "barbera"])[y[order]]
    own = own_data("load", "data.val=random")
    arrays = (x[:-40], y[:-40], x[-40:], y[-40:])
    other = dlproj.train("model.hidden=[8]", *QUIET, "trainer.max_epochs=2", data=arrays, folder="arrays")
    assert own.metrics == other.metrics
    assert own.predict(x[:3]).equals(other.predict(x[:3]))
    assert own.settings["data"]["kind"] == "features"


def test_a_function_may_import_files_beside_it(with_data):
    inner = "    import data_beside\n    assert data_beside is first\n    return data_beside.load()\n"
    write(with_data, my_data=f"import data_beside\nfirst = data_beside\ndef load():\n{inner}", data_beside=DATA)
    assert own_data("load").status == "completed"
    write(with_data, my_data="def load():\n    import data_beside\n    return data_beside.load()\n")
    assert own_data("load", "overwrite=true").status == "completed"


def test_data_is_evaluated_with_the_runs_copy_and_other_arguments(with_data):
    run = own_data("load")
    write(with_data, my_data="raise AssertionError")
    assert evaluate(open_run(run.folder)).equals_training()
    other = evaluate(open_run(run.folder), settings=["arguments={test: 90}"])
    assert other.samples == 90
    assert other.equals_training() is None


@pytest.mark.parametrize(
    ("name", "overrides", "kind", "shape"),
    [
        ("nested", [], "features", [13]),
        ("images", ["data.random_crop=1"], "image", [1, 6, 6]),
        ("ids", ["data.kind=sequence", "model=lstm", "data.padding=post"], "sequence", [6]),
    ],
)
def test_the_kind_follows_from_the_shape(name, overrides, kind, shape, with_data):
    run = own_data(name, *overrides)
    assert run.settings["data"]["kind"] == kind
    assert run._record.result.input_shape == shape
    assert evaluate(open_run(run.folder)).equals_training()


def test_a_function_that_draws_gives_the_same_arrays_each_time(with_data):
    """It begins with the same random generators, in each process and each time, and leaves those of the run alone."""
    first = own_data("shuffled")
    custom_data._loaded.clear()
    np.random.seed(5)
    assert evaluate(open_run(first.folder)).equals_training()


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("three", {}, "data.load=my_data.py:three returns 3 values: return x_train, y_train, x_test, y_test"),
        ("none", {}, "data.load=my_data.py:none returns a NoneType: return x_train, y_train, x_test, y_test"),
        ("text", {}, "x_train holds <U1 of the shape (4, 1): give numbers, features (n, features)"),
        ("broken", {}, "my_data.py line 36, in broken: ValueError: "),
        ("lod", {}, "data.load: my_data.py has no lod: did you mean load?"),
        ("load", {"arguments": {"sed": 1}}, "data.arguments.sed is no argument of load: did you mean seed?"),
        ("load", {"scaling": "unit"}, "data.scaling=unit is for images: set none, min_max or standardize"),
        ("load", {"random_flip": True}, "data.random_flip has no effect on features arrays: leave it out"),
        ("images", {"padding": "post"}, "data.padding has no effect on image arrays: leave it out"),
        ("no_test", {}, "the data has no test set: set data.test_fraction=0.2, or data.folds=5 to cross-validate"),
        ("load", {"test_fraction": 0.1}, "data.test_fraction is for data without a test set, and this has one"),
        ("load", {"root": "x"}, "data.root has no effect: leave it out, as a function loads this data"),
    ],
)
def test_data_that_cannot_be_used_is_answered_in_one_line(name, settings, words, with_data):
    with pytest.raises(UserError, match=re.escape(words)):
        read(CustomDataConfig, {"load": f"my_data.py:{name}"} | settings).spec()


def test_data_without_a_test_set_is_split_as_any_other(with_data):
    run = own_data("no_test", "data.folds=5", "data.fold=1")
    assert run._record.result.samples["test"] in (35, 36)
    assert evaluate(open_run(run.folder)).equals_training()


OWN_OPTIM = """
    from torch.optim import SGD
    from torch.optim.lr_scheduler import LRScheduler

    class Mine(SGD):
        def __init__(self, params, lr, strength=1.0):
            super().__init__(params, lr=lr * strength)

    class Halving(LRScheduler):
        def __init__(self, optimizer):
            super().__init__(optimizer)

        def get_lr(self):
            return [base / 2**self.last_epoch for base in self.base_lrs]
"""


def test_an_optimizer_and_a_schedule_of_the_users_own_train_and_are_kept(here):
    write(here, mine=OWN_OPTIM)
    own = ("optim=custom", "optim.target=mine.py:Mine", "optim.arguments.strength=0.5")
    halving = ("scheduler=custom", "scheduler.target=mine.py:Halving", "scheduler.interval=epoch")
    run = dlproj.train(*own, *halving, "optim.learning_rate=0.2", "model.hidden=[8]", *DIGITS, folder="run")
    ours = ("optim=sgd", "optim.learning_rate=0.1", "scheduler=exponential", "scheduler.gamma=0.5")
    assert run.metrics == dlproj.train(*ours, "model.hidden=[8]", *DIGITS, folder="ours").metrics
    assert (run.folder / "code/optim/mine.py").exists()
    assert (run.folder / "code/scheduler/mine.py").exists()


def test_a_run_goes_on_with_a_schedule_of_the_users_own(here):
    write(here, mine=OWN_OPTIM)
    custom("scheduler=constant")
    schedule = ("scheduler=custom", "scheduler.target=mine.py:Halving", "scheduler.interval=epoch")
    rates = dlproj.resume("run", *schedule, max_epochs=4).history["learning_rate"]
    assert list(rates) == pytest.approx([0.001, 0.001, 0.001, 0.0005])
    assert dlproj.load_run("run").settings["scheduler"]["code"]
    assert Path("run/code/scheduler/mine.py").exists()


@pytest.mark.parametrize(
    ("target", "settings", "words"),
    [
        ("torch.optim.Nadam", {}, "optim.target: torch.optim has no Nadam: did you mean NAdam?"),
        (
            "torch.optim.NAdam",
            {"arguments": {"beta": 1}},
            "optim.arguments.beta is no argument of NAdam: did you mean b",
        ),
        (
            "torch.optim.NAdam",
            {"arguments": {"lr": 1}},
            "optim.arguments.lr is a setting of its own: set optim.learning_",
        ),
        ("torch.optim.NAdam", {"arguments": {"params": 1}}, "optim.arguments.params is set by dlproj: leave it out"),
        (
            "torch.optim.NAdam",
            {"arguments": {"betas": 1}},
            "optim.target=torch.optim.NAdam cannot be used: TypeError: ",
        ),
        ("NAdam", {}, "optim.target=NAdam names no code: set such as my_file.py:Name or torch.optim.Name"),
        ("torch.optim.SparseAdam", {}, "optim.target=torch.optim.SparseAdam is for sparse gradients alone: set "),
        ("torch.optim.LBFGS", {}, "optim.target=torch.optim.LBFGS computes the loss several times a step: set another"),
        ("torch.optim.Rprop", {"weight_decay": 1}, "optim.weight_decay=1.0 is not read by Rprop: leave it out"),
        (
            "torch.optim.lr_scheduler.Counter",
            {},
            "optim.target=torch.optim.lr_scheduler.Counter is no class of torch.op",
        ),
        ("torch.optim.lr_scheduler.StepLR", {}, "StepLR needs step_size: set optim.arguments='{step_size: …}'"),
        ("torch.nn.ReLU", {}, "optim.target=torch.nn.ReLU makes a ReLU: name a torch.optim.Optimizer"),
        ("", {}, "optim.target= names no code: "),
    ],
)
def test_an_optimizer_that_cannot_be_used_is_answered_in_one_line(target, settings, words, here):
    with pytest.raises(UserError, match=re.escape(words)):
        read(CustomOptimConfig, {"target": target} | settings).build([nn.Parameter(torch.zeros(2))])


@pytest.mark.parametrize(
    ("target", "arguments", "words"),
    [
        ("ReduceLROnPlateau", {}, "scheduler.target=ReduceLROnPlateau needs a metric: set scheduler=plateau"),
        ("CyclicLR", {"base_lr": 0.1}, "CyclicLR needs max_lr: set scheduler.arguments='{max_lr: …}'"),
        ("CyclicLr", {}, "torch.optim.lr_scheduler has no CyclicLr: did you mean CyclicLR?"),
        (
            "StepLR",
            {"step_size": 1, "gama": 1},
            "scheduler.arguments.gama is no argument of StepLR: did you mean gamma?",
        ),
        (
            "OneCycleLR",
            {"max_lr": 1, "total_steps": 9},
            "scheduler.arguments.total_steps=9 is less than the 20 of the ",
        ),
        ("OneCycleLR", {"max_lr": 1, "total_steps": "x"}, "OneCycleLR cannot be used: "),
        ("SequentialLR", {}, "SequentialLR needs schedulers and milestones: "),
        ("CyclicLR", {"base_lr": 1, "max_lr": 2}, "cannot be used: ValueError: optimizer must support momentum"),
    ],
)
def test_a_schedule_that_cannot_be_used_is_answered_in_one_line(target, arguments, words, here):
    named = {"target": f"torch.optim.lr_scheduler.{target}", "arguments": arguments}
    with pytest.raises(UserError, match=re.escape(words)):
        read(CustomSchedulerConfig, named).build(torch.optim.Adagrad([nn.Parameter(torch.zeros(2))]), 2, 20)


def schedule(name, arguments):
    """Overrides that choose a schedule of torch's."""
    target = f"scheduler.target=torch.optim.lr_scheduler.{name}"
    return ("scheduler=custom", target, f"scheduler.arguments={arguments}")


NADAM = ("optim=custom", "optim.target=torch.optim.NAdam")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            (*NADAM, "optim.arguments={betas: [2, 3]}"),
            "NAdam cannot be used: ValueError: Invalid beta parameter at index ",
        ),
        ((*NADAM, "optim.arguments={eps: -1}"), "Invalid epsilon value: -1: change optim.arguments"),
        ((*NADAM, "optim.learning_rate=-1"), "optim.learning_rate=-1.0 must be in (0, inf)"),
        ((*NADAM, "optim.arguments={beta: 1}"), "optim.arguments.beta is no argument of NAdam: did you mean betas?"),
        # torch divides by step_size at the first step only, and takes a gamma that is no number
        (
            schedule("StepLR", "{step_size: 0}"),
            "StepLR cannot be used: ZeroDivisionError: integer modulo by zero: change ",
        ),
        (schedule("ExponentialLR", "{gamma: nan}"), "ExponentialLR sets the learning rate to nan: change scheduler."),
        (
            schedule("CosineAnnealingLR", "{T_max: 0}"),
            "ZeroDivisionError: integer modulo by zero: change scheduler.arg",
        ),
        (schedule("OneCycleLR", "{max_lr: 1, pct_start: 7}"), "Expected float between 0 and 1 pct_start, but got 7"),
        (schedule("CyclicLR", "{base_lr: 1, max_lr: 2}"), "optimizer must support momentum or beta1 with "),
    ],
)
def test_impossible_arguments_are_refused_before_data_is_read(settings, words, with_data):
    with pytest.raises(UserError, match=re.escape(words)) as error:
        own_data("broken", "optim=adagrad", *settings)
    assert "\n" not in str(error.value)
    assert not Path("run").exists()


def test_impossible_arguments_leave_the_run_that_they_would_go_on_with(here):
    before = custom("scheduler=constant").metrics
    with pytest.raises(UserError, match="StepLR cannot be used: ZeroDivisionError"):
        dlproj.resume("run", *schedule("StepLR", "{step_size: 0}"), max_epochs=4)
    assert read_run(Path("run")).result.status == "completed"
    assert dlproj.load_run("run").metrics == before


def test_arguments_that_only_the_network_can_decide_on_are_not_tried(with_data):
    """A rate for each layer; an optimizer of the user's own, which may rely on the network."""
    write(with_data, mine="def Mine(params, lr): raise AssertionError('no network')")
    rates = schedule("CyclicLR", "{base_lr: [0.1, 0.2], max_lr: [0.2, 0.3], cycle_momentum: false}")
    assert own_data("load", *rates, "optim.layer_decay=0.5").status == "completed"
    with pytest.raises(UserError, match=r"^my_data\.py line \d+, in broken"):
        own_data("broken", "optim=custom", "optim.target=mine.py:Mine", "overwrite=true")


def test_allow_code_is_an_option_of_each_command(here, stranger):
    custom()
    stranger()
    for command in ("evaluate", "predict", "export", "resume"):
        assert "--allow-code" in CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    refused = CliRunner().invoke(app, ["evaluate", "run"])
    assert "add --allow-code" in str(refused.exception)
    done = CliRunner().invoke(app, ["evaluate", "run", "--allow-code"])
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_a_network_is_exported(here):
    custom()
    done = CliRunner().invoke(app, ["export", "run", "--format", "exported_program"])
    assert done.exit_code == 0, done.output


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_processes_that_are_spawned_run_the_file_again(strategy, here, composed):
    """Two processes with half the batch each step as one does."""
    half = checked_settings(["model=custom", "model.network=net.py:Net", *DIGITS, "optim=sgd", "data.batch_size=32"])
    several = run(replace_trainer(half[0], strategy), here / "several")
    whole = custom("optim=sgd", "data.batch_size=64", "data.drop_last=true")
    assert several.metrics["test/accuracy"] == pytest.approx(whole.metrics["test/accuracy"], abs=0.03)
    loaded = open_run(here / "several")
    assert evaluate(loaded).metrics["test/loss"] == pytest.approx(several.metrics["test/loss"], rel=1e-4)


def replace_trainer(config, strategy):
    names = {"ddp": "ddp", "fsdp": "model_parallel"}
    return replace(config, trainer=replace(config.trainer, devices=2, strategy=StrategyName[names[strategy]]))
