"""init_from: a run starts from the weights of another, as far as they fit."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from hydra import compose
from PIL import Image

import dlproj
from dlproj.config.checks import DataError, UserError
from dlproj.experiments import composing
from dlproj.runs.new_run import checked
from dlproj.runs.record import read_result
from dlproj.training.callbacks import checkpoint_path
from dlproj.training.initial_weights import load_initial, prepare_like, weights_fingerprint
from dlproj.training.run import resume_run, run

QUICK = ["trainer.threads=1", "trainer.accelerator=cpu", "trainer.progress_bar=false", "figures=none", "logger=none"]
DIGITS = ["data=digits", "model.hidden=[16]", "trainer.max_epochs=1", *QUICK]


@pytest.fixture(scope="module")
def first(tmp_path_factory, composed):
    """The folder of a run on the digits."""
    folder = tmp_path_factory.mktemp("first") / "run"
    run(composed(*DIGITS, "optim.learning_rate=0.02"), folder)
    return folder


def weights(folder, which="last"):
    return torch.load(checkpoint_path(folder, which), weights_only=True)["state_dict"]


def started(config, path):
    """The state dict before the first step, and the record."""
    torch.manual_seed(1)
    data = config.data.build(config.seed)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    return fresh, model.state_dict(), load_initial(path, model, data), data


def test_the_same_network_on_the_same_classes_starts_from_every_weight(first, composed):
    _, now, record, _ = started(composed(*DIGITS), checkpoint_path(first, "last"))
    expected = weights(first)
    assert now.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in now.items())
    assert (record["anew"], record["unused"], record["inputs"]) == ("", "", "as in that run")
    assert record["fingerprint"] == weights_fingerprint(expected)


def test_what_does_not_fit_is_initialised_anew_and_said_in_one_line(first, composed, caplog):
    fresh, now, record, _ = started(composed(*DIGITS, "model.hidden=[16,8]"), checkpoint_path(first, "last"))
    expected = weights(first)
    assert torch.equal(now["hidden.0.linear.weight"], expected["hidden.0.linear.weight"])
    for name in ("hidden.1.linear.weight", "output.weight"):
        assert torch.equal(now[name], fresh[name])
    assert record["anew"] == "hidden.1.linear, output"
    assert caplog.messages == [f"init_from={record['checkpoint']}: initialised anew: hidden.1.linear, output"]


def test_layers_that_the_network_lacks_are_named(first, composed, tmp_path, caplog):
    run(composed(*DIGITS, "model.hidden=[16,8]"), tmp_path / "deep")
    _, _, record, _ = started(composed(*DIGITS), checkpoint_path(tmp_path / "deep", "last"))
    assert (record["anew"], record["unused"]) == ("output", "hidden.1.linear")
    assert "not used: hidden.1.linear" in caplog.text


def images(root, classes, shade=0):
    for split in ("train", "test"):
        for number, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for image in range(6):
                Image.new("L", (8, 8), shade + 20 * number + 2 * image).save(root / split / name / f"{image}.png")
    chosen = ["data=image_folder", f"data.root={root}", "data.image_size=8", "data.val_fraction=0.5"]
    return [*chosen, "model.hidden=[4]", "trainer.max_epochs=1", "data.scaling=standardize", *QUICK]


@pytest.mark.parametrize(
    ("classes", "anew"), [("ab", ""), ("abc", "output"), ("xy", "output"), (["b", "a", "c"], "output")]
)
def test_the_output_is_kept_for_the_same_classes_by_name_alone(classes, anew, composed, tmp_path):
    run(composed(*images(tmp_path / "one", "ab")), tmp_path / "run")
    config = composed(*images(tmp_path / "two", classes))
    fresh, now, record, _ = started(config, checkpoint_path(tmp_path / "run", "last"))
    assert record["anew"] == anew
    assert torch.equal(now["output.weight"], fresh["output.weight"]) == bool(anew)
    assert torch.equal(now["hidden.0.linear.weight"], weights(tmp_path / "run")["hidden.0.linear.weight"])


def test_inputs_are_prepared_as_in_the_other_run_also_after_an_interruption(composed, tmp_path):
    run(composed(*images(tmp_path / "one", "ab")), tmp_path / "run")
    theirs = torch.load(checkpoint_path(tmp_path / "run", "last"), weights_only=True)["ImageFolderDataModule"]
    config = composed(*images(tmp_path / "two", "ab", shade=100), f"init_from={tmp_path / 'run'}")
    for folder in (tmp_path / "new", tmp_path / "again"):
        run(config, tmp_path / "new")
        mine = torch.load(checkpoint_path(tmp_path / "new", "last"), weights_only=True)["ImageFolderDataModule"]
        assert torch.equal(mine["shift"], theirs["shift"])
        assert torch.equal(mine["scale"], theirs["scale"])
        if folder.name == "new":
            resume_run(tmp_path / "new", ["trainer.max_epochs=2"])
            config.trainer.max_epochs, config.overwrite = 2, True
    assert read_result(tmp_path / "new").init_from["inputs"] == "as in that run"


def test_a_resumed_run_goes_on_from_its_own_weights_and_keeps_the_record(first, composed, tmp_path):
    config = composed(*DIGITS, f"init_from={first}", "optim=sgd", "optim.learning_rate=0.1")
    run(config, tmp_path)
    before, own = read_result(tmp_path).init_from, weights(tmp_path)
    assert before["checkpoint"].endswith("checkpoints/last.ckpt")
    assert not torch.equal(own["output.weight"], weights(first)["output.weight"])
    resume_run(tmp_path, ["trainer.max_epochs=2", "optim.learning_rate=1e-30"])
    assert all(torch.equal(value, own[name]) for name, value in weights(tmp_path).items())
    assert read_result(tmp_path).init_from == before


def test_an_embedding_of_other_words_is_not_loaded(composed, tmp_path, monkeypatch):
    sequences = np.random.default_rng(0).integers(1, 20, (24, 5))
    sequences[0, 0] = 19
    labels = np.arange(24) % 2
    run_ = dlproj.train(
        "model=gru",
        *QUICK,
        data=(sequences, labels, sequences, labels),
        hidden=[4],
        embedding_dim=3,
        max_epochs=1,
        folder=tmp_path / "run",
    )
    config = composed(
        "data=sequence_arrays",
        f"data.file={run_.settings['data']['file']}",
        "model=gru",
        "model.hidden=[4]",
        "model.embedding_dim=3",
        *QUICK,
    )
    path = checkpoint_path(tmp_path / "run", "last")
    _, now, record, _ = started(config, path)
    assert torch.equal(now["embedding.0.weight"], weights(tmp_path / "run")["embedding.0.weight"])
    monkeypatch.setattr("dlproj.training.initial_weights.prepare_like", lambda *_: False)  # as another class of data
    fresh, now, record, _ = started(config, path)
    assert torch.equal(now["embedding.0.weight"], fresh["embedding.0.weight"])
    assert record["anew"] == "embedding.0"
    assert record["inputs"] == "by this run's own data"


def test_texts_of_another_form_get_the_words_of_the_other_run(composed, tmp_path):
    for split in ("train", "test"):
        for name, word in (("a", "good"), ("b", "bad")):
            (tmp_path / "texts" / split / name).mkdir(parents=True)
            for i in range(8):
                (tmp_path / "texts" / split / name / f"{i}.txt").write_text(f"a {word} film {word}")
    (tmp_path / "table.csv").write_text(
        "text,label\n" + "".join(f"one film {i} new bad,{'xy'[i % 2]}\n" for i in range(40))
    )
    texts = ["model=gru", "model.hidden=[4]", "model.embedding_dim=3", "data.length=4", "trainer.max_epochs=1", *QUICK]
    run(composed("data=text_folder", f"data.root={tmp_path / 'texts'}", *texts), tmp_path / "run")
    table = ["data=text_table", f"data.file={tmp_path / 'table.csv'}", "data.test_fraction=0.2", *texts]
    _, now, record, data = started(composed(*table, "data.length=6"), checkpoint_path(tmp_path / "run", "last"))
    assert (record["anew"], record["inputs"]) == ("output", "as in that run")
    assert torch.equal(now["embedding.0.weight"], weights(tmp_path / "run")["embedding.0.weight"])
    data.prepare_data()
    data.setup()
    theirs = torch.load(checkpoint_path(tmp_path / "run", "last"), weights_only=True)["TextFolderDataModule"]
    assert "\n".join(data.words) == theirs["words"]
    _, _, record, _ = started(composed(*table, "data.tokens=characters"), checkpoint_path(tmp_path / "run", "last"))
    assert record["anew"] == "embedding.0, output"


def test_a_vocabulary_of_another_size_or_a_state_that_does_not_fit_is_left_aside(first, composed):
    data = composed(*DIGITS, "data.scaling=standardize").data.build(0)
    content = torch.load(checkpoint_path(first, "last"), weights_only=True)
    assert not prepare_like(content, data)  # trained on unit-scaled images
    assert not data.restored
    assert not prepare_like({"state_dict": {}}, data)


def test_the_checkpoint_is_that_of_the_tested_weights_or_the_file_that_is_named(composed, tmp_path):
    run(composed(*DIGITS, "callbacks.early_stopping.restore_best=true"), tmp_path / "run")
    assert composed(*DIGITS, f"init_from={tmp_path / 'run'}").init_from.endswith("best.ckpt")
    last = checkpoint_path(tmp_path / "run", "last")
    assert composed(*DIGITS, f"init_from={last}").init_from.endswith("last.ckpt")
    moved = tmp_path / "elsewhere.ckpt"
    shutil.copy(last, moved)
    assert composed(*DIGITS, f"init_from={moved}").init_from.endswith("elsewhere.ckpt")


def test_latest_is_the_last_run_in_logs(composed, first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(first, tmp_path / "logs/runs/20260101-000000-abcdef-one")
    found = composed(*DIGITS, "init_from=latest").init_from
    assert found == "logs/runs/20260101-000000-abcdef-one/checkpoints/last.ckpt"


def test_in_a_sweep_a_run_has_to_be_named(composed):
    config = compose_for_sweep("data=digits", "init_from=latest")
    with pytest.raises(UserError, match="init_from=latest would mean another run to each job of a sweep: name the"):
        checked(config, alone=False)


def compose_for_sweep(*overrides):
    with composing():
        return compose("config", ["name=test", *overrides])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model=cnn", "model.hidden=[16]"], "is a run of model=mlp, this is one of model=cnn"),
        (["init_from=nowhere"], "no run at nowhere, which is not a folder"),
        (["init_from=''"], "init_from is empty: name a run's folder"),
    ],
)
def test_what_cannot_be_started_from_is_refused_before_training(settings, message, first, composed):
    with pytest.raises(UserError, match=re.escape(message)):
        composed("data=digits", f"init_from={first}", *settings)


def test_a_run_without_a_checkpoint_is_refused(first, composed, tmp_path):
    shutil.copytree(first, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints")
    with pytest.raises(UserError, match=r"has no checkpoints/last\.ckpt: name a run that has trained an epoch"):
        composed(*DIGITS, f"init_from={tmp_path / 'run'}")


def test_weights_of_which_none_fits_and_data_of_another_kind_are_refused(first, composed, tmp_path):
    with pytest.raises(UserError, match=r"none of the weights of init_from=.* fits this model"):
        run(composed(*DIGITS, "model.hidden=[9]", f"init_from={first}"), tmp_path / "a")
    with pytest.raises(UserError, match="was trained on data of kind image, this is of kind features"):
        run(composed("data=feature_sum", "model.hidden=[16]", *QUICK, f"init_from={first}"), tmp_path / "b")
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(b"half")
    with pytest.raises(DataError, match=r"is damaged or not a checkpoint .*: set init_from to another run"):
        run(composed(*DIGITS, f"init_from={damaged}"), tmp_path / "c")
    assert not (tmp_path / "a/config.yaml").exists()
    content = torch.load(checkpoint_path(first, "last"), weights_only=True)
    content["state_dict"]["output.bias"][3] = float("nan")
    torch.save(content, damaged)
    with pytest.raises(UserError, match="holds weights that are not finite: set init_from to another run"):
        run(composed(*DIGITS, f"init_from={damaged}"), tmp_path / "d")


def test_the_page_and_the_record_show_what_a_run_came_from(first, tmp_path):
    once = dlproj.load_run(first)
    new = dlproj.train(*DIGITS, init_from=once, folder=tmp_path / "new")
    record = json.loads((tmp_path / "new/summary.json").read_text())["init_from"]
    page = new.report.read_text(encoding="utf-8")
    assert "initial weights" in page
    assert record["fingerprint"] in page
    assert new.settings["init_from"].endswith("checkpoints/last.ckpt")


def test_the_finder_starts_from_these_weights_too(first):
    quick = ["data=digits", "model.hidden=[16]", "trainer.threads=1"]
    fresh = dlproj.find_learning_rate(*quick, steps=40).curve["loss"][0]
    trained = dlproj.find_learning_rate(*quick, steps=40, init_from=first).curve["loss"][0]
    assert trained < fresh - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["ddp", "fsdp"])
@pytest.mark.usefixtures("forked_processes")
def test_several_processes_start_from_the_same_weights(trainer, first, composed, tmp_path):
    split = [f"trainer={trainer}", "trainer.devices=2", "optim=sgd", "optim.learning_rate=1e-30"]
    run(composed(*DIGITS, *split, f"init_from={first}"), tmp_path / "run")
    expected = weights(first)
    assert all(torch.equal(value, expected[name]) for name, value in weights(tmp_path / "run").items())
