"""Settings of data that is read from table files, whatever its rows hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dlproj.config.checks import require
from dlproj.config.fields import setting


@dataclass
class TableFiles:
    """The files of the training and the test rows; a base of settings beside DataConfig."""

    __slots__ = ()  # a class cannot have two bases with slots of their own
    own_files: ClassVar[bool] = True
    not_read: ClassVar[Mapping[str, str]] = {"root": "a table is one file: set data.file"}
    # What changes where a run is evaluated on all rows of another file: nothing is held out of them.
    read_alone: ClassVar[Mapping[str, Any]] = {
        "val": "test",
        "drop_last": False,
        "test_fraction": None,
        "folds": None,
        "fold": 0,
        "file": "",
    }

    file: str = setting("", "table file: .csv, .tsv, .txt, .parquet, .arrow, .feather or .xlsx")
    train_file: str = setting("", "table file of the training rows, instead of data.file")
    test_file: str = setting("", "table file of the test rows; unset: the table has no test set of its own")

    def check_files(self) -> None:
        """Raise ConfigurationError if two files hold training rows."""
        require(not (self.file and self.train_file), "data.file and data.train_file both name training rows: set one")

    def files(self) -> list[Path]:
        """The file of the training rows and, with data.test_file, that of the test rows.

        Raises ConfigurationError if none is set.
        """
        train = self.file or self.train_file
        require(bool(train), "data.file is empty: set it to a table")
        return [Path(name).expanduser() for name in (train, self.test_file) if name]

    @classmethod
    def replacing(cls, changed: dict[str, Any]) -> dict[str, Any]:
        """Another test_file is read alone and whole; another file is split as that of the training."""
        if changed.get("test_file") and not {"file", "train_file"} & changed.keys():
            return {**cls.read_alone, "train_file": changed["test_file"], **changed}
        return ({"train_file": ""} if "file" in changed else {}) | changed
