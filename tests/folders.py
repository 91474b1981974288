"""Run folders as training leaves them, made without training."""

import base64
import io
import json

import yaml
from PIL import Image

CLASSES = ["T-shirt/top", "Trouser", "Bag"]
COUNTS = [[8, 1, 1], [0, 10, 0], [3, 0, 7]]
SETTINGS = {
    "schema": {"data": "digits", "model": "mlp", "optim": "adam"},
    "data": {"root": "/somewhere", "batch_size": 32},
    "model": {"hidden": [64], "dropout": 0.0, "activation": "relu"},
    "optim": {"learning_rate": 0.001, "beta1": 0.9},
    "trainer": {"max_epochs": 2, "progress_bar": True},
    "name": "mlp-digits-adam",
    "seed": 0,
}
EPOCHS = [
    {"epoch": 1, "train/loss": 0.9, "train/accuracy": 0.6, "val/loss": 0.5, "val/accuracy": 0.75},
    {"epoch": 2, "train/loss": 0.5, "train/accuracy": 0.8, "val/loss": 0.75, "val/accuracy": 0.875},
]


def summary(**changes):
    return {
        "name": "mlp-digits-adam",
        "status": "completed",
        "stop_reason": "reached max_epochs=2",
        "seed": 0,
        "overrides": ["data=digits"],
        "last_epoch": 2,
        "best_epoch": 1,
        "monitor": "val/loss",
        "tested_weights": "last",
        "confusion_matrix": COUNTS,
        "classes": CLASSES,
        "parameters": 75010,
        "seconds": 1.5,
        "samples_per_second": 12345.6,
        "versions": {"torch": "2.11"},
        "machine": "Linux x86_64, 2 cores",
        "val/loss": 0.75,
        "val/accuracy": 0.875,
        "test/loss": 0.25,
        "test/accuracy": 0.8333,
    } | changes


def png(shade=128):
    file = io.BytesIO()
    Image.new("L", (8, 8), shade).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def inspection(**changes):
    histogram = {"low": -1.0, "high": 1.0, "counts": [1, 5, 9, 4]}
    right = {"index": 0, "truth": 1, "guess": 1, "confidence": 0.9, "truth_confidence": 0.9, "image": png()}
    wrong = right | {"index": 1, "truth": 2, "guess": 0, "confidence": 0.75, "truth_confidence": 0.125}
    return {
        "histograms": {"hidden.0.linear.weight": {"0": histogram, "2": histogram}},
        "dead_units": {"hidden.0": {"1": 0.1, "2": 0.2}},
        "gradient_norms": {},
        "update_ratios": {},
        "gallery": [right, wrong],
        "most_wrong": [wrong],
    } | changes


def nested(settings, changes):
    """A copy of the settings with values set by dotted names."""
    copy = json.loads(json.dumps(settings))
    for key, value in changes.items():
        *above, last = key.split(".")
        place = copy
        for name in above:
            place = place[name]
        place[last] = value
    return copy


def write_run(folder, settings=None, epochs=EPOCHS, inspected=None, **changes):
    """Write a run's folder: settings by dotted names and entries of the summary differ from the defaults as given."""
    folder.mkdir(parents=True)
    settings = nested(SETTINGS, settings or {})
    (folder / "config.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    (folder / "summary.json").write_text(json.dumps(summary(seed=settings["seed"], name=settings["name"]) | changes))
    if epochs:
        columns = list(epochs[0])
        lines = [columns, *([str(row.get(name, "")) for name in columns] for row in epochs)]
        (folder / "metrics.csv").write_text("".join(",".join(line) + "\n" for line in lines))
    if inspected is not None:
        (folder / "inspection.json").write_text(json.dumps(inspected))
    return folder
