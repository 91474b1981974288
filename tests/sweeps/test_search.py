"""Searches: what is chosen, what is told, what is kept."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from folders import write_run
from hydra.core.override_parser.overrides_parser import OverridesParser

from dlproj.results.comparison import at_tested_epoch
from dlproj.results.record import read_run
from dlproj.settings import ConfigurationError, UserError
from dlproj.sweeps.search import Search
from dlproj.sweeps.search_config import SearchConfig
from dlproj.sweeps.space import Space
from dlproj.training.pruning import Prune, find_trial, open_storage
from dlproj.training.sweep_config import TrialConfig

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


def test_several_objectives_leave_those_trials_that_no_other_beats(search, tmp_path):
    ours = search(trials=3, objectives=["val/accuracy", "parameters"])
    outcomes = iter([(0.8, 100), (0.9, 200), (0.7, 150)])
    for _, trial in ours.trials():
        accuracy, parameters = next(outcomes)
        ours.tell(trial, run_with(tmp_path, accuracy, parameters=parameters))
    assert sorted((one.run, one.values) for one in ours.front()) == [("run-1", [0.8, 100]), ("run-2", [0.9, 200])]


def test_a_search_without_a_value_says_so(search):
    ours = search(trials=1)
    for _, trial in ours.trials():
        ours.tell(trial, None)
    with pytest.raises(UserError, match="no trial came to a value"):
        ours.front()


def test_the_objective_is_that_of_the_weights_that_were_tested(tmp_path):
    assert at_tested_epoch(run_with(tmp_path, 0.5), "val/accuracy") == 0.5
    assert at_tested_epoch(run_with(tmp_path, 0.6, tested_weights="best", best_epoch=1), "val/accuracy") == 0.99
    assert at_tested_epoch(run_with(tmp_path, 0.7, parameters=7), "parameters") == 7
    assert math.isnan(at_tested_epoch(run_with(tmp_path, 0.8), "val/loss"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trials": 0}, r"hydra.sweeper.trials=0 is impossible"),
        ({"sampler": "best"}, "hydra.sweeper.sampler=best is no choice: set one of tpe, random, grid, cmaes, gp"),
        ({"pruner": "hard"}, "hydra.sweeper.pruner=hard is no choice: set one of none, median, successive_halving"),
        ({"objectives": []}, r"hydra.sweeper.objectives is empty: set \[val/accuracy\]"),
        (
            {"objectives": ["test/accuracy"]},
            r"test/accuracy cannot choose: .*what the test set has chosen, it cannot test",
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
