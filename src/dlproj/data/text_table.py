"""The texts of a table's column, each with a label in another column."""

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from dlproj.config.texts import TextTableConfig
from dlproj.data.labelled_rows import LabelledRows, texts_of
from dlproj.data.text_folder import WORTH_KEEPING
from dlproj.data.texts import TextDataModule
from dlproj.data.tokenized import LabelledTexts, TokenizedTexts, tokenized

if TYPE_CHECKING:
    import pandas as pd


class TextTableDataModule(TextDataModule):
    """The texts of the rows, in their order."""

    config: TextTableConfig

    def labelled_texts(self) -> list[LabelledTexts]:
        """The texts of the training and the test rows. Raises DataError, naming file and row."""
        return [_labelled(rows, self.spec.classes) for rows in self.config.rows()]

    def read(self) -> TokenizedTexts:
        """The tokens of the texts. Raises DataError."""
        train, *test = self.labelled_texts()
        classes = len(self.spec.classes)
        return tokenized(train, next(iter(test), None), self.config.tokens, classes, self.config.cache(), WORTH_KEEPING)

    def read_frame(self, file: str | Path, as_text: bool = True) -> "pd.DataFrame":
        """A table file whose cells are texts, whatever as_text says. Raises DataError."""
        from dlproj.data.table_files import read_table

        return read_table(file, missing_words=False)

    def encode_frame(self, frame: "pd.DataFrame") -> Tensor:
        """The ids (N, length) of the texts in the column that training read. Raises DataError."""
        from dlproj.data.table_rows import check_there

        check_there(frame, [self.config.text_column])
        return self.encode(texts_of(frame[self.config.text_column], list(frame.index)))


def _labelled(rows: LabelledRows, classes: tuple[str, ...]) -> LabelledTexts:
    return LabelledTexts(lambda: rows.texts, rows.targets(classes), [rows.digest()], sum(map(len, rows.texts)))
