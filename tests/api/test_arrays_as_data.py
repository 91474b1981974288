"""dlproj.train on arrays: equal to the data sets that they are copies of, and kept for what comes after."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_wine

import dlproj
from dlproj.config.checks import DataError
from dlproj.config.images import DigitsConfig
from dlproj.data.digits import DigitsDataModule

QUICK = {"max_epochs": 2, "progress_bar": False, "accelerator": "cpu", "threads": 1, "figures": "none"}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def digits():
    train, test = DigitsDataModule(DigitsConfig(), 0).load()
    return tuple(part.numpy() for part in (train.inputs, train.targets, test.inputs, test.targets))


@pytest.fixture(scope="module")
def wine():
    x, y = load_wine(return_X_y=True, as_frame=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x.iloc[order], y.iloc[order].map(dict(enumerate(["barolo", "grignolino", "barbera"])))
    return x[:140], y[:140], x[140:], y[140:]


def test_arrays_of_the_digits_train_as_the_digits_do(digits):
    settings = QUICK | {"model__hidden": [8], "batch_size": 32, "val": "last"}
    own, built_in = dlproj.train(data=digits, **settings), dlproj.train(data="digits", **settings)
    assert all(map(torch.equal, own.model.state_dict().values(), built_in.model.state_dict().values()))
    assert own.metrics == built_in.metrics
    x = digits[2][:5]
    assert own.predict(x)["class"].tolist() == own.predict(x[:, 0])["class"].tolist()


def test_a_table_with_names_of_classes(wine):
    run = dlproj.train(data=wine, hidden=[16], batch_size=16, **QUICK | {"max_epochs": 30})
    assert run.metrics["test/accuracy"] > 0.9
    assert list(run.confusion_matrix.index) == ["barbera", "barolo", "grignolino"]
    predicted = run.predict(wine[2])
    assert list(predicted.index) == list(wine[2].index)
    assert (predicted["class"] == wine[3]).mean() == pytest.approx(run.metrics["test/accuracy"])
    assert run.evaluate()["test/accuracy"] == pytest.approx(run.metrics["test/accuracy"])


def test_the_arrays_are_written_once(wine, tmp_path):
    first, second = (dlproj.train(data=wine, hidden=[4], seed=seed, **QUICK) for seed in (0, 1))
    assert len(list((tmp_path / "logs" / "arrays").iterdir())) == 1
    assert first.settings["data"]["file"] == second.settings["data"]["file"]


def test_images_that_are_floats_can_be_predicted_from_floats(digits):
    x_train, y_train, x_test, y_test = digits
    data = (torch.tensor(x_train) / 16, torch.tensor(y_train), torch.tensor(x_test) / 16, torch.tensor(y_test))
    run = dlproj.train(data=data, model__hidden=[8], **QUICK)
    again = (run.predict(data[2])["class"].astype(int) == y_test).mean()
    assert again == pytest.approx(run.metrics["test/accuracy"])


def test_whole_numbers_are_ids_for_a_recurrent_model_and_features_for_others():
    ids = np.random.default_rng(0).integers(1, 9, (40, 5))
    data = (ids[:30], (ids[:30, 0] > 4), ids[30:], (ids[30:, 0] > 4))
    recurrent = dlproj.train("model=gru", "model.hidden=[4]", data=data, **QUICK)
    assert recurrent.settings["data"]["padding"] == "pre"
    assert recurrent.settings["schema"]["data"] == "sequence_arrays"
    assert list(recurrent.predict(ids[:2]).columns) == ["class", "False", "True"]
    assert dlproj.train(data=data, **QUICK).settings["schema"]["data"] == "feature_arrays"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (([[1.0]], [0], [[1.0]]), r"data has 3 parts: give 4, \(x_train, y_train, x_test, y_test\)"),
        (([[1.0], [1.0, 2.0]], [0, 1], [[1.0]], [0]), "cannot be made an array .*: give rows of one length"),
        ((pd.DataFrame({"a": ["x", "y"]}), [0, 1], [[1.0]], [0]), "x_train holds object of the shape"),
        (("digits", "cifar10", "fmnist", "imdb"), "x_train holds <U6 of the shape"),
    ],
)
def test_what_is_no_such_data_is_refused_before_a_folder_is_made(data, message, tmp_path):
    with pytest.raises(DataError, match=message):
        dlproj.train(data=data, **QUICK)
    assert not list(tmp_path.iterdir())
