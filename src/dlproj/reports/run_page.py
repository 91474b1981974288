"""Plain values that the templates show of one run."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from dlproj import formats
from dlproj.config.checks import DISTANCE
from dlproj.config.reference import unmatched
from dlproj.reports.classification import Counts, class_scores, most_confused
from dlproj.reports.comparison_table import heading, shown, table
from dlproj.reports.layers import layers
from dlproj.reports.network_figure import network
from dlproj.reports.profile_table import COLUMNS, profile_rows
from dlproj.reports.reading import (
    dead_units_words,
    fit_words,
    initial_words,
    interval_words,
    test_set_words,
    training_words,
)
from dlproj.reports.run_figures import by_layer, learning_panels
from dlproj.reports.style import svg
from dlproj.reports.weights_figure import histogram_panels
from dlproj.runs.comparison import best_value, compare, flat, status, validation_metrics
from dlproj.runs.inspection import LAYER_FIGURES
from dlproj.runs.record import Run, started

_CLASSES_READABLE = 30

Page = dict[str, Any]


def run_page(run: Run) -> Page:
    """Values of report_run.html."""
    inspection = run.inspection
    return run_summary(run, run.folder.resolve().name) | {
        "started": f"{started(run.folder):%Y-%m-%d %H:%M}",
        "folder": run.folder.resolve().name,
        "gallery": inspection.gallery,
        "most_wrong": inspection.most_wrong,
        "weights": drawn(histogram_panels(inspection.histograms), "Weights of"),
        "weights_end": max((max(epochs) for epochs in inspection.histograms.values()), default=0),
        "units": _layer_figures(run),
        "dead_units": dead_units_words(inspection.dead_units) if inspection.dead_units else "",
        "columns": [(name, ": ".join(filter(None, about))) for name, *about in run.result.columns],
        "layers": layers(inspection.graph, _frozen(run)),
        "network": _network(run),
        "profile": [COLUMNS, *profile_rows(run.result)] if run.result.profile else [],
        "settings": [(key, formats.setting(value)) for key, value in flat(run.settings).items()],
        "environment": _environment(run),
    }


def run_summary(run: Run, name: str) -> Page:
    """Values of one run shared by both pages. name: distinguishes the run on the page."""
    result = run.result
    panels = learning_panels(run.epochs, result.best_epoch, result.reference_curves) if run.epochs else {}
    return {
        "name": name,
        "result": result,
        "status": status(result),
        "trouble": _trouble(run),
        "facts": _facts(run),
        "interval": interval_words(result),
        "curves": drawn(panels, f"Learning curves of {name}:"),
        "fit": " ".join(filter(None, [fit_words(run), training_words([run])])),
        "unmatched": "; ".join(unmatched(result.reference_curves, run.epochs) if result.status != "running" else ()),
        "matrix": confusion_page(result.confusion_matrix, result.classes, result.class_weights or ()),
    } | _score(run)


def drawn(figures: Mapping[str, Figure], what: str) -> list[Markup]:
    """SVG elements of figures by name. what: says with the name, for screen readers, what each shows."""
    return [Markup(svg(figure, f"{what} {name}")) for name, figure in figures.items()]


def _frozen(run: Run) -> list[str]:
    names = flat(run.settings).get("model.freeze")
    return names if isinstance(names, list) else []


def _network(run: Run) -> Markup:
    """The graph in detail, if the settings ask for it; older runs have recorded it only then."""
    graph = run.inspection.graph
    wanted = graph and (run.settings.get("figures") or {}).get("graph", True)
    return Markup(svg(network(graph), "Computational graph") if wanted else "")


def _score(run: Run) -> Page:
    """The test accuracy or, if the run was not tested, the best validation accuracy."""
    if "test/accuracy" in run.result.metrics:
        text = formats.metric("test/accuracy", run.result.metrics["test/accuracy"])
        epoch = run.result.tested_epoch()
        where = f" (epoch {epoch})" if epoch else ""
        return {"score": text, "score_label": f"test accuracy of the {run.result.weights_words()}{where}"}
    best = best_value(run, "val/accuracy")
    where = f" (epoch {best.epoch})" if best.epoch else ""
    return {
        "score": formats.metric("val/accuracy", best.value),
        "score_label": f"best validation accuracy{where}; not tested",
    }


def _trouble(run: Run) -> str:
    if run.result.status == "running":
        return "the folder has no record of its end, and cannot tell whether it goes on."
    return "" if run.result.status == "completed" else run.result.stop_reason


def _facts(run: Run) -> list[tuple[str, str]]:
    result, outcome = run.result, table(compare([run]))[0]
    best = f"{result.best_epoch} by {result.monitor}" if result.best_epoch else "none"
    keys = ("test/loss", "last_epoch", "stop_reason", "seconds", "samples_per_second", "parameters")
    facts = {key: shown(key, outcome[key]) for key in keys if outcome[key] not in (None, "")}
    if result.status != "completed":
        facts.pop("stop_reason", None)  # shown as the trouble
    validation = {}
    for name in validation_metrics([run]):
        if result.tested_epoch():
            validation[f"{name} of these weights"] = shown(name, outcome[f"{name} tested"])
        value, epoch = best_value(run, name)
        validation[f"best {name}"] = formats.metric(name, value) + (f" (epoch {epoch})" if epoch else "")
    reported = {"reported": formats.reported(result.reference)} if result.reference else {}
    if result.reference_distance is not None:
        reported[heading(DISTANCE)] = shown(DISTANCE, result.reference_distance)
    facts = {heading(key): text for key, text in facts.items()}
    reported |= {"test set": words} if (words := test_set_words(run)) else {}
    if result.init_from:
        facts["initial weights"] = initial_words(result.init_from)
    return [*(reported | validation | {"best epoch": best} | facts).items()]


def confusion_page(counts: Counts, classes: Sequence[str], weights: Sequence[float] = ()) -> Page | None:
    """Values of a confusion matrix; None if there is none. weights: of the classes in the training loss."""
    if not counts or len(classes) < 2:
        return None
    readable = classes if len(classes) <= _CLASSES_READABLE else []
    rows = [(name, _confusion_row(truth, counts[truth], classes)) for truth, name in enumerate(readable)]
    return {
        "classes": classes,
        "rows": rows,
        "scores": list(zip(classes, class_scores(counts, len(classes)), strict=True)),
        "weights": dict(zip(classes, weights, strict=False)),
        "most_confused": most_confused(counts, classes),
    }


def _confusion_row(truth: int, counts: Sequence[int], classes: Sequence[str]) -> list[Page]:
    total = max(sum(counts), 1)
    return [
        {
            "count": f"{count:,}" if count else "·",
            "share": f"{count / total:.4f}",
            "kind": "hit" if guess == truth else "miss" if count else "none",
            "words": f"{classes[truth]} taken for {classes[guess]}: {count:,}, {count / total:.1%}",
        }
        for guess, count in enumerate(counts)
    ]


def _layer_figures(run: Run) -> list[Markup]:
    """Figures by layer and epoch: dead units and, if recorded, gradients."""
    noted = [(name, label, getattr(run.inspection, name)) for name, label in LAYER_FIGURES.items()]
    return [
        Markup(svg(by_layer(values, label, share=name == "dead_units"), label))
        for name, label, values in noted
        if values
    ]


def _environment(run: Run) -> list[tuple[str, str]]:
    result = run.result
    memory = {"peak memory": result.peak_memory_bytes, "peak GPU memory": result.peak_gpu_memory_bytes}
    lines = {"machine": result.machine, "git commit": result.git_commit or formats.NONE}
    lines |= {"fallbacks": "; ".join(result.fallbacks)} if result.fallbacks else {}
    lines |= {name: f"{size / 2**20:,.0f} MiB" for name, size in memory.items() if size}
    return [*(lines | {"data fingerprint": result.data_fingerprint or formats.NONE} | result.versions).items()]
