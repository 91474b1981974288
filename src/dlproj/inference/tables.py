"""Prediction for the rows of a table, with a run that was trained on one, or on texts in a column of one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from dlproj.config.checks import DataError, UserError, one_line
from dlproj.data.base import DataModule
from dlproj.data.table import TableDataModule
from dlproj.data.table_files import TABLES, delimiter_of, write_table
from dlproj.data.table_rows import naming
from dlproj.data.text_table import TextTableDataModule
from dlproj.inference.predict import Item, Prediction, Report, predict_batch
from dlproj.inference.trained import LoadedRun
from dlproj.models.losses import class_probabilities, scores

Tabular = TableDataModule | TextTableDataModule
_TABLES_OF_TEXTS = set(TABLES) - {".txt"}
_BATCH = 1000


def are_tables(data: DataModule, names: Sequence[str | Path], by_line: bool = False) -> bool:
    """Whether these inputs are table files, if they are files; of a run on texts .txt is a text.

    by_line: files that a run on texts reads hold a text per line.
    """
    if isinstance(data, TextTableDataModule):
        return not by_line and any(Path(name).suffix.lower() in _TABLES_OF_TEXTS for name in names)
    return isinstance(data, TableDataModule)


def read_stored(data: Tabular, file: str | Path, as_text: bool = False) -> tuple[pd.DataFrame, Tensor]:
    """A table file, as of read_frame(), and its rows as stored inputs. Raises DataError, naming the file."""
    frame = data.read_frame(file, as_text)
    with naming(file):
        return frame, data.encode_frame(frame)


def predict_files(
    trained: LoadedRun, arguments: Sequence[str], top: int, batch_size: int, report: Report
) -> Iterator[Prediction]:
    """Classify the rows of table files, naming each by its row; a file that cannot be read is reported and skipped."""
    assert isinstance(trained.data, Tabular)
    if not arguments:
        raise UserError(f"nothing to predict: name a table file, one of {', '.join(TABLES)}")
    for file in arguments:
        try:
            frame, stored = read_stored(trained.data, file)
        except DataError as error:
            report(str(error))
            continue
        prefix = "" if len(arguments) == 1 else f"{one_line(file)} "
        names = [Item(f"{prefix}row {row}", "") for row in frame.index]
        for i in range(0, len(names), batch_size):
            batch = names[i : i + batch_size]
            yield from predict_batch(trained, batch, stored[i : i + batch_size], [""] * len(batch), top)


def class_table(trained: LoadedRun, stored: Tensor, index: Any = None) -> pd.DataFrame:
    """A row for each stored input: its `class`, then the probability of each class."""
    logits = torch.cat([trained.logits(part) for part in stored.split(_BATCH)]) if len(stored) else torch.zeros(0, 1)
    probabilities = class_probabilities(logits, trained.model.activation).double().numpy()
    classes = [trained.model.classes[i] for i in scores(logits).argmax(1).tolist()]
    frame = pd.DataFrame(probabilities, columns=list(trained.model.classes), index=index)
    frame.insert(0, "class", classes)
    return frame


def write_with_classes(trained: LoadedRun, arguments: Sequence[str], output: Path, overwrite: bool) -> int:
    """Write a table file anew with `predicted_class` and the probability of each class; returns the number of rows.

    A text file keeps its delimiter, except that .tsv has tabs. Raises UserError, also if the output exists and
    overwrite is false.
    """
    if not isinstance(trained.data, Tabular):
        raise UserError("--output is for tables: leave it out, and set --format csv > FILE")
    if len(arguments) != 1:
        raise UserError(f"--output takes one table, not {len(arguments)}: call dlproj predict for each")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists: set --output to another file, or --overwrite")
    frame, stored = read_stored(trained.data, arguments[0], as_text=True)
    classes = class_table(trained, stored, frame.index)
    new = {"predicted_class": classes.pop("class")}
    new |= {f"probability_{name}": column.astype("float32") for name, column in classes.items()}
    kept = frame.drop(columns=[name for name in new if name in frame.columns])
    write_table(pd.concat([kept, pd.DataFrame(new)], axis=1), output, delimiter_of(Path(arguments[0])))
    return len(frame)
