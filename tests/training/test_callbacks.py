import pytest
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from dlproj.config.callbacks import CallbacksConfig, EarlyStoppingConfig, Mode
from dlproj.training.callbacks import build_callbacks


def callbacks(folder, **settings):
    return build_callbacks(CallbacksConfig(EarlyStoppingConfig(**settings)), folder)


def test_without_patience_nothing_stops_early(tmp_path):
    assert not any(isinstance(callback, EarlyStopping) for callback in callbacks(tmp_path))


@pytest.mark.parametrize(
    ("monitor", "mode", "direction"),
    [
        ("val/loss", Mode.auto, "min"),
        ("val/accuracy", Mode.auto, "max"),
        ("val/macro_f1", Mode.auto, "max"),
        ("val/loss", Mode.max, "max"),
    ],
)
def test_stopping_and_the_best_checkpoint_follow_one_metric_in_one_direction(monitor, mode, direction, tmp_path):
    built = callbacks(tmp_path, monitor=monitor, mode=mode, patience=4, min_delta=0.5)
    (stopping,) = [callback for callback in built if isinstance(callback, EarlyStopping)]
    best, last = [callback for callback in built if isinstance(callback, ModelCheckpoint)]
    assert (stopping.monitor, stopping.mode, stopping.patience, abs(stopping.min_delta)) == (monitor, direction, 4, 0.5)
    assert (best.monitor, best.mode, best.filename) == (monitor, direction, "best")
    assert (last.monitor, last.filename) == (None, "last")
