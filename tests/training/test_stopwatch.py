from dlproj.training.stopwatch import Stopwatch


def test_training_and_all_validation_passes_are_timed(monkeypatch):
    clock = iter([100.0, 103.0, 104.0, 110.0, 112.5, 120.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    watch = Stopwatch()
    watch.on_train_start()
    for _ in range(2):
        watch.on_validation_start()
        watch.on_validation_end()
    watch.on_train_end()
    assert watch.seconds == 20.0
    assert watch.validation_seconds == 1.0 + 2.5
