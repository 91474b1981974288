"""A table as a data set: rows of scaled numbers and one-hot categories."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from dlproj.config.checks import DataError, one_line
from dlproj.config.table import ColumnRole, TableConfig, columns_setting
from dlproj.data.base import DataModule
from dlproj.data.batches import Samples
from dlproj.data.data_files import Stamp, stamp
from dlproj.data.mapped_files import empty, take
from dlproj.data.table_encoding import Encoder
from dlproj.data.table_files import read_table
from dlproj.data.table_rows import OTHER, Schema, groups_of, naming, raw_rows, targets_of
from dlproj.launch import rank
from dlproj.loop_progress import inform

_log = logging.getLogger(__name__)
_NAMED = 20  # columns that a line names


class TableDataModule(DataModule):
    """Rows of a table. load() gives them as read, or, once the encoder is restored, as stored; fit() encodes them."""

    config: TableConfig
    encoder: Encoder | None = None
    _mapped = False  # whether rows are in a file, and may be more than memory holds

    def schema(self) -> Schema:
        """How columns are read: as in the checkpoint, else as the table of the settings says."""
        return self.encoder.schema if self.encoder else self.config.table().schema

    def prepare_data(self) -> None:
        """Say how the columns are read, and which look like the target; on one process per machine."""
        if hasattr(self, "train") or self.restored:  # the trainer's test() calls this again
            return
        table = self.config.table()
        _tell(stamp(self.config.files()[0]), tuple(_lines(table.schema)), table.suspicious)

    def load(self) -> tuple[Samples, Samples | None]:
        """Return the rows of the training and the test file. Raises DataError, naming file, row and column."""
        if self.restored:
            train, *test = map(self._restored_rows, self.config.files())
            return train, next(iter(test), None)
        table = self.config.table()
        self._mapped = table.mapped
        train = Samples(torch.from_numpy(table.train), torch.from_numpy(table.targets))
        if table.test is None or table.test_targets is None:
            return train, None
        return train, Samples(torch.from_numpy(table.test), torch.from_numpy(table.test_targets))

    def _restored_rows(self, file: Path) -> Samples:
        frame = self.read_frame(file)
        with naming(file):
            inputs = self._encoded(raw_rows(frame, self.schema()))
            return Samples(inputs, torch.from_numpy(targets_of(frame, self.schema())))

    def groups(self) -> Tensor | None:
        """Codes (N,) of data.group_column for the rows of the training file."""
        if self.config.group_column is None:
            return None
        if not self.restored and (groups := self.config.table().groups) is not None:
            return torch.from_numpy(groups)
        file = self.config.files()[0]
        with naming(file):
            return torch.from_numpy(groups_of(read_table(file, numbers=True), self.config.group_column))

    def take(self, samples: Samples, index: Tensor) -> Samples:
        """Copy samples by their indices (M,); of many in a mapped file, into another."""
        return Samples(take(samples.inputs, index), samples.targets[index]) if self._mapped else samples[index]

    def fit(self) -> None:
        """Learn from the training rows alone, and encode all."""
        self.encoder = Encoder.fit(self.train.inputs.numpy(), self.schema(), self.config)
        if rank() == 0:
            self._say_duplicates()
        for name in ("train", "val", "test"):
            samples = getattr(self, name)
            setattr(self, name, Samples(self._encoded(samples.inputs.numpy()), samples.targets))

    def _encoded(self, raw: np.ndarray) -> Tensor:
        assert self.encoder is not None
        if not self._mapped:
            return torch.from_numpy(self.encoder.encode(raw))
        stored = empty((len(raw), self.encoder.width()), torch.float32)
        self.encoder.encode(raw, stored.numpy())
        return stored

    def _say_duplicates(self) -> None:
        """Say how many rows of val and test are also among the training rows, class included."""
        seen = set(_hashes(self.train))
        for name in ("val", "test"):
            rows = _hashes(getattr(self, name))
            if count := sum(row in seen for row in rows):
                are = "is" if count == 1 else "are"
                _log.warning("%d of %d %s rows %s among the training rows, too", count, len(rows), name, are)

    def read_frame(self, file: str | Path, as_text: bool = False) -> pd.DataFrame:
        """A table file like that of the training. as_text: cells of text files are as written. Raises DataError."""
        return read_table(file, numbers=not as_text and self.schema().reads_plain_numbers())

    def encode_frame(self, frame: pd.DataFrame) -> Tensor:
        """Rows (N, inputs) of new data as stored; says what is unknown in them. Raises DataError."""
        schema = self.schema()
        raw = raw_rows(frame, schema)
        known = {schema.target, *schema.columns(), *schema.dropped}
        if extra := [name for name in frame.columns if name not in known]:
            _log.warning("columns that the model does not know are not read: %s", one_line(", ".join(extra[:_NAMED])))
        unseen = {
            name: int(count)
            for name, count in zip(schema.categories, (raw[:, len(schema.numeric) :] == OTHER).sum(0), strict=True)
            if count
        }
        if unseen:
            named = ", ".join(f"{name}: {count:,}" for name, count in islice(unseen.items(), _NAMED))
            _log.warning("categories that training had not, or seldom, count as others (%s)", one_line(named))
        return self._encoded(raw)

    def encode(self, texts: Sequence[str]) -> Tensor:
        raise DataError("the model reads rows of a table: name a table file, such as rows.csv")

    def state_dict(self) -> dict[str, Any]:
        """The spec, and how columns are read and encoded."""
        assert self.encoder is not None
        return super().state_dict() | {"encoder": asdict(self.encoder)}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the encoder. Raises DataError if the state is not that of a table."""
        if "encoder" not in state:
            raise DataError("the model was not trained on a table: choose data like that of its training")
        encoder = Encoder.restored(state["encoder"])
        if encoder.schema.spec() != self.spec:
            raise DataError("the columns do not fit the model: choose a checkpoint of this data")
        self.encoder = encoder

    def transform(self, inputs: Tensor) -> Tensor:
        """Expand stored rows (B, numbers + categorical columns) to numbers and one-hot inputs (B, inputs)."""
        sizes = self.spec.category_sizes
        if not sizes:
            return inputs
        width = sum(sizes)
        numbers, ids = inputs[:, : -len(sizes)], inputs[:, -len(sizes) :].long()
        one_hot = inputs.new_zeros(inputs.shape[0], width + 1).scatter_(1, ids, 1.0)  # the last one is of no category
        return torch.cat([numbers, one_hot[:, :width]], 1)

    def feature_columns(self, inputs: Tensor) -> dict[str, Tensor]:
        columns = {name: inputs[:, i].double() for i, name in enumerate(self.schema().numeric)}
        return {name: values[~values.isnan()] for name, values in columns.items() if not values.isnan().all()}

    def roles(self) -> list[tuple[str, str, str]]:
        return self.schema().roles()

    def shown(self, inputs: Tensor) -> str:
        row = inputs.cpu().numpy()
        texts = self.encoder.described(row) if self.encoder else self.schema().described(row)
        named = [f"{name} {text}" for name, text in islice(texts.items(), _NAMED)]
        return one_line(", ".join(named + ["…"] * (len(texts) > _NAMED)))


@cache
def _tell(version: Stamp, roles: tuple[str, ...], suspicious: tuple[str, ...]) -> None:
    """Say how a table's columns are read, once for a table that is read the same way: runs of a sweep do not repeat it.

    version: of the table's file. roles: lines of text. suspicious: columns that look like the target.
    """
    for line in roles:
        inform(line)
    for name in suspicious:
        advice = f"if it would not be known in advance, set {columns_setting(name, ColumnRole.drop)}"
        _log.warning("%s", one_line(f"the column {name} has one value for each class of the target: {advice}"))


def _hashes(samples: Samples) -> list[int]:
    """A hash (N,) of each row and its class."""
    rows = zip(samples.inputs.numpy(), samples.targets.tolist(), strict=True)
    return [hash((row.tobytes(), target)) for row, target in rows]


def _lines(schema: Schema) -> list[str]:
    """How columns are read, in a line each for numbers, categories, and what is left out."""
    categories = [f"{name} ({len(values):,})" for name, values in schema.categories.items()]
    dropped = [f"{name} ({why})" for name, why in schema.dropped.items()]
    kinds = {"numeric": list(schema.numeric), "categorical": categories, "left out": dropped}
    return [
        one_line(
            f"{kind}: {', '.join(names[:_NAMED])}" + (f", … ({len(names):,} in all)" if len(names) > _NAMED else "")
        )
        for kind, names in kinds.items()
        if names
    ]
