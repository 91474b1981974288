"""The test predictions that a run of a fold keeps, test_predictions.csv: a row a sample."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlproj.config.checks import MOST_CLASSES_IN_ROWS
from dlproj.config.whole_files import write_whole
from dlproj.runs.manifest import PREDICTIONS
from dlproj.runs.record import Run
from dlproj.runs.validation import damaged

if TYPE_CHECKING:
    import pandas as pd


def write_predictions(folder: Path, classes: Sequence[str], index: Any, true: Any, outputs: Any) -> None:
    """Write the file whole.

    index: int (N,), of each sample in the data's training set. true: int (N,), the classes' indices. outputs: float (N,
    classes), a probability for each class; the largest is the prediction. With more than 200 classes only that is kept.
    """
    import pandas as pd

    names, predicted = pd.Series(classes), outputs.argmax(1)
    columns = _outputs(classes)
    kept = outputs if len(columns) == len(classes) else outputs.max(1, keepdims=True)
    frame = pd.DataFrame({"index": index, "true": names[true].array, "predicted": names[predicted].array})
    frame = pd.concat([frame, pd.DataFrame(kept, columns=columns)], axis=1)
    write_whole(folder / PREDICTIONS, frame.to_csv(index=False, float_format="%.6g"))


def read_predictions(run: Run) -> "pd.DataFrame":
    """Read the file: columns index, true and predicted, then p_CLASS for each class, or p. Raises DataError."""
    import pandas as pd

    path, classes = run.folder / PREDICTIONS, run.result.classes
    text = dict.fromkeys(("true", "predicted"), str)
    try:
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""], low_memory=False)
    except (OSError, ValueError, OverflowError, MemoryError) as error:
        raise damaged(path) from error
    if list(frame.columns) != ["index", *text, *_outputs(classes)] or not _is_plain(frame, classes):
        raise damaged(path)
    return frame


def _outputs(classes: Sequence[str]) -> list[str]:
    return [f"p_{name}" for name in classes] if len(classes) <= MOST_CLASSES_IN_ROWS else ["p"]


def _is_plain(frame: "pd.DataFrame", classes: Sequence[str]) -> bool:
    index = frame["index"]
    named = frame[["true", "predicted"]].isin(classes).all(axis=None)
    numbers = all(kind.kind in "iuf" for kind in frame.dtypes.iloc[3:])
    return bool(named and numbers and index.dtype == "int64" and index.is_unique and (index >= 0).all())
