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
    words = f"got names {name}.*, which you have not trained with here: see what that is, then add --allow-code"
    for use in (open_run, lambda run: load(run / "config.yaml")):
        with pytest.raises(UserError, match=words):
            use(folder)
    assert "got.evil" not in sys.modules


def test_a_run_that_goes_on_calls_no_function_that_its_folder_names(here):
    run = dlproj.train("data=digits", "model.hidden=[4]", "figures=none", max_epochs=1, folder="run")
    settings = run.folder / "config.yaml"
    drawn = '{one: {_target_: pydoc.pipepager, cmd: touch ran, text: ""}}'
    settings.write_text(settings.read_text().replace("samples: []\n  extra: {}", f"samples: []\n  extra: {drawn}"))
    assert "pydoc" in settings.read_text()
    with pytest.raises(UserError, match=r"run names pydoc\.pipepager, which you have not trained with here"):
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
    with pytest.raises(UserError, match=r"run names mine_of_consent\.Mine, which you have not trained with here"):
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
