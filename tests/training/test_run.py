"""A run on scikit-learn's digits: what it leaves, what it promises of seeds, stopping and processes."""

import csv
import itertools
import json
from dataclasses import replace

import pytest
import torch
from pytorch_lightning.callbacks import Timer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.config.reference import ReferenceConfig
from dlproj.config.root import load
from dlproj.config.sweep import SweepConfig
from dlproj.data.imdb import IMDBDataModule
from dlproj.models.mlp import MLPClassifier
from dlproj.runs.manifest import NAME, listed
from dlproj.training.recording import best_epoch
from dlproj.training.run import run, train
from dlproj.training.stopwatch import Stopwatch

QUICK = [
    *("data=digits", "data.batch_size=128", "model.hidden=[16]"),
    *("trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false", "figures=none"),
]


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def table(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def weights(folder, which="last"):
    return torch.load(folder / "checkpoints" / f"{which}.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def finished(composed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = composed(*QUICK, "trainer.max_epochs=3", "seed=0")
    return config, folder, train(config, folder)


def test_a_run_leaves_its_settings_metrics_summary_checkpoints_and_events(finished):
    config, folder, _ = finished
    assert load(folder / "config.yaml") == config
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"config.yaml", "metrics.csv", "summary.json", "best.ckpt", "last.ckpt"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)


def test_metrics_csv_has_one_row_an_epoch_with_training_and_validation(finished):
    _, folder, _ = finished
    rows = table(folder)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        assert set(row) == {
            "epoch",
            "learning_rate",
            "train/loss",
            "train/accuracy",
            "val/loss",
            "val/accuracy",
            "val/top2_accuracy",
            "val/macro_f1",
        }
        assert all(row.values())
    assert float(rows[2]["train/loss"]) < float(rows[0]["train/loss"])


def test_tensorboard_shows_each_metric_by_epoch_and_the_test_at_the_last_one(finished):
    _, folder, result = finished
    events = EventAccumulator(str(folder)).Reload()
    rows = table(folder)
    for metric in ("train/loss", "val/accuracy", "learning_rate"):
        points = {event.step: event.value for event in events.Scalars(metric)}
        assert points == pytest.approx({int(row["epoch"]): float(row[metric]) for row in rows})
    (tested,) = events.Scalars("test/accuracy")
    assert (tested.step, tested.value) == (3, pytest.approx(result.metrics["test/accuracy"]))


def test_the_summary_says_how_it_went(finished):
    _, folder, result = finished
    found = summary(folder)
    assert (found["status"], found["stop_reason"]) == ("completed", "reached max_epochs=3")
    assert (found["last_epoch"], found["best_epoch"], found["seed"], found["monitor"]) == (3, 3, 0, "val/loss")
    assert found["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert found["test/accuracy"] == result.metrics["test/accuracy"]
    assert found["val/loss"] == pytest.approx(float(table(folder)[-1]["val/loss"]))
    assert found["seconds"] > 0
    assert found["samples_per_second"] > 0
    assert found["peak_memory_bytes"] > 2**20
    assert torch.__version__.startswith(found["versions"]["torch"])
    assert len(found["data_fingerprint"]) == 16


def test_the_confusion_matrix_counts_every_test_sample_and_its_diagonal_the_right_ones(finished):
    _, folder, _ = finished
    found = summary(folder)
    matrix = torch.tensor(found["confusion_matrix"])
    assert matrix.sum() == 360
    assert matrix.trace() / 360 == pytest.approx(found["test/accuracy"])


def test_the_test_figures_are_those_of_the_saved_weights(finished):
    """Computed again with nothing of the training path but the network."""
    config, folder, result = finished
    data = config.data.build(config.seed)
    data.setup()
    model = config.model.build(data.spec, config.optim, config.scheduler)
    model.load_state_dict(weights(folder))
    with torch.no_grad():
        logits = model.eval()(data.test.inputs.float() / 16)
    accuracy = (logits.argmax(1) == data.test.targets).double().mean()
    loss = torch.nn.functional.cross_entropy(logits.double(), data.test.targets)
    assert result.metrics["test/accuracy"] == pytest.approx(float(accuracy), abs=1e-7)
    assert result.metrics["test/loss"] == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("extra", [[], ["model.dropout=0.5", "data.random_crop=1", "data.val=random"]])
def test_the_same_command_gives_the_same_bits(extra, composed, tmp_path):
    config = composed(*QUICK, "trainer.max_epochs=2", *extra)
    for name in ("one", "two"):
        train(config, tmp_path / name)
    assert (tmp_path / "one/metrics.csv").read_bytes() == (tmp_path / "two/metrics.csv").read_bytes()
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert summary(tmp_path / "one")["data_fingerprint"] == summary(tmp_path / "two")["data_fingerprint"]


def test_seed_0_is_a_seed_and_another_seed_is_another_run(finished, composed, tmp_path):
    _, folder, _ = finished
    train(composed(*QUICK, "trainer.max_epochs=3", "seed=1"), tmp_path)
    assert (folder / "metrics.csv").read_bytes() != (tmp_path / "metrics.csv").read_bytes()


def test_early_stopping_stops_and_the_last_weights_are_tested_unless_the_best_are_asked_for(composed, tmp_path):
    worsening = ["optim=sgd", "optim.learning_rate=30", "callbacks.early_stopping.patience=2", "trainer.max_epochs=30"]
    results = {}
    for restore in ("false", "true"):
        config = composed(*QUICK, *worsening, f"callbacks.early_stopping.restore_best={restore}")
        results[restore] = train(config, tmp_path / restore)
    last, best = results["false"], results["true"]
    assert last.stop_reason == best.stop_reason == "early stopping: val/loss no better for 2 epochs"
    assert last.last_epoch == last.best_epoch + 2 < 30
    assert (last.tested_weights, best.tested_weights) == ("last", "best")
    assert best.metrics["test/loss"] != last.metrics["test/loss"]
    same = weights(tmp_path / "true", "best")
    assert all(torch.equal(same[key], value) for key, value in weights(tmp_path / "false", "best").items())


DIVERGING = ["optim=sgd", "optim.learning_rate=1e30"]


@pytest.mark.parametrize("steps", [1, 7])
def test_a_run_whose_loss_is_not_finite_ends_with_that_epoch_and_names_the_step(steps, composed, tmp_path):
    result = train(composed(*QUICK, *DIVERGING, f"trainer.steps_per_execution={steps}"), tmp_path)
    assert (result.status, result.last_epoch) == ("diverged", 1)
    assert result.stop_reason.startswith("the loss was not finite in step 2 of epoch 1: set optim.learning_rate lower")
    assert summary(tmp_path)["status"] == "diverged"
    assert result.metrics["test/accuracy"] > 0  # tested as any other


def test_a_run_whose_loss_is_not_finite_goes_on_where_that_is_asked_for(composed, tmp_path):
    quiet = ["callbacks.terminate_on_nan=false", "trainer.max_epochs=2"]
    result = train(composed(*QUICK, *DIVERGING, *quiet), tmp_path)
    assert (result.status, result.last_epoch) == ("completed", 2)


def test_a_first_epoch_without_improvement_can_stop_a_run(composed, tmp_path):
    stopping = ["callbacks.early_stopping.patience=1", "callbacks.terminate_on_nan=false"]
    result = train(composed(*QUICK, *DIVERGING, *stopping), tmp_path)
    assert result.stop_reason == "early stopping: val/loss no better for 1 epochs"
    assert (result.last_epoch, result.best_epoch) == (1, None)
    assert summary(tmp_path)["val/loss"] is None


def test_penalties_are_logged_apart_and_add_up_to_the_loss(composed, tmp_path):
    train(composed(*QUICK, "model.weight_l2=0.01", "trainer.max_epochs=1"), tmp_path)
    row, found = table(tmp_path)[0], summary(tmp_path)
    for split in ("train", "val"):
        parts = float(row[f"{split}/data_loss"]) + float(row[f"{split}/penalty"])
        assert parts == pytest.approx(float(row[f"{split}/loss"]), rel=1e-5)
    squares = sum(value.double().square().sum() for key, value in weights(tmp_path).items() if key.endswith("weight"))
    assert found["test/penalty"] == pytest.approx(0.01 * float(squares), rel=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [
        ["scheduler.warmup_epochs=1"],
        ["scheduler=constant"],
        ["scheduler=plateau", "trainer.gradient_clip_val=0.5"],
        ["trainer.accumulate_grad_batches=2", "trainer.gradient_clip_val=0.1", "trainer.gradient_clip_algorithm=value"],
        ["trainer.precision=bf16-mixed", "trainer.deterministic=false"],
        ["model=gru", "model.hidden=[8]", "model.image_reading=rows"],
        ["data=feature_sum", "model.outputs=1", "model.loss=binary_cross_entropy"],
    ],
)
def test_settings_that_train_in_other_ways_train(overrides, composed, tmp_path):
    result = train(composed(*QUICK, "trainer.max_epochs=2", *overrides), tmp_path)
    assert result.status == "completed"
    rows = table(tmp_path)
    assert float(rows[1]["train/loss"]) < float(rows[0]["train/loss"])


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    """A root of 40 + 8 reviews of one to ten words, which the first one tells apart."""
    monkeypatch.setattr(IMDBDataModule, "official_sizes", None)
    for split, count in (("train", 20), ("test", 4)):
        for folder, word in (("neg", "bad"), ("pos", "good")):
            (tmp_path / "aclImdb" / split / folder).mkdir(parents=True)
            for number in range(count):
                path = tmp_path / "aclImdb" / split / folder / f"{number}_5.txt"
                path.write_text(f"{word} {'film ' * (number % 10)}")
    return tmp_path


READING = [
    *("data=imdb", "data.batch_size=8", "data.length=12", "data.vocabulary_size=20"),
    *("model.hidden=[8,4]", "model.embedding_rows=50", "model.embedding_dim=8", "optim.learning_rate=0.01"),
    *(
        "trainer.accelerator=cpu",
        "trainer.threads=1",
        "trainer.progress_bar=false",
        "figures=none",
        "trainer.max_epochs=4",
    ),
]


@pytest.mark.parametrize(
    "reading",
    [["model.bidirectional=true"], ["data.padding=post", "model.masking=true", "data.bucket_by_length=true"]],
    ids=["all", "to the last word"],
)
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_recurrent_networks_train_in_mixed_bfloat16(cell, reading, reviews, composed, tmp_path):
    config = composed(*READING, f"data.root={reviews}", f"model={cell}", *reading, "trainer.precision=bf16-mixed")
    result = run(config, tmp_path / "run")
    assert result.status == "completed"
    rows = table(tmp_path / "run")
    assert float(rows[3]["train/loss"]) < float(rows[0]["train/loss"])
    kept = weights(tmp_path / "run")
    assert {value.dtype for value in kept.values()} == {torch.float32}
    model = config.model.build(config.data.spec(), config.optim, config.scheduler)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.ones(2, 12, dtype=torch.int32)).dtype == torch.bfloat16


def test_the_optimizer_never_sees_rows_of_the_embedding_that_no_word_reads(reviews, composed, tmp_path):
    run(composed(*READING, "model=lstm", f"data.root={reviews}"), tmp_path / "run")
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    rows = {key: len(value) for key, value in checkpoint["state_dict"].items() if key.startswith("embedding")}
    assert rows == {"embedding.0.weight": 20, "embedding.0.unread": 30}
    (group,) = checkpoint["optimizer_states"][0]["param_groups"]
    assert len(group["params"]) == len(checkpoint["state_dict"]) - 1


def test_a_run_out_of_time_says_so(composed, tmp_path, monkeypatch):
    looks = itertools.count()
    monkeypatch.setattr(Timer, "time_elapsed", lambda *_: next(looks))  # a second each
    result = train(composed(*QUICK, "trainer.max_time=00:00:01:00", "trainer.max_epochs=100000"), tmp_path)
    assert result.stop_reason == "reached max_time=00:00:01:00"
    assert 0 < result.last_epoch <= 60


def test_a_run_that_fails_leaves_a_summary_that_says_why(composed, tmp_path):
    (tmp_path / "data").write_text("a file, no folder")
    config = composed(*QUICK, "data=fmnist", f"data.root={tmp_path}/data")
    with pytest.raises(DataError, match=r"data.root=.* cannot be used for FashionMNIST"):
        run(config, tmp_path / "run")
    found = summary(tmp_path / "run")
    assert found["status"] == "failed"
    assert found["stop_reason"].startswith("DataError: data.root=")


@pytest.fixture
def interrupted(composed, tmp_path, monkeypatch):
    """A run's settings, and its folder after Ctrl-C in the third epoch's validation."""
    config = composed(*QUICK, "trainer.max_epochs=5")
    validations = []

    def ctrl_c(*args):
        validations.append(args)
        if len(validations) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MLPClassifier, "on_validation_start", ctrl_c)
        with pytest.raises(SystemExit):
            run(config, tmp_path / "run")
    assert summary(tmp_path / "run")["status"] == "interrupted"
    return config, tmp_path / "run"


def test_an_interrupted_run_goes_on_from_its_last_epoch_to_the_weights_of_one_that_never_was(interrupted, tmp_path):
    config, folder = interrupted
    run(config, tmp_path / "whole")
    result = run(replace(config, sweep=SweepConfig(resume=str(tmp_path))), folder, ["sweep.resume=…", "data=digits"])
    assert (result.status, result.last_epoch, result.steps) == ("completed", 5, summary(tmp_path / "whole")["steps"])
    assert table(folder) == table(tmp_path / "whole")
    whole = weights(tmp_path / "whole")
    assert all(torch.equal(value, whole[name]) for name, value in weights(folder).items())
    assert result.overrides == ["data=digits"]  # those of a sweep are about the other runs


def test_the_time_and_the_samples_of_a_resumed_run_are_those_of_all_its_epochs(interrupted):
    config, folder = interrupted
    before = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["taken"]["seconds"]
    result = run(replace(config, sweep=SweepConfig(resume="here")), folder)
    assert result.seconds > before > 0
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["taken"]["samples"] == 5 * 1293
    assert result.samples_per_second > 5 * 1293 / result.seconds  # of whose time validation takes a part


def test_testing_the_best_weights_takes_back_neither_time_nor_samples(composed, tmp_path, monkeypatch):
    taken = []
    stop = Stopwatch.on_train_end
    monkeypatch.setattr(Stopwatch, "on_train_end", lambda self, *_: taken.append((stop(self), self.seconds)))
    best = ("callbacks.early_stopping.restore_best=true", "callbacks.early_stopping.monitor=val/accuracy")
    result = run(composed(*QUICK, *best, "trainer.max_epochs=6", "optim.learning_rate=0.2"), tmp_path)
    assert result.best_epoch < result.last_epoch == 6
    assert result.seconds == taken[0][1]
    assert result.samples_per_second > 6 * 1293 / result.seconds


def test_a_completed_run_is_left_as_it_is_and_another_one_is_not_written_over(finished, composed, tmp_path):
    config, folder, result = finished
    resuming = SweepConfig(resume="here")
    assert run(replace(config, sweep=resuming), folder).git_commit == result.git_commit
    assert (folder / "metrics.csv").exists()
    with pytest.raises(ConfigurationError, match=r"holds a run with seed=0 \(now 1\): use its settings"):
        run(replace(config, seed=1, sweep=resuming), folder)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_lists_every_file_that_it_leaves(composed, tmp_path):
    drawn = ["figures=default", "figures.gradients=true", "figures.samples=[grid,'train:0']", "trainer.profile=true"]
    folder = tmp_path / "run"
    run(composed(*QUICK, "trainer.max_epochs=1", *drawn), folder)
    names = listed(folder)
    events = {str(name) for name in files(folder) if str(name).startswith("events.")}
    assert events
    left = {name.as_posix() for name in files(folder)} - {".lock", NAME} - events
    # Of the samples those of a text would be files of text, and what the run does not meet is not drawn.
    unmet = {"events.out.tfevents.*", "figures/grid.txt", "figures/samples.txt", "code.patch", "test_predictions.csv"}
    assert left <= set(names)
    assert set(names) - left <= unmet


def test_a_second_run_in_a_folder_is_refused_and_replaces_the_first_whole_where_it_may(composed, tmp_path):
    config = composed(*QUICK, "trainer.max_epochs=1", "figures=default")
    run(config, tmp_path)
    (tmp_path / "checkpoints/mine.pt").write_text("mine")
    before = files(tmp_path)
    second = replace(config, seed=1, figures=composed(*QUICK).figures)
    with pytest.raises(ConfigurationError, match="holds an earlier run"):
        run(second, tmp_path)
    assert files(tmp_path) == before
    result = run(replace(second, overwrite=True), tmp_path, ["seed=1", "overwrite=true"])
    assert (summary(tmp_path)["seed"], result.overrides) == (1, ["seed=1"])
    left = {path.as_posix() for path in files(tmp_path)}
    assert "checkpoints/mine.pt" in left
    assert not left & {"report.html", "figures/confusion_matrix.png"}  # of the first
    assert not [path for path in before if path.name.startswith("events.") and path in files(tmp_path)]
    assert load(tmp_path / "config.yaml") == second


@pytest.mark.parametrize("wrong", [["data=fmnist", "data.root=/dev/null"], ["figures.samples=['test:360']"]])
def test_what_is_wrong_with_the_data_leaves_an_earlier_run_as_it_was(wrong, composed, tmp_path):
    folder = tmp_path / "run"
    run(composed(*QUICK, "trainer.max_epochs=1"), folder)
    before = files(folder)
    with pytest.raises(DataError):
        run(composed(*QUICK, *wrong, "overwrite=true"), folder)
    assert files(folder) == before


def test_a_folder_with_somebodys_files_can_hold_a_run_unless_it_would_overwrite_them(composed, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/my.pt").write_text("mine")
    (tmp_path / "summary.json").write_text('{"accuracy": 1}')
    config = composed(*QUICK, "trainer.max_epochs=1", "overwrite=true")
    with pytest.raises(ConfigurationError, match=r"summary\.json would be overwritten, and dlproj did not write it"):
        run(config, tmp_path)
    (tmp_path / "summary.json").unlink()
    run(config, tmp_path)
    assert (tmp_path / "checkpoints/my.pt").read_text() == "mine"


@pytest.mark.usefixtures("forked_processes")
def test_two_processes_end_with_the_weights_of_one_with_twice_the_batch(composed, tmp_path):
    shared = [*QUICK, "trainer.max_epochs=3", "data.drop_last=true", "trainer.evaluate_train=true"]
    one = run(composed(*shared, "data.batch_size=32"), tmp_path / "one")
    two = run(composed(*shared, "data.batch_size=16", "trainer=ddp", "trainer.threads=1"), tmp_path / "two")
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all((first[key] - second[key]).abs().max() <= 1e-6 for key in first)
    assert two.metrics["test/accuracy"] == one.metrics["test/accuracy"]
    assert two.metrics["train/accuracy"] == one.metrics["train/accuracy"]
    assert two.metrics["val/macro_f1"] == one.metrics["val/macro_f1"]
    assert two.metrics["train_eval/accuracy"] == one.metrics["train_eval/accuracy"]  # of 1,293 samples, an odd number
    assert two.metrics["train_eval/loss"] == pytest.approx(one.metrics["train_eval/loss"], abs=1e-6)
    assert two.metrics["test/loss"] == pytest.approx(one.metrics["test/loss"], abs=1e-6)
    assert len(table(tmp_path / "two")) == 3


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize(
    "sampling", ["class_weights=balanced", pytest.param("sampling=balanced", marks=pytest.mark.slow)]
)
def test_two_processes_mix_draw_and_weigh_as_one_with_twice_the_batch(sampling, composed, tmp_path):
    shared = [
        *(*QUICK, "trainer.max_epochs=2", "data.drop_last=true", "figures=none", "model.hidden=[16,8]"),
        *("data.mixup=0.3", "data.random_crop=1", "model.label_smoothing=0.1", "model.freeze=[hidden.0]"),
        f"{'data' if sampling.startswith('s') else 'model'}.{sampling}",
    ]
    one = run(composed(*shared, "data.batch_size=32"), tmp_path / "one")
    two = run(composed(*shared, "data.batch_size=16", "trainer=ddp", "trainer.threads=1"), tmp_path / "two")
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all((first[key] - second[key]).abs().max() <= 1e-6 for key in first)
    for metric in ("train/loss", "train/accuracy", "test/loss"):
        assert two.metrics[metric] == pytest.approx(one.metrics[metric], abs=1e-6)
    assert two.class_weights == one.class_weights


def test_the_summary_holds_the_reported_figures_and_what_the_data_is(composed, tmp_path):
    reported = {"test/accuracy": {1: 0.5, 3: 0.75}, "parameters": 1210}
    reference = ReferenceConfig(document="d", by="trainer.max_epochs", reported=reported)
    config = replace(composed(*QUICK, "trainer.max_epochs=1"), reference=reference)
    result = train(config, tmp_path)
    found = summary(tmp_path)
    assert found["reference"] == result.reference == {"test/accuracy": 0.5, "parameters": 1210.0}
    assert found["samples"] == {"train": 1293, "val": 144, "test": 360}
    assert found["input_shape"] == [1, 8, 8]
    assert load(tmp_path / "config.yaml") == config


def test_the_summary_holds_the_reported_curves_and_how_far_the_run_is_from_them(composed, tmp_path, caplog):
    curves = {"val/accuracy": {1: [0.5, 0.75], 3: [1.0]}, "train/loss": [None, 2.0]}
    reference = ReferenceConfig(by="trainer.max_epochs", curves=curves)
    config = replace(composed(*QUICK, "trainer.max_epochs=1"), reference=reference)
    result = train(config, tmp_path)
    assert "reported up to epoch 2: val/accuracy, train/loss; the run ended after 1" in caplog.messages
    assert result.reference_curves == {"val/accuracy": {1: 0.5, 2: 0.75}, "train/loss": {2: 2.0}}
    assert summary(tmp_path)["reference_curves"]["val/accuracy"] == {"1": 0.5, "2": 0.75}
    tenths = 10 * (result.metrics["val/accuracy"] - 0.5)  # and two numbers of an epoch that it did not train
    assert summary(tmp_path)["reference_distance"] == pytest.approx(((tenths**2 + 2) / 3) ** 0.5)
    assert load(tmp_path / "config.yaml") == config


def test_validation_after_every_batch_changes_no_weight_and_comes_as_often(composed, tmp_path, monkeypatch):
    passes = []
    monkeypatch.setattr(MLPClassifier, "on_validation_start", lambda model: passes.append(model.trainer.global_step))
    shorter = [*QUICK, "trainer.max_epochs=2", "trainer.limit_train_batches=3", "trainer.evaluate_train=true"]
    train(composed(*shorter), tmp_path / "once")
    assert passes == [3, 6]
    passes.clear()
    result = train(composed(*shorter, "trainer.val_check_interval=1"), tmp_path / "each")
    assert passes == [1, 2, 3, 4, 5, 6]
    for name, value in weights(tmp_path / "once").items():
        assert torch.equal(value, weights(tmp_path / "each")[name])
    assert table(tmp_path / "once") == table(tmp_path / "each")
    assert result.last_epoch == 2


def test_a_validation_that_would_never_come_is_refused(composed, tmp_path):
    message = r"trainer\.val_check_interval=4 is more than the 3 training batches of an epoch: set it lower"
    config = composed(*QUICK, "trainer.limit_train_batches=3", "trainer.val_check_interval=4")
    with pytest.raises(ConfigurationError, match=message):
        train(config, tmp_path)


def test_pictures_of_samples_are_drawn_where_they_are_asked_for(composed, tmp_path):
    train(composed(*QUICK, "trainer.max_epochs=1", "figures.samples=[grid,'train:0,1','test:359']"), tmp_path)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["grid.png", "samples.png"]


def test_a_sample_that_does_not_exist_ends_the_run_before_training(composed, tmp_path):
    with pytest.raises(DataError, match="test:360 does not exist: the test set has 360 samples"):
        train(composed(*QUICK, "figures.samples=['test:360']"), tmp_path)
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize(
    ("rows", "mode", "epoch"),
    [
        ({1: 0.5, 2: 0.3, 3: 0.3, 4: 0.4}, "min", 2),
        ({1: 0.5, 2: 0.7, 3: 0.7}, "max", 2),
        ({1: float("nan"), 2: 0.9}, "min", 2),
        ({1: float("nan")}, "min", None),
        ({}, "min", None),
    ],
)
def test_the_best_epoch_is_the_first_of_equals_and_never_nan(rows, mode, epoch):
    assert best_epoch({number: {"val/loss": value} for number, value in rows.items()}, "val/loss", mode) == epoch
