"""A folder of a run or a sweep from elsewhere has nothing imported or called that the user has not named before."""

import sys
from pathlib import Path

import pytest
import yaml

import dlproj
from dlproj.api.composing import composed as checked_settings
from dlproj.config import consent
from dlproj.config.checks import UserError
from dlproj.config.root import load
from dlproj.inference.trained import open_run
from dlproj.runs.record import read_run
from dlproj.sweeps.sweep import resume_command
from dlproj.training.run import resume_run

METRIC = """\
from torchmetrics.classification import MulticlassAccuracy
class Mine(MulticlassAccuracy):
    pass
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to work in, from which Python imports, as in a notebook; a user who has run nothing yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(consent, "_allowed", set())
    return tmp_path


def saved(**changes):
    """A run's folder, got, with changed settings: those of a group are added to it."""
    settings = checked_settings(["data=digits"])[0].settings()
    for group, values in changes.items():
        settings[group] |= values
    Path("got").mkdir()
    Path("got/config.yaml").write_text(yaml.safe_dump(settings))
    return Path("got")


NAMED = [
    ({"schema": {"optim": "got.evil.Config"}}, "got.evil.Config"),
    ({"metrics": {"one": {"_target_": "got.evil.Metric"}}}, "got.evil.Metric"),
    ({"logger": {"one": {"_target_": "got.evil.Logger"}}}, "got.evil.Logger"),
    ({"callbacks": {"extra": {"one": {"_target_": "got.evil.Callback"}}}}, "got.evil.Callback"),
    ({"figures": {"extra": {"one": {"_target_": "got.evil.draw"}}}}, "got.evil.draw"),
    # Functions of Python and of dlproj that would run a command of their arguments:
    ({"figures": {"extra": {"one": {"_target_": "pydoc.pipepager", "cmd": "touch ran"}}}}, "pydoc.pipepager"),
    ({"figures": {"extra": {"one": {"_target_": "dlproj.reports.extra_figures.call"}}}}, "dlproj.reports"),
]


@pytest.mark.parametrize(("changes", "name"), NAMED)
def test_what_a_runs_settings_name_is_imported_only_with_consent(here, changes, name):
    folder = saved(**changes)
    (folder / "evil.py").write_text("raise AssertionError")
    words = f"got runs {name}.*, which you have not trained with here: see what that is, then add --allow-code"
    for use in (open_run, lambda run: load(run / "config.yaml")):
        with pytest.raises(UserError, match=words):
            use(folder)
    assert "got.evil" not in sys.modules


def code(group, **values):
    """A group of settings that names code."""
    return {"schema": {group: "custom"}, group: values}


def entry(group, target, **arguments):
    """An entry with a _target_ in `metrics`, `logger` or the extra ones of callbacks or figures."""
    node = {"one": {"_target_": target} | arguments}
    return {group: node if group in ("metrics", "logger") else {"extra": node}}


LOGGERS = "dlproj.training.monitors"
# Settings of a folder from elsewhere that would do harm, and what is told of them: all that consent would allow.
ATTACKS = [
    (code("optim", target="os.system", arguments={"command": "touch ran"}), "os.system(command='touch ran')"),
    (code("optim", target="posix:remove", arguments={"path": "a"}), "posix:remove(path='a')"),
    (code("scheduler", target="shutil:rmtree", arguments={"path": "b"}), "shutil:rmtree(path='b')"),
    (code("data", load="shutil:rmtree", arguments={"path": "a"}), "shutil:rmtree(path='a')"),
    (code("data", load="builtins:exec", arguments={"source": "1"}), "builtins:exec(source='1')"),
    (
        code("data", load="torch:load", arguments={"f": "a", "weights_only": False}),
        "torch:load(f='a', weights_only=False)",
    ),
    (code("model", network="subprocess:Popen", arguments={"args": ["a", 1]}), "subprocess:Popen(args=['a', 1])"),
    (code("model", network="torch.hub.load", arguments={"repo_or_dir": "a/b"}), "torch.hub.load(repo_or_dir='a/b')"),
    (code("model", network="got/evil.py:Net", arguments={}, code=None), "got/evil.py:Net"),
    # Files that look like modules of torch
    (code("optim", target="torch.optim.evil.py:Adam", arguments={"a": 1}), "torch.optim.evil.py:Adam(a=1)"),
    (code("optim", target="torch.optimal:Adam"), "torch.optimal:Adam"),
    (code("scheduler", target="torch.optim.swa_utils.update_bn"), "torch.optim.swa_utils.update_bn"),
    # Classes of the kind that is expected, whose arguments name files and servers
    (
        entry("logger", "pytorch_lightning.loggers.CSVLogger", save_dir="a"),
        "pytorch_lightning.loggers.CSVLogger(save_dir='a')",
    ),
    (
        entry("logger", f"{LOGGERS}.loggers.EpochTensorBoard", save_dir="a"),
        f"{LOGGERS}.loggers.EpochTensorBoard(save_dir='a')",
    ),
    (
        entry("logger", f"{LOGGERS}.tracker_logger.TrackerLogger", tracking_uri="http://a"),
        f"{LOGGERS}.tracker_logger.TrackerLogger(tracking_uri='http://a')",
    ),
    (
        entry("callbacks", "lightning.pytorch.callbacks.ModelCheckpoint", dirpath="a"),
        "lightning.pytorch.callbacks.ModelCheckpoint(dirpath='a')",
    ),
    (
        entry("metrics", "torchmetrics.image.FrechetInceptionDistance", feature_extractor_weights_path="a"),
        "torchmetrics.image.FrechetInceptionDistance(feature_extractor_weights_path='a')",
    ),
    # Names that are not as they seem
    (entry("metrics", "torchmetrics.classification"), "torchmetrics.classification"),
    (
        entry("figures", "dlproj.reports.extra_figures.learning_rate.__globals__.clear"),
        "learning_rate.__globals__.clear",
    ),
    (entry("figures", "dlproj.reports.extra_figures.learning_rate", a="b"), "learning_rate(a='b')"),
    ({"schema": {"optim": ["got.evil.Config"]}}, "['got.evil.Config']"),
    ({"schema": {"optim": {"got.evil": "Config"}}}, "{'got.evil': 'Config'}"),
]


@pytest.mark.parametrize(("changes", "told"), ATTACKS, ids=[told for _, told in ATTACKS])
def test_an_attack_is_told_by_name_and_arguments_before_anything_runs(here, changes, told):
    with pytest.raises(UserError) as error:
        open_run(saved(**changes))
    before, after = str(error.value).split(", which you have not trained with here: ")
    assert before.startswith("got runs ")
    assert before.endswith(told)
    assert after.endswith("then add --allow-code (from Python: allow_code=True)")
    assert [path.name for path in here.iterdir()] == ["got"]


def test_all_that_consent_would_allow_is_told_at_once(here):
    folder = saved(
        schema={"model": "custom"},
        model={"network": "net.py:Net", "arguments": {"width": 8}, "code": "0" * 32},
        metrics={"one": {"_target_": "got.evil.Metric", "top": 1}},
        figures={"extra": {"one": {"_target_": "got.evil.draw"}}},
    )
    with pytest.raises(UserError) as error:
        open_run(folder)
    assert str(error.value).startswith(
        f"got runs got.evil.Metric(top=1) in {here}/got, got.evil.draw in {here}/got, net.py:Net(width=8), which you"
    )


HARMLESS = [
    code("optim", target="torch.optim.NAdam", arguments={"momentum_decay": 0.1}),
    code("scheduler", target="torch.optim.lr_scheduler:StepLR", arguments={"step_size": 1}),
    entry("metrics", "torchmetrics.classification.MulticlassRecall", average="macro"),
    entry("callbacks", "pytorch_lightning.callbacks.RichModelSummary", max_depth=3),
    entry("figures", "dlproj.reports.extra_figures.learning_rate"),
]


@pytest.mark.parametrize("changes", HARMLESS)
def test_classes_that_can_do_no_harm_need_no_consent(here, changes):
    assert consent.code_of(checked_settings(["data=digits"])[0].settings() | changes) == {}


@pytest.mark.parametrize("changes", [changes for changes, _ in ATTACKS])
def test_consent_is_to_one_name_with_its_arguments(here, changes):
    """Having trained with one of the attacks allows none of the others, and not itself with one argument more."""
    consent.remember(*consent.code_of(changes))
    allowed = [other for other, _ in ATTACKS if other != changes and consent.may_run(*consent.code_of(other))]
    assert not allowed
    if values := next((values for values in changes.values() if "arguments" in values), None):
        more = values | {"arguments": values["arguments"] | {"more": 1}}
        group = next(group for group in changes if group != "schema")
        assert not consent.may_run(*consent.code_of(changes | {group: more}))


def test_files_of_one_name_with_other_content_ask_each(here):
    """Of two files of one name, one known does not stand for the other."""
    known = {"network": "net.py:Net", "arguments": {}, "code": "0" * 32}
    consent.remember(*consent.code_of({"model": known}))
    both = {
        "model": {"network": "net.py:Net", "arguments": {}, "code": "1" * 32},
        "data": {"load": "net.py:Net"} | known,
    }
    with pytest.raises(UserError, match=r"got runs net\.py:Net, which"):
        consent.admit_settings(both, Path("got"), allow_code=False)
    with pytest.raises(UserError, match=r"got runs net\.py:Net, which"):
        consent.admit_settings(dict(reversed(both.items())), Path("got"), allow_code=False)


def test_consent_to_a_module_is_not_to_another_of_its_name(here, monkeypatch):
    """A folder from elsewhere may have a module of that name, which Python imports where it is the working folder."""
    settings = entry("metrics", "mine_of_elsewhere.Mine")
    for name in ("first", "second"):
        Path(name).mkdir()
        Path(name, "mine_of_elsewhere.py").write_text(METRIC)
        monkeypatch.syspath_prepend(here / name)
        ((token, words),) = consent.code_of(settings).items()
        assert words == f"mine_of_elsewhere.Mine in {here}/{name}/mine_of_elsewhere.py"
        assert not consent.may_run(token)
        consent.remember(token)
    assert consent.code_token("numpy:array", {}) == consent.token("numpy:array", {}, None)


def test_a_run_that_goes_on_calls_no_function_that_its_folder_names(here):
    run = dlproj.train("data=digits", "model.hidden=[4]", "figures=none", max_epochs=1, folder="run")
    settings = run.folder / "config.yaml"
    drawn = '{one: {_target_: pydoc.pipepager, cmd: touch ran, text: ""}}'
    settings.write_text(settings.read_text().replace("samples: []\n  extra: {}", f"samples: []\n  extra: {drawn}"))
    assert "pydoc" in settings.read_text()
    with pytest.raises(
        UserError, match=r"run runs pydoc\.pipepager\(cmd='touch ran', text=''\), which you have not trained with here"
    ):
        resume_run(run.folder, ["trainer.max_epochs=2"])
    assert read_run(run.folder).result.last_epoch == 1
    assert not Path("ran").exists()


def test_what_the_user_has_trained_with_needs_no_further_consent(here, monkeypatch):
    (here / "mine_of_consent.py").write_text(METRIC)
    own = "+metrics.mine={_target_: mine_of_consent.Mine, direction: max}"
    run = dlproj.train("data=digits", "model.hidden=[4]", "figures=none", own, max_epochs=1, folder="run")
    monkeypatch.setattr(consent, "_allowed", set())  # another process
    open_run(run.folder)
    monkeypatch.setattr(consent, "_allowed", set())
    monkeypatch.setenv("XDG_STATE_HOME", "stranger")
    with pytest.raises(
        UserError, match=r"run runs mine_of_consent\.Mine\(direction='max'\) in .*mine_of_consent.py, which you"
    ):
        open_run(run.folder)
    open_run(run.folder, allow_code=True)


def sweep(*task, hydra=("hydra.mode=MULTIRUN", "hydra.sweep.dir=got"), sources=()):
    content = {"overrides": {"task": [*task], "hydra": [*hydra]}, "runtime": {"config_sources": [*sources]}}
    Path("got").mkdir(exist_ok=True)
    Path("got/multirun.yaml").write_text(yaml.safe_dump({"hydra": content}))
    return Path("got")


@pytest.mark.parametrize(
    ("telling", "where"),
    [
        ("model.network=got/evil.py:Net", "task"),
        ("++data.load=got/evil.py:load", "task"),
        ("optim.target=os.system,os.popen", "task"),
        ("+scheduler.target=a.b", "task"),
        ("+figures.extra.one={_target_: os.system}", "task"),
        ("++model={network: got/evil.py:Net}", "task"),
        ("name=${oc.env:HOME}", "task"),
        ("+experiment=../../got/evil", "task"),
        ("model=mlp,../../got/evil", "task"),
        ("model.arguments.width=8", "task"),
        ("figures.extra.one.cmd=touch ran", "task"),
        ("+callbacks.extra.one.dirpath=got", "task"),
        ("logger.mlflow.tracking_uri=http://got", "task"),
        ("hydra.job.env_set.LD_PRELOAD=got/evil.so", "hydra"),
        ("hydra.launcher.setup=[touch ran]", "hydra"),
        ("hydra.searchpath=[file://got]", "hydra"),
        ("--config-dir got", "sources"),
    ],
)
def test_a_sweeps_command_that_can_run_code_needs_consent(here, telling, where):
    task = ["data=digits", "seed=1,2", *([telling] if where == "task" else [])]
    sources = [{"path": "got", "provider": "command-line"}] if where == "sources" else []
    folder = sweep(*task, hydra=[telling] if where == "hydra" else [], sources=sources)
    with pytest.raises(UserError) as error:
        resume_command(folder)
    words = f"got goes on with {telling}, which you have not trained with here: look at got/multirun.yaml, then add"
    assert words in str(error.value)
    assert resume_command(folder, allow_code=True)


def test_a_sweep_of_settings_alone_and_one_that_the_user_has_begun_need_no_consent(here):
    assert resume_command(sweep("data=digits", "optim.learning_rate=0.1,0.01", "model=mlp,cnn", "init_from=a,b"))
    (here / "net.py").write_text(
        "from torch import nn\ndef Net(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))"
    )
    own = ("model=custom", "model.network=net.py:Net", "data=digits", "figures=none", "trainer.max_epochs=1")
    begun = dlproj.sweep(*own, "seed=0,1")
    assert f"sweep.resume='{begun.folder}'" in resume_command(begun.folder)
