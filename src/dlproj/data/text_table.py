"""The texts of a table's column, each with a label in another column."""

from dlproj.config.texts import TextTableConfig
from dlproj.data.labelled_rows import LabelledRows
from dlproj.data.text_folder import WORTH_KEEPING
from dlproj.data.texts import TextDataModule
from dlproj.data.tokenized import LabelledTexts, TokenizedTexts, tokenized


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


def _labelled(rows: LabelledRows, classes: tuple[str, ...]) -> LabelledTexts:
    return LabelledTexts(lambda: rows.texts, rows.targets(classes), [rows.digest()], sum(map(len, rows.texts)))
