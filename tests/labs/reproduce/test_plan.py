"""Which runs are needed, where they stand, and which are done."""

import json
from pathlib import Path

import pytest
import yaml
from folders import summary

from dlproj.config.images import ImageFolderConfig
from dlproj.experiments import Point
from dlproj.labs.reproduce.plan import length, on_images, plan, shortened


@pytest.fixture
def point(composed):
    """Call with overrides: a point of an experiment called toy/one."""

    def make(*overrides, name="toy/one", label=""):
        return Point(name, label, composed("data=digits", *overrides))

    return make


def leave(run, **changes):
    """What the run would leave if it completed."""
    run.folder.mkdir(parents=True, exist_ok=True)
    run.config.save(run.folder / "config.yaml")
    (run.folder / "summary.json").write_text(json.dumps(summary(**changes)))


def test_each_point_runs_with_each_seed_and_every_first_seed_comes_first(point):
    runs = plan([point(), point("model.hidden=[8]", label="[8], x/y")], 2, Path("logs"))
    assert [str(run.folder) for run in runs] == [
        "logs/toy/one/seed-0",
        "logs/toy/one/8_,_x_y/seed-0",
        "logs/toy/one/seed-1",
        "logs/toy/one/8_,_x_y/seed-1",
    ]
    assert [run.config.seed for run in runs] == [0, 0, 1, 1]


def test_equal_settings_are_run_once_for_all_who_have_them(point):
    one, same, other = point(), point("name=other", name="toy/same"), point("figures=none", name="toy/other")
    runs = plan([one, same, other], 1, Path("logs"))
    assert [str(run.folder) for run in runs] == ["logs/toy/one/seed-0"] * 2 + ["logs/toy/other/seed-0"]


def test_a_run_that_is_there_already_is_shared_whoever_asked_for_it(point, tmp_path):
    one, same = point(), point(name="toy/same")
    (first,) = plan([same], 1, tmp_path)
    leave(first)
    assert [run.folder for run in plan([one, same], 1, tmp_path)] == [first.folder] * 2


def test_a_completed_run_of_the_same_settings_is_done(point, tmp_path):
    (run,) = plan([point("data=fmnist")], 1, tmp_path)
    assert run.found() is None
    leave(run)
    assert run.found().result.parameters == 75010
    others = ("data.root=/elsewhere", "name=new", "reference.place=there")
    (elsewhere,) = plan([point("data=fmnist", *others)], 1, tmp_path)
    assert elsewhere.found()


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_a_run_that_has_not_ended_well_is_not_done(point, tmp_path, status):
    (run,) = plan([point()], 1, tmp_path)
    leave(run, status=status)
    assert run.found() is None


@pytest.mark.parametrize(
    "override", ["optim.learning_rate=0.5", "trainer.max_epochs=3", "optim=sgd", "model.hidden=[8]"]
)
def test_a_run_of_other_settings_is_not_done(point, tmp_path, override):
    (run,) = plan([point()], 1, tmp_path)
    leave(run)
    (other,) = plan([point(override)], 1, tmp_path)
    assert other.folder == run.folder
    assert other.found() is None


def test_a_damaged_folder_is_not_done(point, tmp_path):
    (run,) = plan([point()], 1, tmp_path)
    leave(run)
    (run.folder / "config.yaml").write_text("{")
    assert run.found() is None


def test_a_shortened_run_keeps_what_is_shorter_already(point):
    trainer = shortened(point("trainer.max_epochs=1", "trainer.limit_train_batches=1")).config.trainer
    assert (trainer.max_epochs, trainer.limit_train_batches, trainer.limit_test_batches) == (1, 1, None)
    trainer = shortened(point("trainer.max_epochs=30")).config.trainer
    assert (trainer.max_epochs, trainer.limit_train_batches) == (2, 100)


def test_reviews_are_shortened_most(point):
    trainer = shortened(point("data=imdb", "model=lstm", "trainer.max_epochs=30")).config.trainer
    limits = trainer.limit_train_batches, trainer.limit_val_batches, trainer.limit_test_batches
    assert (trainer.max_epochs, *limits) == (2, 4, 1, 1)


def test_cifar10_is_read_from_images_with_its_other_settings(point):
    cifar = point("data=cifar10", "data.batch_size=8", "data.scaling=none")
    images = on_images(cifar, Path("tree")).config.data
    assert images == ImageFolderConfig(root="tree", batch_size=8, scaling=cifar.config.data.scaling)
    assert on_images(cifar, Path("tree")).overrides == ("data=image_folder", "data.root=tree")
    digits = point()
    assert on_images(digits, Path("tree")) is digits
    assert images.image_size == 32


def test_what_images_were_read_decides_where_a_run_stands_and_whether_it_is_done(point, tmp_path):
    cifar = point("data=cifar10")
    one, other = (plan([on_images(cifar, tree)], 1, tmp_path)[0] for tree in (Path("one"), Path("other")))
    (original,) = plan([cifar], 1, tmp_path)
    assert original.folder == tmp_path / "toy/one/seed-0"
    assert one.folder == other.folder == tmp_path / "toy/one/images/seed-0"
    leave(one)
    assert one.found()
    assert other.found() is None
    assert original.found() is None


def test_a_run_from_before_a_setting_was_there_is_done(point, tmp_path):
    (run,) = plan([point()], 1, tmp_path)
    leave(run)
    file = run.folder / "config.yaml"
    settings = yaml.safe_load(file.read_text())
    del settings["trainer"]["val_check_interval"], settings["figures"]["samples"], settings["reference"]
    file.write_text(yaml.safe_dump(settings))
    assert run.found()


def test_a_run_with_a_damaged_table_is_not_done(point, tmp_path):
    (run,) = plan([point()], 1, tmp_path)
    leave(run)
    (run.folder / "metrics.csv").write_text("epoch,val/loss\n1,high\n")
    assert run.found() is None


def test_runs_of_many_steps_are_longer_and_those_of_recurrent_networks_most_of_all(point):
    short, small, rnn = (
        point("data.batch_size=128"),
        point("data.batch_size=8"),
        point("data=imdb", "model=lstm", "data.batch_size=128"),
    )
    assert length(short.config) < length(small.config) < length(rnn.config)
