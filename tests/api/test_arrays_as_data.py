"""dlproj.train on arrays: equal to the data sets that they are copies of, and kept for what comes after."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold

import dlproj
from dlproj.config.checks import DataError
from dlproj.config.images import DigitsConfig
from dlproj.data.digits import DigitsDataModule

QUICK = {"max_epochs": 2, "progress_bar": False, "accelerator": "cpu", "threads": 1, "figures": "none"}
ONES, MASKED = np.ones((4, 2)), np.ma.masked_greater(np.arange(4.0)[:, None], 2)


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


def test_columns_are_found_by_their_names(wine):
    x_train, y_train, x_test, y_test = wine
    run = dlproj.train(data=(x_train, y_train, x_test.iloc[:, ::-1], y_test), hidden=[8], **QUICK)
    assert run.metrics == dlproj.train(data=wine, hidden=[8], **QUICK).metrics
    wanted = run.predict(x_test)
    assert run.predict(x_test.iloc[:, ::-1].assign(further=1)).equals(wanted)
    assert run.predict(x_test.to_numpy()).to_numpy().tolist() == wanted.to_numpy().tolist()
    assert run.predict(x_test.iloc[0])["class"].tolist() == [wanted["class"].iloc[0]]
    with pytest.raises(DataError, match=r"have no column ash: the model reads 13 by name"):
        run.predict(x_test.rename(columns={"ash": "hash"}))
    with pytest.raises(DataError, match="have no column alcohol"):
        dlproj.train(data=(x_train, y_train, x_test.drop(columns="alcohol"), y_test), **QUICK)


def test_a_run_is_evaluated_on_other_arrays(wine):
    run = dlproj.train(data=wine, hidden=[8], **QUICK)
    x_train, y_train, x_test, y_test = wine
    wanted = (run.predict(x_train)["class"] == y_train).mean()
    assert run.evaluate(data=(x_test, y_test, x_train, y_train))["test/accuracy"] == pytest.approx(wanted)
    assert run.evaluate(data=(x_train, y_train))["test/accuracy"] == pytest.approx(wanted)
    with pytest.raises(DataError, match="data has 1 parts: give 4"):
        run.evaluate(data=(x_test,))
    with pytest.raises(dlproj.UserError, match="split=tset must be one of train, val, test"):
        run.evaluate("tset")


def test_columns_of_several_types(wine):
    x = wine[0].assign(old=wine[0]["ash"] > 2, count=pd.array([1] * len(wine[0]), "Int64"))
    run = dlproj.train(data=(x, wine[1], x, wine[1]), hidden=[4], **QUICK)
    assert len(run.predict(x[:3])) == 3


def test_the_arrays_are_written_once(wine, tmp_path):
    first, second = (dlproj.train(data=wine, hidden=[4], seed=seed, **QUICK) for seed in (0, 1))
    assert len(list((tmp_path / "logs" / "arrays").iterdir())) == 1
    assert first.settings["data"]["file"] == second.settings["data"]["file"]


def test_images_that_are_floats_can_be_predicted_from_floats(digits):
    x_train, y_train, x_test, y_test = digits
    data = (torch.tensor(x_train) / 16, torch.tensor(y_train), torch.tensor(x_test) / 16, torch.tensor(y_test))
    run = dlproj.train(data=data, model__hidden=[8], **QUICK)
    with pytest.raises(DataError, match="the samples are uint8, the run was trained with float images"):
        run.predict(x_test)
    again = (run.predict(data[2])["class"].astype(int) == y_test).mean()
    assert again == pytest.approx(run.metrics["test/accuracy"])


def test_few_arrays_are_evaluated_whatever_training_held_out(wine):
    settings = ["data.val=stratified", "data.batch_size=16", "data.drop_last=true"]
    run = dlproj.train(*settings, data=wine, hidden=[8], **QUICK)
    x_train, y_train, _, _ = wine
    few = y_train.drop_duplicates().index  # one of each class
    right = (run.predict(x_train.loc[few])["class"] == y_train.loc[few]).mean()
    assert run.evaluate(data=(x_train.loc[few], y_train.loc[few]))["test/accuracy"] == pytest.approx(right)


def test_whole_numbers_are_ids_for_a_recurrent_model_and_features_for_others():
    ids = np.random.default_rng(0).integers(1, 9, (40, 5))
    data = (ids[:30], (ids[:30, 0] > 4), ids[30:], (ids[30:, 0] > 4))
    recurrent = dlproj.train("model=gru", "model.hidden=[4]", data=data, **QUICK)
    assert recurrent.settings["data"]["padding"] == "pre"
    assert recurrent.settings["schema"]["data"] == "sequence_arrays"
    assert list(recurrent.predict(ids[:2]).columns) == ["class", "False", "True"]
    assert recurrent.predict(ids[:2].astype(float)).equals(recurrent.predict(ids[:2]))
    assert dlproj.train(data=data, **QUICK).settings["schema"]["data"] == "feature_arrays"
    floats = dlproj.train("model=gru", "model.hidden=[4]", data=(data[0].astype(float), *data[1:]), **QUICK)
    assert floats.settings["schema"]["data"] == "sequence_arrays"


def test_arrays_without_a_test_set_hold_samples_out(wine):
    x_train, y_train, _, _ = wine
    run = dlproj.train(data=(x_train, y_train), folds=3, fold=2, **QUICK)
    tested = [test for _, test in StratifiedKFold(3, shuffle=True, random_state=0).split(x_train, y_train)][2]
    wanted = (run.predict(x_train.iloc[tested])["class"] == y_train.iloc[tested]).mean()
    assert run.metrics["test/accuracy"] == pytest.approx(wanted)
    assert run.evaluate() == pytest.approx({key: run.metrics[key] for key in run.evaluate()})
    everything = run.evaluate(data=(x_train, y_train))["test/accuracy"]
    assert everything == pytest.approx((run.predict(x_train)["class"] == y_train).mean())
    with pytest.raises(DataError, match=r"the data has no test set: set data\.test_fraction"):
        dlproj.train(data=(x_train, y_train), **QUICK)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (([[1.0]], [0], [[1.0]]), r"data has 3 parts: give 4, \(x_train, y_train, x_test, y_test\)"),
        (
            ([[1.0], [1.0, 2.0]], [0, 1], [[1.0]], [0]),
            "cannot be made an array .*: give numbers, in rows of one length",
        ),
        ((pd.DataFrame({"a": ["x", "y"]}), [0, 1], [[1.0]], [0]), "the column a holds str, no numbers: encode it as"),
        ((ONES, ONES, [0] * 4, [0] * 4), r"y_train has the shape of samples, \(4, 2\): give"),
        ((ONES, ["a", "b", float("nan"), "a"], ONES[:1], ["a"]), "y_train holds labels of mixed"),
        ((ONES, [1e30, 2e30, 1, 1], ONES[:1], [1]), "y_train holds float64 labels"),
        ((MASKED, [0, 1, 0, 1], [[1.0]], [0]), "samples have masked values"),
        ((ONES[:0], [], ONES[:1], [1]), r"x_train has the shape \(0, 2\) and holds nothing"),
        ((np.ones(4), [0, 1] * 2, np.ones(4), [0, 1] * 2), r"x_train has the shape \(4,\): give features"),
        (("digits", "cifar10", "fmnist", "imdb"), "x_train holds <U6 of the shape"),
    ],
)
def test_what_is_no_such_data_is_refused_before_a_folder_is_made(data, message, tmp_path):
    with pytest.raises(DataError, match=message):
        dlproj.train(data=data, **QUICK)
    assert not list(tmp_path.iterdir())
