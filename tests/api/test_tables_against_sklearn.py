"""Tables as scikit-learn's MLPClassifier learns them with its defaults, behind the same preprocessing: as accurate."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import dlproj

FOLDS = 5
SETTINGS = ["data.target=class", "data.val_fraction=0.05", "model.hidden=[100]", "data.batch_size=32", "figures=none"]


def made():
    """1,000 rows of numbers and categories with missing values, in three classes, one of them rare."""
    random = np.random.default_rng(0)
    size = 1000
    city = random.choice(["Athens", "Berlin", "Cairo", "Dakar"], size, p=[0.4, 0.3, 0.25, 0.05])
    sex = random.choice(["f", "m"], size)
    age, income, steps = random.normal(40, 12, size), random.lognormal(10, 1, size), random.poisson(5, size)
    score = (age - 40) / 12 + np.log(income) - 10 + 1.5 * (city == "Berlin") - (sex == "m") * (city == "Cairo")
    score += 0.2 * (steps - 5) + random.normal(0, 0.5, size)
    table = pd.DataFrame({"age": age, "income": income, "steps": steps, "city": city, "sex": sex})
    for name, share in {"age": 0.1, "income": 0.05, "city": 0.05}.items():
        table.loc[random.random(size) < share, name] = np.nan
    return table.assign(**{"class": np.select([score > 2.6, score > 0.3], ["rare", "high"], "low")})


def bundled(load):
    return lambda: load(as_frame=True).frame.rename(columns={"target": "class"})


TABLES = {
    "wine": bundled(load_wine),
    "breast_cancer": bundled(load_breast_cancer),
    "digits": bundled(load_digits),
    "made": made,
}


def of_sklearn(table):
    """How many rows MLPClassifier gets right, each when its fold is held out."""
    x, y = table.drop(columns="class"), table["class"].to_numpy()
    columns = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    right = 0
    for kept, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that 200 epochs do not reach the optimum
            network = make_pipeline(columns, MLPClassifier(random_state=0)).fit(x.iloc[kept], y[kept])
        right += (network.predict(x.iloc[held_out]) == y[held_out]).sum()
    return right


def of_dlproj(table, folder, *settings):
    """How many rows dlproj gets right in the same folds, after as many epochs."""
    right = 0
    for fold in range(FOLDS):
        chosen = [*SETTINGS, *settings, f"data.folds={FOLDS}", f"data.fold={fold}"]
        run = dlproj.train(*chosen, data=table, max_epochs=200, progress_bar=False, folder=folder / str(fold))
        right += np.diag(run.confusion_matrix).sum()
    return right


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_learned_as_well_as_by_scikit_learn(name, tmp_path, monkeypatch):
    """The difference of the shares is within its 95 % interval, were the two tested on samples of their own."""
    monkeypatch.chdir(tmp_path)
    table = TABLES[name]()
    ours, theirs, size = of_dlproj(table, tmp_path), of_sklearn(table), len(table)
    share = (ours + theirs) / (2 * size)
    assert (ours - theirs) / size > -1.96 * np.sqrt(2 * share * (1 - share) / size)
