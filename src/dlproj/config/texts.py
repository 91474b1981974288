"""Settings of texts: IMDB's reviews, a folder of text files, a column of a table."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dlproj.config.checks import require
from dlproj.config.data import FIRST_WORD, ROOT, DataConfig, DataSpec, Kind, Side, check_root, default_root
from dlproj.config.fields import Choice, setting
from dlproj.config.tabular import TableFiles

if TYPE_CHECKING:
    from dlproj.data.imdb import IMDBDataModule
    from dlproj.data.labelled_rows import LabelledRows
    from dlproj.data.text_folder import TextFolderDataModule
    from dlproj.data.text_table import TextTableDataModule


class Tokens(Choice):
    """What a text is split into."""

    words = "words", "runs of characters between white space and ASCII punctuation, as in Keras"
    characters = "characters", "single characters, for languages without spaces such as Chinese"


@dataclass(slots=True)
class TextConfig(DataConfig):
    """Settings shared by all texts."""

    tokens: Tokens = setting(Tokens.words, "what a text is split into; each has an id")
    vocabulary_size: int = setting(
        10_000, "ids are below this, Keras's num_words; rarer words become 2", f"[{FIRST_WORD + 1}, inf)"
    )
    length: int = setting(200, "ids per text after padding and truncating", "[1, inf)")
    padding: Side = setting(Side.pre, "where shorter texts are padded with 0")
    truncating: Side = setting(Side.pre, "where longer texts are truncated")
    bucket_by_length: bool = setting(
        False, "train on batches of similar lengths: with model.masking, fewer time steps on the CPU"
    )

    def __post_init__(self) -> None:
        DataConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        aligned = not self.bucket_by_length or self.padding is Side.post
        require(aligned, "data.bucket_by_length=true saves work only if padding comes last: set data.padding=post")

    @property
    def is_bucketed(self) -> bool:
        return self.bucket_by_length

    def text_spec(self, classes: tuple[str, ...]) -> DataSpec:
        """DataSpec of ids (length,)."""
        return DataSpec(Kind.sequence, (self.length,), classes, self.vocabulary_size, self.padding.value, 2)


@dataclass(slots=True)
class StoredTextConfig(TextConfig):
    """Settings shared by texts that are read from a folder."""

    root: str = setting(default_root, ROOT)

    def __post_init__(self) -> None:
        TextConfig.__post_init__(self)  # slots=True makes a new class, which super() would not find
        check_root(self.root)


@dataclass(slots=True)
class IMDBConfig(StoredTextConfig):
    """Settings of the IMDB reviews, read from `<root>/aclImdb`."""

    has_test_set: ClassVar[bool] = True

    def spec(self) -> DataSpec:
        """Word ids (length,) in two classes."""
        return self.text_spec(("negative", "positive"))

    def build(self, seed: int) -> "IMDBDataModule":
        from dlproj.data.imdb import IMDBDataModule

        return IMDBDataModule(self, seed)


@dataclass(slots=True)
class TextFolderConfig(StoredTextConfig):
    """Settings of texts in one folder per class; `root` holds train/ and, if there is one, test/."""

    own_files: ClassVar[bool] = True
    root: str = setting(default_root, "folder that holds train/CLASS/*.txt and test/CLASS/*.txt")

    def spec(self) -> DataSpec:
        """Ids (length,), one class per folder in train/, sorted by name. Raises DataError."""
        from dlproj.data.class_folders import class_names, has_test_folder

        classes = class_names(self.root, "texts")
        self.check_test_set(has_test_folder(self.root), f"data.root={self.root} has no folder test")
        return self.text_spec(classes)

    def build(self, seed: int) -> "TextFolderDataModule":
        from dlproj.data.text_folder import TextFolderDataModule

        return TextFolderDataModule(self, seed)


@dataclass(slots=True)
class TextTableConfig(TableFiles, TextConfig):
    """Settings of texts in a column of a table, with their labels in another."""

    text_column: str = setting("text", "name of the column with the texts")
    label_column: str = setting("label", "name of the column with the classes")

    def __post_init__(self) -> None:
        TextConfig.__post_init__(self)
        self.check_files()

    def rows(self) -> "list[LabelledRows]":
        """The training rows and, with data.test_file, those to test on. Raises UserError, naming file and row."""
        from dlproj.data.labelled_rows import read_rows

        return [read_rows(file, self.text_column, self.label_column) for file in self.files()]

    def cache(self) -> Path:
        """Path of the cache of the tokenised texts, without its hash and ending."""
        path = self.files()[0]
        return path.with_name(f"tokenized-{path.name}")

    def spec(self) -> DataSpec:
        """Ids (length,) in the classes of the training rows. Raises UserError."""
        from dlproj.data.labelled_rows import classes_of

        train, *test = self.rows()
        self.check_test_set(bool(test))
        return self.text_spec(classes_of(train.name, train.labels))

    def build(self, seed: int) -> "TextTableDataModule":
        from dlproj.data.text_table import TextTableDataModule

        return TextTableDataModule(self, seed)
