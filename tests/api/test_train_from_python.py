"""dlproj from Python: what `dlproj.train` and its like return, and that they leave the process as it was."""

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from folders import write_run
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

import dlproj
from dlproj.api.overrides import as_overrides, full_name, quoted
from dlproj.config.checks import ConfigurationError

QUICK = {"max_epochs": 2, "model__hidden": [8], "progress_bar": False, "accelerator": "cpu", "threads": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api") / "run"
    return dlproj.train("optim=rmsprop", data="digits", folder=folder, figures="none", **QUICK)


def test_importing_dlproj_imports_nothing_heavy():
    code = "import sys, dlproj; print([name for name in ('hydra', 'numpy', 'pandas', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_the_package_offers_is_there():
    assert set(dlproj.__all__) <= set(dir(dlproj))
    assert all(getattr(dlproj, name) is not None for name in dlproj.__all__)
    with pytest.raises(AttributeError, match=r"module 'dlproj' has no attribute 'trian'"):
        dlproj.trian  # noqa: B018


@pytest.mark.parametrize(
    ("keywords", "overrides"),
    [
        ({"optim": "adam", "seed": 3}, ["optim=adam", "seed=3"]),
        ({"max_epochs": 5, "learning_rate": 0.01}, ["trainer.max_epochs=5", "optim.learning_rate=0.01"]),
        ({"model__hidden": [64, 32]}, ["model.hidden=[64,32]"]),
        (
            {"model": {"name": "mlp", "hidden": [64], "dropout": 0.5}},
            ["model=mlp", "model.hidden=[64]", "model.dropout=0.5"],
        ),
        ({"callbacks__early_stopping__patience": None}, ["callbacks.early_stopping.patience=null"]),
        ({"name": "a, b='c'", "progress_bar": False}, ["name='a, b=\\'c\\''", "trainer.progress_bar=false"]),
        ({"batch_size": np.int64(16)}, ["data.batch_size=16"]),
    ],
)
def test_keywords_become_what_is_typed(keywords, overrides):
    assert as_overrides([], keywords) == overrides


def test_a_name_that_no_group_has_is_left_to_the_message_of_the_command_line():
    assert full_name("hiden") == "hiden"
    with pytest.raises(dlproj.UserError, match=r"unknown setting hiden: did you mean model\.hidden"):
        dlproj.train(data="digits", hiden=[8])


@pytest.mark.parametrize("data", [5, None, pd.Series([1, 2])])
def test_what_is_no_data_is_said_in_its_own_words(data):
    with pytest.raises(dlproj.UserError, match=f"data is a {type(data).__name__}: give a DataFrame, arrays"):
        as_overrides([], {"data": data})


def test_values_are_written_in_hydras_grammar():
    assert quoted({"a": [1, "x y", None], "b": True}) == "{a:[1,'x y',null],b:true}"
    texts = ["min_max", "/a/b.csv", "a-b.c", "Null", "NaN", "1e3", "True", "", "a=b", "é", "a\n", "x,y", "../a", "~/a"]
    parsed = OverridesParser.create().parse_overrides([f"a={quoted(text)}" for text in texts])
    assert [override.value() for override in parsed] == texts
    assert [quoted(text) for text in texts[:3]] == texts[:3]


def test_a_run_has_its_epochs_metrics_settings_and_confusion_matrix(run):
    assert run.status == "completed"
    assert list(run.history.index) == [1, 2]
    assert run.history.loc[2, "val/accuracy"] == run.metrics["val/accuracy"]
    assert run.settings["model"]["hidden"] == [8]
    assert run.confusion_matrix.shape == (10, 10)
    counts = run.confusion_matrix.to_numpy()
    assert np.trace(counts) / counts.sum() == pytest.approx(run.metrics["test/accuracy"], abs=1e-8)  # kept as float32
    assert f"{run.metrics['test/accuracy']:.2%}" in repr(run)


def test_a_run_is_that_of_the_command_line(run, tmp_path):
    typed = ["optim=rmsprop", "data=digits", "trainer.max_epochs=2", "model.hidden=[8]", "trainer.progress_bar=false"]
    more = ["trainer.accelerator=cpu", "trainer.threads=1", "figures=none", f"hydra.run.dir={tmp_path / 'run'}"]
    command = "from dlproj.cli.app import main; main()"
    subprocess.run([sys.executable, "-c", command, "train", *typed, *more], check=True, capture_output=True)
    other = dlproj.load_run(tmp_path / "run")
    assert other.metrics == run.metrics
    assert all(torch.equal(value, run.model.state_dict()[key]) for key, value in other.model.state_dict().items())


def test_predictions_of_arrays_are_those_of_the_network(run):
    from sklearn.datasets import load_digits

    images = load_digits().images.astype(np.uint8)[:50]  # (N, 8, 8): grey, without a dimension for channels
    frame = run.predict(images)
    with torch.no_grad():
        logits = run.model(torch.as_tensor(images, dtype=torch.float32)[:, None] / 16)
    assert frame["class"].tolist() == [str(i) for i in logits.argmax(1).tolist()]
    np.testing.assert_allclose(frame.iloc[:, 1:].to_numpy(), logits.softmax(1).numpy(), atol=1e-6)
    assert run.predict(images[0])["class"].tolist() == frame["class"].tolist()[:1]
    assert run.predict(torch.as_tensor(images)[:, None]).equals(frame)
    assert run.predict(list(images)).equals(frame)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            np.zeros((3, 9, 9), np.uint8),
            r"have the shape \(3, 9, 9\), the run needs \(n, 1, 8, 8\), or one sample of the shape \(1, 8, 8\)",
        ),
        (np.full((3, 8, 8), 0.5), r"the samples are float64, the run needs pixels from 0 to 16, as whole numbers"),
        (np.full((3, 8, 8), np.inf), r"the samples are float64, the run needs pixels from 0 to 16, as whole numbers"),
        (np.full((3, 8, 8), 17, np.uint8), "the samples lie between 17 and 17, the run needs pixels from 0 to 16"),
        (np.full((3, 8, 8), -1), "the samples lie between -1 and -1, the run needs pixels from 0 to 16"),
        ([], "there are no samples: hand in at least one"),
        (np.zeros((0, 8, 8), np.uint8), "there are no samples: hand in at least one"),
        (np.array(3), r"the samples have the shape \(\), the run needs"),
        ([np.zeros((8, 8)), np.zeros((7, 8))], "the samples cannot be made an array"),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}), "the column b holds str, no numbers"),
        (["nothing.png"], "nothing.png"),
    ],
)
def test_samples_that_do_not_fit_are_refused_in_one_line(run, samples, message):
    with pytest.raises(dlproj.DataError, match=message):
        run.predict(samples)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "HSV"])
def test_an_image_of_pil_is_read_as_its_file_is(run, mode, tmp_path):
    image = Image.linear_gradient("L").resize((8, 8)).convert("RGB").convert(mode)
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    (image if mode in ("L", "RGB", "CMYK") else image.convert("RGB")).save(path)
    columns = list(run.model.classes)
    np.testing.assert_allclose(run.predict(image)[columns], run.predict([path])[columns], atol=1e-6)


def test_evaluating_again_gives_the_same_figures(run):
    assert run.evaluate()["test/accuracy"] == run.metrics["test/accuracy"]


def test_plots_are_axes_of_matplotlib(run):
    curves, matrix = run.plot(), run.plot("confusion_matrix")
    assert [axes.get_title(loc="left") for axes in curves] == ["Loss", "Accuracy"]
    assert (matrix[0] if isinstance(matrix, list) else matrix).get_xlabel()
    with pytest.raises(ConfigurationError, match="figure=pie must be one of learning_curves"):
        run.plot("pie")


def test_in_a_notebook_a_run_shows_its_page(run):
    page = run._repr_html_()
    assert page.startswith("<iframe srcdoc=")
    assert run.name in page
    assert run.report.is_file()


def test_runs_are_listed_and_compared(run):
    listed = dlproj.list_runs(run.folder.parent)
    assert listed["folder"].tolist() == [os.path.relpath(run.folder)]
    table = dlproj.compare([run, run.folder])
    assert table["test/accuracy"].tolist() == [run.metrics["test/accuracy"]] * 2


def test_a_complete_run_is_resumed_to_itself(run):
    assert dlproj.resume(run).metrics == run.metrics


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "digts"}, "unknown choice data=digts: did you mean data=digits"),
        ({"data": "digits", "learning_rate": -1.0}, r"optim.learning_rate=-1.0 must be in \(0, inf\)"),
        ({"data": "digits", "dropout": 2}, r"model.dropout=2.0 must be in \[0, 1\)"),
    ],
)
def test_mistakes_are_exceptions_with_the_command_lines_text(settings, message):
    with pytest.raises(dlproj.UserError, match=message):
        dlproj.train(**settings)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer=ddp", "trainer.devices=2"], "dlproj.train is one process: for several, use the command line"),
        (["sweep.jobs=2"], "sweep.jobs=2 is for several runs: call dlproj.sweep"),
        (["+experiment=mlp/activations"], "these settings are an experiment of several runs: call dlproj.sweep"),
        (["+metrics.mine._target_=os.system"], r"metrics\.mine\._target_=os\.system makes no torchmetrics"),
    ],
)
def test_what_is_no_run_of_one_process_is_refused_and_leaves_nothing(overrides, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dlproj.UserError, match=message):
        dlproj.train("data=digits", "trainer.accelerator=cpu", *overrides)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_hydra_application_keeps_its_own_composition(tmp_path):
    (tmp_path / "own.yaml").write_text("mine: 1\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"), pytest.raises(dlproj.UserError):
        dlproj.train(data="digits", learning_rate=-1)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        with pytest.raises(dlproj.UserError):
            dlproj.train(data="digits", learning_rate=-1)
        assert compose("own").mine == 1


def state_of_process():
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.get_rng_state().tolist(),
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "levels": [logging.getLogger(name).level for name in ("pytorch_lightning", "lightning_fabric")],
        "denormal": float(torch.tensor(1e-39) * 2),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "folder": os.getcwd(),
        "excepthook": threading.excepthook,
    }


def test_training_leaves_the_process_as_it_was(tmp_path):
    torch.manual_seed(5)
    before = state_of_process()
    dlproj.train(data="digits", figures="none", folder=tmp_path / "run", **QUICK)
    assert state_of_process() == before
    with pytest.raises(dlproj.UserError):
        dlproj.train(data="digits", learning_rate=-1)
    assert state_of_process() == before


def test_ctrl_c_is_recorded_and_leaves_the_process_as_it_was(tmp_path, monkeypatch):
    from dlproj.models.classifier import Classifier

    def interrupt(self):
        signal.raise_signal(signal.SIGINT)

    before = state_of_process()
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "on_train_epoch_start", interrupt)
        with pytest.raises(KeyboardInterrupt, match=r"interrupted: dlproj.resume\('.*'\) resumes it"):
            dlproj.train(data="digits", figures="none", folder=tmp_path / "run", **QUICK)
    assert state_of_process() == before
    assert dlproj.load_run(tmp_path / "run").status == "interrupted"
    assert dlproj.resume(tmp_path / "run").status == "completed"


def test_threads_train_to_the_same_weights_as_the_main_one(run, tmp_path):
    runs = {}

    def work(name):
        settings = {"data": "digits", "figures": "none", "folder": tmp_path / name} | QUICK
        runs[name] = dlproj.train("optim=rmsprop", **settings)

    threads = [threading.Thread(target=work, args=[name]) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.metrics for one in runs.values()] == [run.metrics] * 2


def test_a_sweep_has_its_runs_best_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = ["data=digits", "trainer.max_epochs=1", "model.hidden=[4]", "figures=none", "trainer.accelerator=cpu"]
    swept = dlproj.sweep(*settings, learning_rate=[0.0001, 0.1])
    assert len(swept.runs) == 2
    assert swept.table["optim.learning_rate"].tolist() == [0.1, 0.0001]
    assert swept.best.settings["optim"]["learning_rate"] == 0.1
    assert "2 runs" in repr(swept)
    assert swept._repr_html_().startswith("<iframe")
    assert "0.1" in capsys.readouterr().out


def test_the_best_of_a_sweep_is_best_over_its_seeds(tmp_path, monkeypatch):
    """One seed of the first setting is lucky, as .table shows; the mean of the second is better, as is printed."""
    for i, (rate, seed, loss) in enumerate([(0.1, 1, 0.1), (0.1, 2, 0.9), (0.01, 1, 0.2), (0.01, 2, 0.3)]):
        epochs = [{"epoch": 1, "val/loss": loss, "val/accuracy": 0.5}]
        write_run(tmp_path / str(i), {"optim.learning_rate": rate, "seed": seed}, epochs, last_epoch=1)
    swept = dlproj.Sweep(tmp_path)
    assert swept.best.settings["optim"]["learning_rate"] == 0.01


def test_a_sweep_goes_on_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ["data=digits", "trainer.max_epochs=1", "model.hidden=[4]", "figures=none", "trainer.accelerator=cpu"]
    first = dlproj.sweep(*settings, "hydra.sweep.dir=mine", seed="1,2")
    assert (str(first.folder), len(first.runs)) == ("mine", 2)
    second = dlproj.sweep(*settings, "sweep.resume=mine", seed="1,2,3")
    assert (str(second.folder), len(second.runs)) == ("mine", 3)


def test_a_sweeps_mistake_is_an_exception(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dlproj.UserError, match="unknown choice data=digts"):
        dlproj.sweep("data=digts", "seed=1,2")
