"""Settings of data sets that the package `datasets` of Hugging Face reads: images, texts or numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dlproj.config.arrays import FeatureScaling, FeaturesFrom, ImagesFrom
from dlproj.config.checks import require
from dlproj.config.data import DataConfig, DataSpec, Kind
from dlproj.config.fields import Choice, like, setting
from dlproj.config.images import ImageConfig, Scaling, image_spec
from dlproj.config.texts import TextConfig

if TYPE_CHECKING:
    from dlproj.data.arrays import Arrays
    from dlproj.data.base import DataModule
    from dlproj.data.hub import HubData
    from dlproj.data.labelled_rows import LabelledRows


class Column(Choice):
    """What the input columns hold."""

    images = "images", "one column of images"
    texts = "texts", "one column of texts"
    numbers = "numbers", "columns of numbers"


_OF = {  # settings that act on one kind alone
    Column.images: ("image_size", "channels", "scaling", "random_flip", "random_crop"),
    Column.texts: tuple(
        field.name for field in fields(TextConfig) if field.name not in DataConfig.__dataclass_fields__
    ),
    Column.numbers: ("scaling",),
}


@dataclass(slots=True)
class HFConfig(TextConfig):
    """Settings of a data set of Hugging Face's hub, or of a local folder or file.

    What is unset of kind and columns is set by spec(), from the types of the columns, so that the record of a run has
    it and a trained model needs no data.
    """

    own_files: ClassVar[bool] = True
    not_read: ClassVar[Mapping[str, str]] = {"root": "this data is named by data.path"}
    path: str = setting("", "name on the hub, such as stanfordnlp/imdb, or a local folder or file")
    subset: str | None = setting(None, "configuration of the data set, if it has several")
    train_split: str = setting("train", "split to train on")
    test_split: str | None = setting(None, "split to test on; unset: test, if there is one")
    kind: Column | None = setting(None, "what the input columns hold; unset: told by their types")
    input_column: str | None = setting(
        None, "column of the images or texts; unset: the only one of its type; numbers: all columns of numbers"
    )
    label_column: str | None = setting(None, "column of the classes; unset: the only one of class labels, or label")
    image_size: int | None = setting(None, "height and width of images; unset: those of the first image", "[1, inf)")
    channels: int | None = setting(None, "1 for grey, 3 for colour; unset: as the first image")
    scaling: Scaling | None = setting(None, "of pixels (unset: unit) or numbers (unset: standardize)")
    random_flip: bool = like(ImageConfig, "random_flip", False)
    random_crop: int = like(ImageConfig, "random_crop", 0)

    def __post_init__(self) -> None:
        TextConfig.__post_init__(self)
        require(self.channels in (None, 1, 3), f"data.channels={self.channels} must be 1 (grey) or 3 (colour)")

    def read(self) -> "HubData":
        """The data set, its columns found. Raises UserError."""
        from dlproj.data.hub import read_hub

        require(bool(self.path), "data.path is empty: set a name on the Hugging Face hub, or a local folder or file")
        found = read_hub(self.path, self.subset, self.train_split, self.test_split)
        kind = self.kind and self.kind.value
        kind, self.input_column, self.label_column = found.roles(kind, self.input_column, self.label_column)
        self.kind = Column(kind)
        self._check_kind(self.kind)
        return found

    def _check_kind(self, kind: Column) -> None:
        """Raise ConfigurationError for a setting that has no effect on this kind of data."""
        others = {name for names in _OF.values() for name in names} - set(_OF[kind])
        defaults = type(self).__dataclass_fields__
        given = sorted(name for name in others if getattr(self, name) != defaults[name].default)
        message = f"data.{' and data.'.join(given)} has no effect on data of the kind {kind.value}: leave it out"
        require(not given, message)
        unscaled = kind is not Column.numbers or self.scaling is not Scaling.unit
        require(unscaled, "data.scaling=unit is for images: set standardize, min_max or none")

    def rows(self) -> "list[LabelledRows]":
        """The training texts and, where there are some, those to test on. Raises UserError."""
        return self.read().rows(self.text_column, str(self.label_column))

    def cache(self) -> Path:
        """Path of the cache of the tokenised texts, without its hash and ending: in the user's cache folder."""
        from dlproj.data.tokenized import cache_folder

        return cache_folder() / "tokenized-hf"

    @property
    def text_column(self) -> str:
        """Column of the texts, also in tables to predict."""
        return str(self.input_column)

    def arrays(self) -> "Arrays":
        """The images or numbers with their labels. Raises UserError, naming the row."""
        found = self.read()
        if self.kind is Column.images:
            return found.images(str(self.input_column), str(self.label_column), self.channels, self.image_size)
        return found.numbers(self.input_column, str(self.label_column))

    def spec(self) -> DataSpec:
        """Images, ids or numbers, in the classes of the training split. Raises UserError."""
        found = self.read()
        self.check_test_set(found.test is not None, f"data.path={self.path} has no split test")
        classes = found.classes(str(self.label_column))
        if self.kind is Column.texts:
            return self.text_spec(classes)
        if self.kind is Column.images:
            return image_spec(found.image_shape(str(self.input_column), self.channels, self.image_size), classes)
        return DataSpec(Kind.features, (len(found.number_columns(self.input_column, str(self.label_column))),), classes)

    def build(self, seed: int) -> "DataModule":
        from dlproj.data.text_table import TextTableDataModule

        if self.kind is None:
            self.read()
        if self.kind is Column.texts:
            return TextTableDataModule(self, seed)
        cls = ImagesFrom if self.kind is Column.images else FeaturesFrom
        shared = {field.name: getattr(self, field.name) for field in fields(cls) if field.name in _KEPT}
        if self.scaling is not None:
            shared["scaling"] = self.scaling if cls is ImagesFrom else FeatureScaling[self.scaling.name]
        return cls(**shared, source=self).build(seed)


_KEPT = {*DataConfig.__dataclass_fields__, "random_flip", "random_crop"}
