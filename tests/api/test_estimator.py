"""dlproj.Classifier, by scikit-learn's own checks and beside its own classifiers."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

import dlproj
from dlproj.config.checks import UserError

QUICK = dlproj.Classifier(hidden=[8], max_epochs=5, random_state=0)


@pytest.fixture(scope="module")
def wine():
    return load_wine(return_X_y=True)


@pytest.fixture(scope="module")
def fitted(wine):
    return clone(QUICK).fit(wine[0], np.array(["a", "b", "c"])[wine[1]])


@pytest.mark.slow
def test_scikit_learns_own_checks():
    results = check_estimator(dlproj.Classifier(hidden=[16], max_epochs=30), on_skip=None, on_fail=None)
    assert [(result["check_name"], result["exception"]) for result in results if result["status"] == "failed"] == []
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}  # skipped for scikit-learn's own classifiers, too


def test_it_fits_wine_as_well_as_it_should(wine):
    assert dlproj.Classifier(hidden=[16], random_state=0).fit(*wine).score(*wine) > 0.95


def test_names_probabilities_and_history(fitted, wine, tmp_path):
    probabilities = fitted.predict_proba(wine[0])
    assert probabilities.dtype == np.float64
    assert np.allclose(probabilities.sum(1), 1, rtol=1e-12)
    assert (fitted.predict(wine[0]) == fitted.classes_[probabilities.argmax(1)]).all()
    assert (list(fitted.classes_), fitted.n_features_in_, len(fitted.history_)) == (["a", "b", "c"], 13, 5)


def test_the_same_seed_gives_the_same_network_and_a_copy_predicts_the_same(fitted, wine):
    wanted = fitted.predict_proba(wine[0])
    again = clone(fitted).fit(wine[0], np.array(["a", "b", "c"])[wine[1]])
    assert (again.predict_proba(wine[0]) == wanted).all()
    assert (pickle.loads(pickle.dumps(fitted)).predict_proba(wine[0]) == wanted).all()


def test_it_is_silent_and_leaves_nothing_on_disk(wine, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    clone(QUICK).fit(*wine)
    lines = "".join(capfd.readouterr()).splitlines()
    assert [line for line in lines if not line.startswith("other programs take the cores")] == []
    assert not list(tmp_path.iterdir())


def test_in_a_pipeline_and_a_grid_search(wine):
    pipeline = make_pipeline(MinMaxScaler(), clone(QUICK))
    search = GridSearchCV(pipeline, {"classifier__learning_rate": [1e-6, 0.03]}, cv=2).fit(*wine)
    assert search.best_params_ == {"classifier__learning_rate": 0.03}


@pytest.mark.slow
def test_several_fits_at_once_give_the_scores_of_one_after_another(wine):
    one, two = (cross_val_score(QUICK, *wine, cv=2, n_jobs=jobs) for jobs in (1, 2))
    assert list(one) == list(two)


def test_images_and_recurrent_networks_on_ids():
    digits = load_digits()
    images = clone(QUICK).set_params(model="cnn", max_epochs=2).fit(digits.images[:200], digits.target[:200])
    assert images.predict(digits.images[:3]).shape == (3,)
    ids = np.random.default_rng(0).integers(1, 9, (40, 5))
    recurrent = clone(QUICK).set_params(model="gru").fit(ids, ids[:, 0] > 4)
    assert recurrent.predict_proba(ids).shape == (40, 2)


def test_held_out_samples_and_further_settings(wine):
    stopping = {"callbacks": "early_stopping", "callbacks.early_stopping.patience": 1, "model.batch_norm": True}
    held_out = clone(QUICK).set_params(validation_fraction=0.2, max_epochs=40, settings=stopping, learning_rate=0.1)
    assert len(held_out.fit(*wine).history_) < 40


def test_a_fit_that_fails_leaves_the_one_before(wine):
    x, y = wine
    network = clone(QUICK)
    with pytest.raises(UserError, match=r"model\.dropout=7"):
        network.set_params(dropout=7).fit(x, y)
    with pytest.raises(NotFittedError):
        network.predict(x)
    before = network.set_params(dropout=None).fit(x, y).predict(x)
    with pytest.raises(UserError):
        network.set_params(dropout=7).fit(x, y + 5)
    assert (network.predict(x) == before).all()


def test_samples_of_another_shape_and_ids_that_were_not_seen():
    images = np.random.default_rng(0).random((20, 8, 8))
    network = clone(QUICK).fit(images, [0, 1] * 10)
    with pytest.raises(ValueError, match=r"have the shape \(20, 8, 8, 3\), the run needs \(n, 1, 8, 8\)"):
        network.predict(np.repeat(images[..., None], 3, 3))
    ids = np.random.default_rng(0).integers(1, 9, (20, 5))
    recurrent = clone(QUICK).set_params(model="gru", hidden=4).fit(ids, [0, 1] * 10)
    with pytest.raises(ValueError, match="the samples lie between"):
        recurrent.predict(ids + 5)


def test_what_does_not_fit(fitted, wine):
    x, y = wine
    with pytest.raises(UserError, match="unknown choice model=rnn"):
        clone(QUICK).set_params(model="rnn").fit(x.astype(int), y)
    with pytest.raises(UserError, match="settings name data"):
        clone(QUICK).set_params(settings={"data": "digits"}).fit(x, y)
    with pytest.raises(UserError, match="is no mapping"):
        clone(QUICK).set_params(settings=["model.dropout=0.5"]).fit(x, y)
    with pytest.raises(ValueError, match="y has one class only, 1: give samples of two or more"):
        clone(QUICK).fit(x[:5], [1] * 5)
    with pytest.raises(ValueError, match="12 features, but Classifier is expecting 13"):
        fitted.predict(x[:, 1:])
    with pytest.raises(ValueError, match="contains NaN"):
        clone(QUICK).fit(np.where(x > 1000, np.nan, x), y)
    with pytest.raises(UserError, match=r"unknown setting model\.dropuot: did you mean model\.dropout"):
        clone(QUICK).set_params(settings={"model.dropuot": 0.5}).fit(x, y)
