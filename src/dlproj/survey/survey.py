"""Survey of one data set: tables on standard output, pictures and texts in a folder."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dlproj.config.data import DataConfig
from dlproj.config.whole_files import check_writable
from dlproj.data.image import pixel_counts
from dlproj.reports.fonts import in_words, take_boxed
from dlproj.reports.style import png
from dlproj.reports.terminal import print_table
from dlproj.runs.manifest import OVERWRITE, refuse_foreign, write_files
from dlproj.survey import survey_figures, survey_tables
from dlproj.survey.sets import (
    OfficialSets,
    Place,
    check_places,
    class_counts,
    draw,
    one_of_each_class,
    parse_places,
    read,
)

_log = logging.getLogger(__name__)
_FILES = ("grid.png", "grid.txt", "samples.png", "labels.png", "pixels.png", "lengths.png", "features.png")
Files = dict[str, Figure | str]  # by file name


def check_folder(folder: Path, overwrite: bool) -> None:
    """Raise ConfigurationError if survey() could not write to the folder."""
    check_writable(folder)
    if not overwrite:
        refuse_foreign(folder, _FILES, OVERWRITE)


def survey(sets: OfficialSets, name: str, places: Sequence[Place], seed: int, folder: Path) -> None:
    """Print tables of the data set and write its pictures. Without places, one sample of each class is shown.

    Existing files are replaced: call check_folder() first. Raises DataError if an index is out of range.
    """
    check_places(places, sets)
    places = places or one_of_each_class(sets)
    tables = (
        survey_tables.overview(sets, name),
        survey_tables.classes(sets),
        survey_tables.statistics(sets),
        survey_tables.samples(sets, places),
    )
    for table in tables:
        print_table(*table)
        print()
    files = grid(sets, seed) | samples(sets, places) | {"labels.png": _label_counts(sets)} | histogram(sets)
    print_table(("file",), [(str(path),) for path in write_files(folder, _encoded(files), overwrite=True)])


def draw_samples(config: DataConfig, wanted: Sequence[str], seed: int) -> dict[str, str | bytes]:
    """Draw the samples of `figures.samples`, by file name. Raises DataError if an index is out of range."""
    sets = read(config, seed)
    places = parse_places(text for text in wanted if text != "grid")
    check_places(places, sets)
    files = grid(sets, seed) if "grid" in wanted else {}
    texts = {} if sets.has_images or not places else {"samples.txt": _as_text(sets, places)}
    return _encoded(files | samples(sets, places) | texts)


def grid(sets: OfficialSets, seed: int) -> Files:
    """Random samples of each class, one row per class, as a picture or a text."""
    rows = draw(sets, seed)
    if not sets.has_images:
        return {"grid.txt": _as_text(sets, chain(*rows))}
    names = sets.module.spec.classes
    some = "" if len(rows) == len(names) else f" of the first {len(rows)} of {len(names)} classes"
    images = [[_image(sets, place) for place in row] for row in rows]
    return {"grid.png": survey_figures.grid(images, names[: len(rows)], f"Random training samples{some}")}


def samples(sets: OfficialSets, places: Sequence[Place]) -> Files:
    """The chosen images in one picture; empty for other data, which survey_tables.samples() prints."""
    if not places or not sets.has_images:
        return {}
    images = [_image(sets, place) for place in places]
    return {"samples.png": survey_figures.chosen(images, [_titled(sets, place) for place in places])}


def _as_text(sets: OfficialSets, places: Iterable[Place]) -> str:
    return "\n".join(f"{_titled(sets, place)}\n{sets.shown(place)}\n" for place in places)


def histogram(sets: OfficialSets) -> Files:
    """Histogram of pixels, review lengths or features, by the kind of data."""
    module = sets.module
    if sets.has_bytes:
        counts = pixel_counts(sets.train.inputs).numpy()
        return {
            "pixels.png": survey_figures.pixel_histogram(
                counts, survey_tables.channel_names(len(counts)), int(module.largest_pixel)
            )
        }
    if sets.reviews is None:
        columns = [column.numpy() for column in module.feature_columns(sets.train.inputs).values()]
        return {"features.png": survey_figures.value_histogram(np.concatenate(columns))} if columns else {}
    words = {"training set": sets.words("train"), "test set": sets.words("test")}
    return {"lengths.png": survey_figures.length_histogram(words, module.spec.shape[0], sets.unit, sets.noun)}


def _label_counts(sets: OfficialSets) -> Figure:
    names = sets.module.spec.classes
    counts = {"training set": class_counts(sets.train, names), "test set": class_counts(sets.test, names)}
    return survey_figures.label_counts(counts, names)


def _image(sets: OfficialSets, place: Place) -> np.ndarray:
    image = sets.shown(place)
    assert isinstance(image, np.ndarray)
    return image


def _titled(sets: OfficialSets, place: Place) -> str:
    return f"{place}\n{sets.class_name(place)}"


def _encoded(files: Mapping[str, Figure | str]) -> dict[str, str | bytes]:
    encoded = {name: content if isinstance(content, str) else png(content) for name, content in files.items()}
    if boxed := take_boxed():
        _log.warning("%s", in_words(boxed))
    return encoded
