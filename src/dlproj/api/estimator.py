"""A network as a scikit-learn classifier."""

from dlproj.api.process import unchanged_process  # first: it loads torch with threads that do not spin

# isort: split
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from dlproj.api.arrays import stored_arrays
from dlproj.api.composing import own_errors
from dlproj.api.overrides import as_overrides, quoted
from dlproj.api.prediction import as_stored
from dlproj.api.training import train
from dlproj.config.checks import LARGEST_SEED, UserError, require
from dlproj.inference.trained import open_run
from dlproj.models.losses import class_probabilities

_QUIET = {"figures": "none", "logger": "none", "trainer.progress_bar": False, "trainer.threads": 1}
_BATCH = 1000


class Classifier(ClassifierMixin, BaseEstimator):
    """A network with scikit-learn's methods, for Pipeline, GridSearchCV and their like.

    X are features (n, features), images (n, height, width) or (n, height, width, 1 or 3), or whole numbers (n, length)
    for a recurrent model. Predictions are computed in float64. Nothing is left on disk; for a run with a folder of its
    own call dlproj.train.

    - model, optim: choices of conf/model and conf/optim.
    - hidden, activation, dropout, learning_rate, batch_size: settings as in conf/; None is the default of the choice.
    - max_epochs: passes over the samples.
    - validation_fraction: share of the samples held out for the val columns of `history_`, stratified by class where
      each has two samples. With None all samples train, and the val columns are those of training.
    - random_state: seed of weights, order and dropout: an int, a RandomState, or None for another one each time.
    - settings: further settings by name, such as {"model.batch_norm": True, "callbacks": "early_stopping"};
      trainer.threads is 1 unless it is among them, since several fits often run at once.

    Attributes after fit(): `classes_`, `n_features_in_`, `history_` (a DataFrame, a row an epoch), `network_` (a
    LightningModule). Raises ValueError for samples that do not fit.
    """

    def __init__(
        self,
        model: str = "mlp",
        optim: str = "adam",
        *,
        hidden: Any = None,
        activation: str | None = None,
        dropout: float | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = 32,
        max_epochs: int = 50,
        validation_fraction: float | None = None,
        random_state: Any = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.optim = optim
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.settings = settings

    def fit(self, X: Any, y: Any) -> "Classifier":  # noqa: N803
        """Train a network anew on X and the labels y (n,). Raises ValueError, and UserError for settings."""
        X, y = validate_data(self, X, y, allow_nd=True)  # noqa: N806
        check_classification_targets(y)
        classes, targets = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class only, {classes[0]}: give samples of two or more")
        with TemporaryDirectory() as folder, unchanged_process(), own_errors():
            typed = as_overrides([], self._overrides())
            group, file = self._stored(X, targets, typed, Path(folder))
            chosen = [f"data={group}", f"data.file={quoted(file)}", "data.val=test"]
            run = train(*chosen, *typed, folder=Path(folder, "run"))
            history, fitted = run.history, open_run(run.folder)
        self.classes_, self.history_, self._fitted = classes, history, fitted
        self.network_ = fitted.model.double()
        return self

    def _overrides(self) -> dict[str, Any]:
        seed = int(check_random_state(self.random_state).randint(LARGEST_SEED))
        named = {
            "model.hidden": self._hidden(),
            "model.activation": self.activation,
            "model.dropout": self.dropout,
            "optim.learning_rate": self.learning_rate,
            "data.batch_size": self.batch_size,
            "trainer.max_epochs": self.max_epochs,
            "seed": seed,
        }
        chosen = {name: value for name, value in named.items() if value is not None}
        return {"model": self.model, "optim": self.optim} | _QUIET | chosen | dict(self._checked_settings())

    def _checked_settings(self) -> Mapping[str, Any]:
        settings = {} if self.settings is None else self.settings
        require(isinstance(settings, Mapping), f"settings={settings!r} is no mapping: write {{name: value}}")
        require("data" not in settings, "settings name data: the samples are those of fit()")
        return settings

    def _hidden(self) -> list[Any] | None:
        if self.hidden is None:
            return None
        return [self.hidden] if isinstance(self.hidden, int) else list(self.hidden)

    def _stored(self, x: np.ndarray, targets: np.ndarray, typed: list[str], folder: Path) -> tuple[str, Path]:
        parts = (x, targets, x, targets)
        if self.validation_fraction is not None:
            by_class = targets if np.bincount(targets).min() > 1 else None
            x_train, x_val, y_train, y_val = train_test_split(
                x, targets, test_size=self.validation_fraction, random_state=0, stratify=by_class
            )
            parts = (x_train, y_train, x_val, y_val)
        try:
            return stored_arrays(parts, typed, folder)
        except UserError as error:
            raise ValueError(str(error)) from error

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities (n, classes) of the samples, float64. Raises ValueError."""
        check_is_fitted(self, "network_")
        X = validate_data(self, X, reset=False, allow_nd=True)  # noqa: N806
        try:
            stored, _ = as_stored(self._fitted, X)
        except UserError as error:
            raise ValueError(str(error)) from error
        logits = torch.cat([self._fitted.logits(part) for part in stored.split(_BATCH)])
        return class_probabilities(logits, self.network_.activation).numpy()

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable class (n,) of each sample. Raises ValueError."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]
