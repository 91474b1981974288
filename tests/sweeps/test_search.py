"""Searches: what is chosen, what is told, what is kept."""

import errno
import json
import math
import sqlite3
import sys
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from folders import write_run
from hydra.core.override_parser.overrides_parser import OverridesParser

from dlproj.config.checks import ConfigurationError, UserError
from dlproj.config.search import SearchConfig
from dlproj.config.sweep import TrialConfig
from dlproj.runs.comparison import at_tested_epoch
from dlproj.runs.record import read_run
from dlproj.sweeps.search import Search
from dlproj.sweeps.space import Space, sweep_as_typed
from dlproj.sweeps.view import tell_study
from dlproj.training.pruning import Prune, find_trial, open_storage

optuna = pytest.importorskip("optuna")

SPACE = {"optim.learning_rate": "tag(log,interval(1e-3,0.1))", "model.activation": "relu,tanh"}


@pytest.fixture
def search(tmp_path):
    """Call with settings: a search in one folder, as each start of it makes it."""

    def make(params=SPACE, **settings):
        return Search(SearchConfig(params=params, **settings), Space(params, []), tmp_path)

    return make


def run_with(tmp_path, accuracy, **changes):
    """What a run leaves whose last epoch's val/accuracy is this."""
    epochs = [{"epoch": 1, "val/accuracy": 0.99}, {"epoch": 2, "val/accuracy": accuracy}]
    number = len(list(tmp_path.iterdir()))
    return read_run(write_run(tmp_path / f"run-{number}", epochs=epochs, **changes))


def test_a_search_ends_with_its_number_of_trials_and_knows_the_best(search, tmp_path):
    ours = search(trials=4)
    for number, (overrides, trial) in enumerate(ours.trials()):
        assert [one.partition("=")[0] for one in overrides] == list(SPACE)
        ours.tell(trial, run_with(tmp_path, 0.5 + number / 10))
    assert [trial.value for trial in ours.study.trials] == [0.5, 0.6, 0.7, 0.8]
    assert ours.study.best_trial.number == 3


def test_the_same_seed_chooses_the_same(tmp_path):
    def chosen(folder, seed):
        ours = Search(SearchConfig(params=SPACE, trials=3, seed=seed), Space(SPACE, []), tmp_path / folder)
        return [overrides for overrides, trial in ours.trials() if ours.tell(trial, None) is None]

    for folder in "abc":
        (tmp_path / folder).mkdir()
    assert chosen("a", 1) == chosen("b", 1) != chosen("c", 2)


def test_a_grid_tries_each_combination_once_whatever_the_number_of_trials(search):
    ours = search({"model.activation": "relu,tanh,elu", "seed": "1,2"}, sampler="grid", trials=100)
    assert ours.expected() == 6
    tried = [tuple(overrides) for overrides, trial in ours.trials() if ours.tell(trial, None) is None]
    assert len(set(tried)) == len(tried) == 6


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "gp"])
def test_each_sampler_chooses_within_the_bounds(sampler, search, tmp_path):
    ours = search({"optim.learning_rate": "interval(0.1,0.9)", "data.batch_size": "range(16,65,16)"}, sampler=sampler)
    for number, (overrides, trial) in zip(range(13), ours.trials(), strict=False):  # more than the first, random ones
        rate, batch = (float(one.partition("=")[2]) for one in overrides)
        assert 0.1 <= rate <= 0.9
        assert batch in (16, 32, 48, 64)
        ours.tell(trial, run_with(tmp_path, 0.5 + number / 100))


def test_a_failure_and_a_value_that_is_not_finite_are_failed_trials_and_the_search_goes_on(search, tmp_path):
    ours = search(trials=3)
    outcomes = iter([None, run_with(tmp_path, "nan"), run_with(tmp_path, 0.75)])
    for _, trial in ours.trials():
        ours.tell(trial, next(outcomes))
    assert [trial.state.name for trial in ours.study.trials] == ["FAIL", "FAIL", "COMPLETE"]


def test_a_pruned_run_is_a_pruned_trial(search, tmp_path):
    ours = search(trials=1, pruner="median")
    for _, trial in ours.trials():
        ours.tell(trial, run_with(tmp_path, 0.3, status="pruned"))
    assert ours.study.trials[0].state.name == "PRUNED"


def test_a_second_start_goes_on_with_what_was_left_and_with_the_rest(search, tmp_path):
    first = search(trials=3)
    begun = first.trials()
    _, done = next(begun)
    first.tell(done, run_with(tmp_path, 0.5))
    left, _ = next(begun)  # and then it was killed
    second = search(trials=3)
    assert second.expected() == 2
    resumed, trial = next(rest := second.trials())
    assert (resumed, trial.number) == (left, 1)
    second.tell(trial, None)
    assert [trial.number for _, trial in rest if second.tell(trial, None) is None] == [2]


def test_a_second_start_does_not_repeat_what_the_first_one_chose(search):
    chosen = []
    for trials in (3, 6):
        ours = search(trials=trials)
        chosen += [tuple(overrides) for overrides, trial in ours.trials() if ours.tell(trial, None) is None]
    assert len(set(chosen)) == len(chosen) == 6


def test_trials_that_another_folder_runs_are_not_taken_over(tmp_path):
    def start(folder):
        (tmp_path / folder).mkdir()
        config = SearchConfig(params=SPACE, trials=2, storage=str(tmp_path / "shared"), study="ours")
        return Search(config, Space(SPACE, []), tmp_path / folder)

    chosen, first = next(start("a").trials())
    ((other, second),) = start("b").trials()
    assert second.number == first.number + 1
    assert other != chosen  # though both samplers have the same seed


def test_the_best_runs_folder_is_found_below_those_of_its_settings(search, tmp_path):
    ours = search(trials=1)
    for _, trial in ours.trials():
        ours.tell(trial, read_run(write_run(tmp_path / "relu/0")))
    assert [(one.run, one.here) for one in ours.best_trials()] == [("relu/0", True)]


def test_the_distance_from_reported_curves_is_kept_small_and_a_run_without_them_has_no_value(search, tmp_path):
    ours = search(trials=4, objectives=["reference_distance"])
    distances = iter([2.0, 0.5, None, 1.0])
    for _, trial in ours.trials():
        ours.tell(trial, run_with(tmp_path, 0.5, reference_distance=next(distances)))
    assert [trial.state.name for trial in ours.study.trials] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert ours.study.best_value == 0.5


def test_trials_of_other_reported_curves_are_not_compared(search):
    first = search(trials=1, objectives=["reference_distance"])
    first.hold_to({"val/loss": [0.5]})
    search(trials=1, objectives=["reference_distance"]).hold_to({"val/loss": [0.5]})
    with pytest.raises(ConfigurationError, match=r"has trials with other reference\.curves: begin another study"):
        search(trials=1, objectives=["reference_distance"]).hold_to({"val/loss": [0.25]})


def test_several_objectives_leave_those_trials_that_no_other_beats(search, tmp_path):
    ours = search(trials=3, objectives=["val/accuracy", "parameters"])
    outcomes = iter([(0.8, 100), (0.9, 200), (0.7, 150)])
    for _, trial in ours.trials():
        accuracy, parameters = next(outcomes)
        ours.tell(trial, run_with(tmp_path, accuracy, parameters=parameters))
    assert sorted((one.run, one.values) for one in ours.best_trials()) == [("run-1", [0.8, 100]), ("run-2", [0.9, 200])]


def test_a_search_without_a_value_says_so(search):
    ours = search(trials=1)
    for _, trial in ours.trials():
        ours.tell(trial, None)
    with pytest.raises(UserError, match="no trial came to a value"):
        ours.best_trials()


def test_the_objective_is_that_of_the_weights_that_were_tested(tmp_path):
    assert at_tested_epoch(run_with(tmp_path, 0.5), "val/accuracy") == 0.5
    assert at_tested_epoch(run_with(tmp_path, 0.6, tested_weights="best", best_epoch=1), "val/accuracy") == 0.99
    assert at_tested_epoch(run_with(tmp_path, 0.7, parameters=7), "parameters") == 7
    assert math.isnan(at_tested_epoch(run_with(tmp_path, 0.8), "val/loss"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 0}, r"hydra.sweeper.trials=0 must be in"),
        ({"sampler": "best"}, "hydra.sweeper.sampler=best must be one of tpe, random, grid, cmaes, gp"),
        ({"pruner": "hard"}, "hydra.sweeper.pruner=hard must be one of none, median, successive_halving"),
        ({"objectives": []}, r"hydra.sweeper.objectives is empty: set \[val/accuracy\]"),
        (
            {"objectives": ["test/accuracy"]},
            r"test/accuracy is not an objective: .*the test set must not choose what it tests",
        ),
        ({"objectives": ["val/accuracy", "seconds"], "pruner": "median"}, "pruner judges one objective by the epoch"),
        ({"objectives": ["val/accuracy", "seconds"], "sampler": "cmaes"}, "cmaes takes a single objective"),
        ({"sampler_settings": [1]}, r"hydra.sweeper.sampler_settings=\[1\] names nothing"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        SearchConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler_settings": {"startup": 3}}, "hydra.sweeper.sampler_settings cannot be used: .*startup"),
        ({"pruner": "median", "pruner_settings": {"startup": 3}}, "hydra.sweeper.pruner_settings cannot be used"),
        ({"storage": "postgres://nowhere"}, "hydra.sweeper.storage cannot be used: "),
        ({"storage": "sqlite:////nowhere/study.db"}, "hydra.sweeper.storage cannot be used: "),
    ],
)
def test_what_optuna_refuses_is_said_in_one_line(settings, message, search):
    with pytest.raises(ConfigurationError, match=message) as raised:
        search(**settings)
    assert "\n" not in str(raised.value)


def test_a_study_with_other_objectives_is_not_mixed_up_with_this_one(search):
    search(objectives=["val/accuracy"])
    with pytest.raises(
        ConfigurationError, match=r"the study has the objectives \['val/accuracy'\], not \['val/macro_f1'\]"
    ):
        search(objectives=["val/macro_f1"])


def test_a_study_of_another_program_that_looks_the_other_way_is_refused(search, tmp_path):
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(storage=url, study_name="theirs", directions=["minimize", "maximize"])
    with pytest.raises(
        ConfigurationError, match=r"has the objectives \['minimize', 'maximize'\], .*sweeper\.study=NAME"
    ):
        search(storage=url, study="theirs")


BATCH, LAYERS = "data.batch_size", "model.hidden"


@pytest.mark.parametrize(
    ("key", "before", "now"),
    [
        (BATCH, "16,32", "16,32,64"),
        (BATCH, "16,32,64", "16,32"),
        (BATCH, "16,32", "32,16"),
        (BATCH, "16,32", "range(16,33,16)"),
        (BATCH, "range(16,33,16)", "16,32"),
        (BATCH, "range(16,33,16)", "interval(16,32)"),
        (BATCH, "interval(16,32)", "tag(int,interval(16,32))"),
        (BATCH, "interval(0.1,0.9)", "tag(log,interval(0.1,0.9))"),
        (BATCH, "tag(int,interval(1,9))", "tag(log,int,interval(1,9))"),
        ("model.activation", "relu,tanh", "relu,elu"),
    ],
)
def test_what_optuna_cannot_mix_is_refused_before_anything_runs(key, before, now, search):
    ours = search({key: before}, trials=1)
    for _, trial in ours.trials():
        ours.tell(trial, None)
    with pytest.raises(ConfigurationError) as raised:
        search({key: now}, trials=2)
    words = str(raised.value)
    (old,), (new,) = (Space({key: one}, []).parameters() for one in (before, now))
    assert f"{key}={sweep_as_typed(new.distribution)}: the study" in words
    assert f"has trials with {key}={sweep_as_typed(old.distribution)}" in words
    assert "hydra.sweeper.study=NAME" in words
    other = search({key: now}, trials=1, study="another")
    assert [trial.number for _, trial in other.trials() if other.tell(trial, None) is None] == [0]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "gp", "grid"])
@pytest.mark.parametrize(
    ("before", "now"), [("range(16,33,16)", "range(16,65,8)"), ("tag(int,interval(1,9))", "tag(int,interval(5,20))")]
)
def test_numbers_may_have_other_bounds_and_steps(before, now, sampler, search, tmp_path):
    first = search({BATCH: before}, sampler=sampler, trials=12)
    for number, (_, trial) in enumerate(first.trials()):
        first.tell(trial, run_with(tmp_path, 0.5 + number / 100))
    second = search({BATCH: now}, sampler=sampler, trials=24)
    ((_, bounds),) = second.space.parameters()
    tried = [(second.tell(trial, None), trial.params[BATCH])[1] for _, trial in second.trials()]
    assert tried
    assert all(bounds.low <= value <= bounds.high for value in tried)


def test_a_setting_that_is_new_or_no_longer_chosen_is_no_obstacle(search):
    ours = search({BATCH: "16,32"}, trials=1)
    assert [ours.tell(trial, None) for _, trial in ours.trials()] == [None]
    other = search({"model.activation": "relu,tanh"}, trials=2)
    assert [ours.tell(trial, None) for _, trial in other.trials()] == [None]


def test_a_list_whose_items_are_others_is_refused_by_the_name_of_the_item(search):
    ours = search({LAYERS: {"length": "range(1,3)", "each": "16,32"}}, trials=1)
    assert [ours.tell(trial, None) for _, trial in ours.trials()] == [None]
    with pytest.raises(ConfigurationError, match=r"model\.hidden\[0\]=16,64: the study .* model\.hidden\[0\]=16,32"):
        search({LAYERS: {"length": "range(1,4)", "each": "16,64"}}, trials=2)


@pytest.mark.parametrize(
    "text",
    [
        "a,b",
        "16,32",
        "range(16,33,16)",
        "range(1,10,1)",
        "interval(0.1,0.9)",
        "tag(log,interval(0.001,0.1))",
        "tag(log,int,interval(1,9))",
    ],
)
def test_what_optuna_keeps_is_said_as_it_is_typed(text):
    (parameter,) = Space({"model.x": text}, []).parameters()
    assert sweep_as_typed(parameter.distribution) == text


def test_a_grid_after_another_search_still_tries_all_its_points(search):
    first = search({BATCH: "16,32", "seed": "1,2"}, trials=4, sampler="random")
    tried = {trial.number: tuple(one) for one, trial in first.trials() if first.tell(trial, None) is None}
    grid = search({BATCH: "16,32", "seed": "1,2"}, trials=100, sampler="grid")
    tried |= {trial.number: tuple(one) for one, trial in grid.trials() if grid.tell(trial, None) is None}
    assert len(set(tried.values())) == 4


def test_a_study_that_has_its_trials_says_so_and_how_to_go_on(search, tmp_path, capsys):
    first = search(trials=2)
    for accuracy, (_, trial) in zip([0.8, None], first.trials(), strict=True):
        first.tell(trial, accuracy and run_with(tmp_path, accuracy))
    second = search(trials=2)
    assert list(second.trials()) == []
    tell_study(second)
    assert capsys.readouterr().out == (
        f"no trial ran: the study {tmp_path.name} has its 2 trials (1 complete, 1 fail); "
        "to go on, set hydra.sweeper.trials above 2\n"
    )


def test_a_grid_without_a_point_left_asks_for_more_to_choose_from(search, tmp_path, capsys):
    for _ in range(2):
        ours = search({"seed": "1,2"}, sampler="grid", trials=100)
        for _, trial in ours.trials():
            ours.tell(trial, run_with(tmp_path, 0.5))
    tell_study(ours)
    assert "has its 2 trials (2 complete); to go on, let it choose from more" in capsys.readouterr().out


def test_the_best_of_a_shared_study_is_told_though_another_folder_ran_it(tmp_path, capsys):
    def start(folder):
        (tmp_path / folder).mkdir()
        config = SearchConfig(params=SPACE, trials=1, storage=str(tmp_path / "shared"), study="ours")
        return Search(config, Space(SPACE, []), tmp_path / folder)

    first = start("a")
    for _, trial in first.trials():
        first.tell(trial, read_run(write_run(tmp_path / "a/0", overrides=["data=digits", "seed=7"])))
    assert [one.run for one in first.best_trials()] == ["0"]
    second = start("b")
    assert list(second.trials()) == []
    tell_study(second)
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("no trial ran: the study ours has its 1 trial")
    assert told[1] == f"best of the study: val/accuracy 87.50%, {first.owner}/0"
    assert told[2] == "  python train.py data=digits seed=7"


@pytest.fixture
def database(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


@contextmanager
def held_by_another(database):
    with closing(sqlite3.connect(database.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def test_a_database_that_stays_locked_is_said_in_one_line(database, search, monkeypatch):
    monkeypatch.setattr("dlproj.training.pruning._LOCKED", 0.01)
    ours = search(storage=database)
    _, trial = next(ours.trials())
    asked = (lambda: ours.tell(trial, None), lambda: next(ours.trials()), ours.expected, ours.best_trials)
    with held_by_another(database):
        for ask in asked:
            with pytest.raises(ConfigurationError, match=r"the study .* database is locked; sweep\.resume"):
                ask()
        with pytest.raises(ConfigurationError, match=r"sweeper\.storage cannot be used: database is locked"):
            search(storage=database)


def test_a_run_that_cannot_report_goes_on_and_says_so(database, search, monkeypatch, caplog):
    monkeypatch.setattr("dlproj.training.pruning._LOCKED", 0.01)
    ours = search(storage=database, pruner="median", trials=1)
    _, trial = next(ours.trials())
    prune = Prune(replace(ours.template, number=trial.number))
    assert not epoch_end(prune, 1, 0.5)
    with held_by_another(database):
        assert not epoch_end(prune, 2, 0.5)
    assert "the search did not see epoch 2 (database is locked): the run continues" in caplog.text
    assert not epoch_end(prune, 3, 0.5)
    assert ours.study.trials[0].intermediate_values == {1: 0.5, 3: 0.5}


def test_half_a_line_that_a_kill_has_left_in_the_journal_is_cut_off(search, tmp_path, caplog):
    ours = search(trials=1)
    _, trial = next(ours.trials())
    ours.tell(trial, run_with(tmp_path, 0.5))
    with (tmp_path / "study.journal").open("ab") as journal:
        journal.write(b'{"op_code":4,"wor')
    second = search(trials=2)
    assert [second.tell(trial, None) for _, trial in second.trials()] == [None]
    assert "study.journal ended with a partial line" in caplog.text
    assert [trial.state.name for trial in search(trials=2).study.trials] == ["COMPLETE", "FAIL"]


def test_a_file_that_is_no_journal_is_left_as_it_is(search, tmp_path):
    (tmp_path / "thesis.txt").write_text("a line\nand half of")
    with pytest.raises(ConfigurationError, match=r"thesis\.txt is not an Optuna journal: name another"):
        search(storage=str(tmp_path / "thesis.txt"))
    assert (tmp_path / "thesis.txt").read_text() == "a line\nand half of"


def test_a_file_system_without_links_is_locked_by_a_file(search, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.symlink", refuse)
    ours = search(trials=1)
    assert [ours.tell(trial, None) for _, trial in ours.trials()] == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["study.journal"]


def test_a_database_that_is_damaged_and_a_missing_driver_are_named(search, tmp_path, monkeypatch):
    (tmp_path / "study.db").write_text("no data base at all")
    with pytest.raises(ConfigurationError, match=r"storage cannot be used: file is not a database$"):
        search(storage=f"sqlite:///{tmp_path}/study.db")
    (tmp_path / "study.journal").write_text("no journal\n")
    with pytest.raises(ConfigurationError, match=r"/study\.journal is not an Optuna journal: name another"):
        search()
    monkeypatch.setitem(sys.modules, "pymysql", None)  # as if it were not installed
    with pytest.raises(ConfigurationError, match="storage cannot be used: it needs the package pymysql, which is not"):
        search(storage="mysql+pymysql://user@host/studies")


def test_a_run_knows_its_trial_by_overrides_that_hydra_reads_back():
    config = TrialConfig(3, "/a b/o'c\\d.journal", "my study", "median", {"n_startup_trials": 2}, "val/loss")
    parsed = OverridesParser.create().parse_overrides(config.overrides())
    read = {one.key_or_group.removeprefix("sweep.trial."): one.value() for one in parsed}
    assert read == asdict(config)
    assert TrialConfig(3).overrides() == []  # without a pruner there is nothing to report


def epoch_end(prune, epoch, accuracy):
    """What Lightning calls after an epoch; whether training is to stop."""
    trainer = SimpleNamespace(
        current_epoch=epoch - 1,
        is_global_zero=True,
        should_stop=False,
        callback_metrics={"val/accuracy": accuracy},
        strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision),
    )
    prune.on_train_epoch_end(trainer, None)
    return trainer.should_stop


@pytest.mark.parametrize(
    ("pruner", "settings"),
    [("median", {"n_startup_trials": 1}), ("successive_halving", {"min_resource": 1, "reduction_factor": 2})],
)
def test_a_run_that_is_worse_than_the_others_is_stopped_and_one_that_is_better_is_not(
    pruner, settings, search, tmp_path
):
    ours = search(trials=4, pruner=pruner, pruner_settings=settings)
    stopped = []
    for accuracy, (_, trial) in zip([0.8, 0.7, 0.4, 0.9], ours.trials(), strict=True):
        config = TrialConfig(trial.number, ours.template.storage, ours.template.study, pruner, settings)
        prune = Prune(config)
        judged = next((epoch for epoch in (1, 2) if epoch_end(prune, epoch, accuracy)), 0)
        stopped.append(judged > 0)
        assert prune.pruned_after == judged
        ours.tell(trial, run_with(tmp_path, accuracy, status="pruned" if judged else "completed"))
    assert stopped[0] is False
    assert stopped[2] is True
    assert stopped[3] is False
    assert find_trial(config).number == 3


def test_the_journal_is_one_file_in_the_sweeps_folder(search, tmp_path):
    next(search().trials())
    lines = (tmp_path / "study.journal").read_text().splitlines()
    assert json.loads(lines[0])["study_name"] == Path(tmp_path).name


@pytest.mark.parametrize(("trouble", "tries"), [('relation "studies" already exists', 3), ("no such host", 1)])
def test_tables_that_another_machine_makes_at_this_moment_are_waited_for(trouble, tries, monkeypatch):
    from sqlalchemy.exc import ProgrammingError

    opened = []

    def open_one(url):
        opened.append(url)
        if len(opened) < 3:
            raise ProgrammingError("CREATE TABLE studies", {}, Exception(trouble))
        return "storage"

    monkeypatch.setattr("optuna.storages.RDBStorage", open_one)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    if tries == 1:
        with pytest.raises(ProgrammingError):
            open_storage("postgresql://somewhere")
    else:
        assert open_storage("postgresql://somewhere") == "storage"
    assert len(opened) == tries
