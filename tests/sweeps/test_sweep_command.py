"""`python train.py -m` as a user types it."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest
from waiting import until

from dlproj.config.checks import ConfigurationError
from dlproj.config.figures import FiguresConfig
from dlproj.runs.manifest import add, claim, run_files

DIGITS = ["data=digits", "model.hidden=[16]", "trainer.accelerator=cpu", "figures=none"]


@pytest.fixture
def start(commands, tmp_path):
    """Call with overrides: the command begun in an empty folder, its end killed with the test."""
    begun = []

    def command(*overrides):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("HYDRA", "PL_"))}
        begun.append(commands.start(["-m", *overrides], tmp_path, environment))
        return begun[-1]

    yield command
    for process in begun:
        process.kill()
        process.wait()


@pytest.fixture
def type_in(start):
    """Call with overrides: exit code, standard output and error of the finished command."""

    def run(*overrides):
        process = start(*overrides)
        out, err = process.communicate()
        return process.returncode, out, err

    return run


def sweep_folder(tmp_path):
    (folder,) = tmp_path.glob("logs/sweeps/*")
    return folder


def epochs(run):
    file = run / "metrics.csv"
    return list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []


def summary(run):
    return json.loads((run / "summary.json").read_text())


def processes_in(folder):
    """Of those processes whose command line names the folder or that stand in it."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink() == folder and (place.parent / "stat").read_text().split()[2] != "Z":
                found.append(int(place.parent.name))
        except OSError:
            pass
    return found


def test_a_sweep_runs_compares_and_names_the_best_command(type_in, tmp_path):
    code, out, err = type_in(*DIGITS, "trainer.max_epochs=2", "optim.learning_rate=0.1,0.01,-1", "seed=1,2")
    assert code == 1
    folder = sweep_folder(tmp_path)
    reason = "optim.learning_rate=-1.0 must be in (0, inf)"
    assert err.splitlines() == [
        f"error: job 4 (optim.learning_rate=-1 seed=1): {reason}",
        f"error: job 5 (optim.learning_rate=-1 seed=2): {reason}",
        f"error: 2 of 6 runs failed: "
        f"the same command with sweep.resume={folder.relative_to(tmp_path)} runs what is missing",
    ]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["0", "1", "2", "3"]
    lines = out.splitlines()
    assert "[1/6] " in lines[0]
    assert (
        "run\toptim.learning_rate\tseed\tstatus\tval/loss tested\ttest/accuracy\ttested epoch\tlast epoch\ttime"
        in lines
    )
    assert lines[-1] == str(folder.relative_to(tmp_path) / "report.html")
    assert "mean of 2 seeds" in lines[-3]
    command = f"dlproj train {' '.join(DIGITS)} trainer.max_epochs=2 optim.learning_rate=".replace("[16]", "[16]'")
    assert lines[-2].strip().startswith(command.replace("model.hidden", "'model.hidden"))
    assert (folder / "report.html").exists()
    assert summary(folder / "3")["overrides"] == [*DIGITS, "trainer.max_epochs=2", "optim.learning_rate=0.01", "seed=2"]


def test_a_sweep_over_models_and_data_keeps_its_runs_in_one_folder(type_in, tmp_path):
    settings = ["model.hidden=[4]", "trainer=debug", "figures=none"]
    code, _, err = type_in(*settings, "model=mlp,gru", "data=digits,feature_sum", "data.batch_size=32")
    folder = sweep_folder(tmp_path)
    assert err.splitlines() == [
        "error: job 2 (model=gru data=digits): an RNN needs to know how to read an image: "
        "set model.image_reading=rows, columns or pixels",
        f"error: 1 of 4 runs failed: "
        f"the same command with sweep.resume={folder.relative_to(tmp_path)} runs what is missing",
    ]
    assert code == 1
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["0", "1", "3"]


def test_a_killed_sweep_goes_on_where_it_was_and_keeps_what_was_done(start, type_in, tmp_path):
    long = [*DIGITS, "trainer.max_epochs=40", "sweep.jobs=2"]
    process = start(*long, "trainer.limit_train_batches=1", "seed=1,2,3")
    until(lambda: len(list(tmp_path.glob("logs/sweeps/*/1/checkpoints/last.ckpt"))) == 1)
    until(lambda: len(epochs(sweep_folder(tmp_path) / "1")) >= 3)
    process.kill()
    process.wait()
    until(lambda: not processes_in(tmp_path))  # the runs end with it
    folder = sweep_folder(tmp_path)
    before = {run.name: epochs(run) for run in folder.iterdir() if run.is_dir()}
    unfinished = [name for name in before if summary(folder / name)["status"] == "interrupted"]
    assert unfinished

    resume = f"sweep.resume={folder.relative_to(tmp_path)}"
    code, out, err = type_in(*long, "trainer.limit_train_batches=1", "seed=1,2,3,4", resume)
    assert code == 0, err
    for name in ("0", "1", "2", "3"):
        assert summary(folder / name)["status"] == "completed"
        assert [int(row["epoch"]) for row in epochs(folder / name)] == list(range(1, 41))
        assert summary(folder / name)["steps"] == 40
    for name, rows in before.items():  # all but the last one, which may not have been whole
        assert epochs(folder / name)[: max(len(rows) - 1, 0)] == rows[:-1]
    written = (folder / "0/summary.json").stat().st_mtime_ns
    code, out, err = type_in(*long, "trainer.limit_train_batches=1", "seed=1,2,3,4", resume)
    assert (code, out.count("done before")) == (0, 4)
    assert (folder / "0/summary.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_runs_and_says_how_to_go_on(sent, code, start, tmp_path):
    process = start(*DIGITS, "trainer.max_epochs=100000", "sweep.jobs=2", "seed=1,2,3")
    until(lambda: len(list(tmp_path.glob("logs/sweeps/*/*/metrics.csv"))) == 2)
    process.send_signal(sent)
    _, err = process.communicate()
    assert process.returncode == code
    folder = sweep_folder(tmp_path)
    assert f"interrupted: 0 of 3 runs have ended; dlproj resume {folder.relative_to(tmp_path)} goes on" in err
    assert not processes_in(tmp_path)
    assert [summary(folder / name)["status"] for name in "01"] == ["interrupted", "interrupted"]


@pytest.mark.slow
def test_each_run_of_several_processes_trains_for_itself(type_in, tmp_path):
    code, _, err = type_in(*DIGITS, "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=1", "seed=1,2")
    assert code == 0, err
    folder = sweep_folder(tmp_path)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["0", "1"]
    assert [summary(folder / name)["seed"] for name in "01"] == [1, 2]
    # 1,293 training samples in batches of 32 for each of two processes: half the steps that one takes alone
    assert [summary(folder / name)["steps"] for name in "01"] == [21, 21]


def test_a_job_that_dies_is_named_and_the_others_go_on(type_in, monkeypatch):
    monkeypatch.setenv("DLPROJ_DATA_DIR", "/dev/null")
    code, out, err = type_in(
        *DIGITS, "trainer.max_epochs=1", "data=digits,fmnist", "data.val=test,last", "data.val_fraction=0.2"
    )
    assert code == 1
    assert [line for line in err.splitlines() if line.startswith("error: job 2 (data=fmnist data.val=test): ")]
    assert "0 data=digits data.val=test: test accuracy " in out
    (unread,) = (line for line in err.splitlines() if "val_fraction" in line)  # of two runs, once
    assert unread.startswith("data=digits data.val=test: data.val_fraction=0.2 has no effect with data.val=test: set")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sweep.resume=nowhere"], "sweep.resume=nowhere holds no runs of a sweep: name a folder of logs/sweeps"),
        (["sweep.jobs=0"], "sweep.jobs=0 must be in [1, inf)"),
        (["sweep.resume="], "sweep.resume is empty: name the folder of a sweep, or leave it out"),
        (["hydra.launcher=basic"], "hydra.launcher=basic sets a group: write hydra/launcher=basic"),
        (["sweep.resume=."], "sweep.resume=. holds no runs of a sweep: name a folder of logs/sweeps"),
        (
            ["optim.learning_rate=interval(0.1,1)"],
            "optim.learning_rate=interval(0.1,1) has no end of values: add hydra/sweeper=optuna to search among them",
        ),
    ],
)
def test_a_sweep_that_cannot_begin_is_refused_in_one_line(overrides, message, type_in, tmp_path):
    code, _, err = type_in(*DIGITS, "seed=1,2", *overrides)
    assert (code, err) == (1, f"error: {message}\n")
    assert not (tmp_path / "nowhere").exists()


def test_a_sweep_is_not_resumed_with_the_default_settings(type_in, tmp_path):
    assert type_in(*DIGITS, "trainer.max_epochs=1", "seed=1,2", "hydra.sweep.dir=begun")[0] == 0
    record = (tmp_path / "begun/multirun.yaml").read_bytes()
    code, _, err = type_in("sweep.resume=begun")
    message = "sweep.resume=begun needs the settings of the sweep: dlproj resume begun repeats them, or add them here"
    assert (code, err) == (1, f"error: {message}\n")
    assert (tmp_path / "begun/multirun.yaml").read_bytes() == record
    assert not (tmp_path / "begun/2").exists()


def test_runs_and_sweeps_keep_out_of_each_others_folders(type_in, tmp_path):
    ours = run_files(FiguresConfig())
    add(tmp_path / "run", ours)
    (tmp_path / "run/summary.json").touch()
    code, _, err = type_in(*DIGITS, "seed=1,2", "hydra.sweep.dir=run")
    assert (code, err) == (1, "error: run holds a run, no sweep: set hydra.sweep.dir to another folder\n")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/multirun.yaml").write_text("_target_: hydra_plugins.dlproj_sweepers.GridSweeper")
    with pytest.raises(ConfigurationError, match="holds a sweep, whose runs this one would hide: name another folder"):
        claim(tmp_path / "sweep", ours, replace=True)


SEARCH = ["hydra/sweeper=optuna", *DIGITS, "trainer.max_epochs=2", "optim.learning_rate=tag(log,interval(1e-3,0.1))"]


def test_a_search_runs_its_trials_and_a_second_start_the_further_ones(type_in, tmp_path):
    pytest.importorskip("optuna")
    code, out, err = type_in(*SEARCH, "hydra.sweeper.trials=3", "hydra.sweeper.pruner=median")
    assert code == 0, err
    folder = sweep_folder(tmp_path)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["0", "1", "2"]
    assert "[3/3] " in out
    rates = {summary(folder / name)["overrides"][-1] for name in "012"}
    assert len(rates) == 3
    assert all(one.startswith("optim.learning_rate=") for one in rates)  # where to report is not on record

    code, out, err = type_in(*SEARCH, "hydra.sweeper.trials=4", f"sweep.resume={folder.relative_to(tmp_path)}")
    assert code == 0, err
    assert out.startswith("[1/1] 3 optim.learning_rate=")
    assert "hydra.mode=RUN" not in out  # no file asks for a sweep

    kept = (folder / "multirun.yaml").read_text()
    linear = "optim.learning_rate=interval(0.001,0.1)"
    code, out, err = type_in(*SEARCH[:-1], linear, f"sweep.resume={folder.relative_to(tmp_path)}")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {linear}: the study")
    assert (folder / "multirun.yaml").read_text() == kept  # dlproj resume repeats what worked


def test_a_search_that_is_done_says_so_and_shows_its_best_again(type_in, tmp_path):
    pytest.importorskip("optuna")
    search = [*SEARCH, "hydra.sweeper.trials=1", f"hydra.sweeper.storage={tmp_path}/study", "hydra.sweeper.study=ours"]
    assert type_in(*search, "hydra.sweep.dir=a")[0] == 0
    code, out, err = type_in(*search, "hydra.sweep.dir=b")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("no trial ran: the study ours has its 1 trial (1 complete); to go on, set ")
    assert f"{tmp_path}/a/0" in out
    assert "dlproj train data=digits" in out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["hydra.sweeper.sampler=best"], "hydra.sweeper.sampler=best must be one of tpe, random, grid, cmaes, gp"),
        (["hydra.sweeper.trial=3"], "unknown setting hydra.sweeper.trial: did you mean hydra.sweeper.trials?"),
        (["model.activation=interval(1"], "the command line cannot be read"),
        (
            ["hydra.sweeper.objectives=[reference_distance]"],
            "hydra.sweeper.objectives=[reference_distance] needs reference.curves: set what a document reports",
        ),
        (
            ["hydra.sweeper.objectives=[reference_distance]", "+reference.curves={train_eval/loss: [1.0]}"],
            "hydra.sweeper.objectives=[reference_distance]: reference.curves has train_eval/*: set trainer.evaluate_tr",
        ),
        (
            ["hydra.sweeper.objectives=[reference_distance]", f"+reference.curves={{val/loss: {[1.0] * 200}}}"],
            "hydra.sweeper.objectives=[reference_distance]: reference.curves goes on for 200 epochs: set trainer.max",
        ),
    ],
)
def test_a_search_that_cannot_begin_is_refused_in_one_line(overrides, message, type_in, tmp_path):
    pytest.importorskip("optuna")
    code, _, err = type_in(*SEARCH, *overrides)
    assert code == 1
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("logs/sweeps/*/*/"))


def test_a_search_all_of_whose_trials_fail_fails(type_in):
    pytest.importorskip("optuna")
    code, _, err = type_in(*SEARCH, "hydra.sweeper.trials=2", "data=fmnist", "data.root=/dev/null")
    assert code == 1
    assert err.splitlines()[-1].startswith("error: no trial came to a value")


def test_two_jobs_of_the_same_settings_keep_to_their_own_folders(type_in, tmp_path):
    twice = [*DIGITS, "trainer.max_epochs=1", "seed=1,1"]
    assert type_in(*twice)[0] == 0
    resume = f"sweep.resume={sweep_folder(tmp_path).relative_to(tmp_path)}"
    code, out, _ = type_in(*twice, resume)
    assert (code, out.count("done before")) == (0, 2)
    assert {line.split()[1] for line in out.splitlines()[:2]} == {"0", "1"}


@pytest.mark.slow
def test_jobs_that_another_launcher_runs_land_in_one_folder_and_are_compared(type_in, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install -e '.[slurm]'")
    code, out, err = type_in(*DIGITS, "hydra/launcher=submitit_local", "trainer.max_epochs=1", "seed=1,2")
    assert code == 0, err
    folder = sweep_folder(tmp_path)
    assert [summary(folder / name)["seed"] for name in "01"] == [1, 2]
    assert out.splitlines()[-1] == str(folder.relative_to(tmp_path) / "report.html")


def test_a_sweep_in_a_folder_with_somebodys_files_loses_none_of_them(type_in, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/multirun.yaml").write_text("of another program")
    code, _, err = type_in(*DIGITS, "seed=1,2", "hydra.sweep.dir=other")
    message = "multirun.yaml would be overwritten, and dlproj did not write it: name another folder, or move it away"
    assert (code, err) == (1, f"error: other/{message}\n")
    mine = {"s1/thesis.txt": "mine", "s2/summary.json": "{}", "s3.log": "mine", "report.csv": "mine"}
    for name, content in mine.items():
        (tmp_path / "w" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "w" / name).write_text(content)
    sweep = ["hydra.sweep.dir=w", "hydra.sweep.subdir=s${seed}"]
    code, _, err = type_in(*DIGITS, "trainer.max_epochs=1", "seed=1,2,3", *sweep)
    assert code == 1
    assert {name: (tmp_path / "w" / name).read_text() for name in mine} == mine
    assert summary(tmp_path / "w/s1")["status"] == "completed"
    overwritten = "would be overwritten, and dlproj did not write it: name another folder, or move it away"
    assert sorted(err.splitlines()) == [
        "error: 2 of 3 runs failed: the same command with sweep.resume=w runs what is missing",
        f"error: job s2 (seed=2): w/s2/summary.json {overwritten}",
        f"error: job s3 (seed=3): w/s3.log {overwritten}",
        f"the report was not written: w/report.csv {overwritten.partition(':')[0]}: name another place with --output, "
        "move what is there away, or add --overwrite",
    ]


def test_jobs_of_a_sweep_that_would_share_a_folder_are_refused(type_in, tmp_path):
    sweep = ["hydra.sweep.dir=w", "hydra.sweep.subdir=${model.activation}"]
    code, _, err = type_in(*DIGITS, "trainer.max_epochs=1", "model.activation=relu,tanh", "seed=1,2", *sweep)
    assert code == 1
    for name in ("relu", "tanh"):
        shared = f"w/Activation.{name} is the folder of model.activation={name} seed=1, too: set hydra.sweep.subdir to"
        assert shared in err
        assert summary(tmp_path / f"w/Activation.{name}")["seed"] == 1
    assert "error: 2 of 4 runs failed: the same command with sweep.resume=w runs what is missing" in err


def test_a_cross_validation_ends_with_the_out_of_fold_accuracy(type_in, tmp_path):
    code, out, err = type_in(*DIGITS, "trainer.max_epochs=1", "data.folds=3", "data.fold=0,1,2")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert any(line.startswith("out-of-fold accuracy: ") and "1,437 samples in 3 folds" in line for line in lines)
    assert "mean of 3 folds" in out
    rows = list(csv.DictReader((sweep_folder(tmp_path) / "report_out_of_fold.csv").read_text().splitlines()))
    assert [int(row["index"]) for row in rows] == list(range(1437))
