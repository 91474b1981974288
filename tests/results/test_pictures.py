"""The drawing process: what it writes, what it says of a figure that fails, and how it ends."""

import logging

import pytest

from dlproj.results.figures_config import FiguresConfig
from dlproj.results.inspection import Inspection
from dlproj.results.pictures import Pictures

EPOCHS = {1: {"train/loss": 0.9, "val/loss": 0.8, "train/accuracy": 0.5, "val/accuracy": 0.6}}


def names(paths):
    return [path.stem for path in paths]


def test_figures_are_written_in_the_order_asked_for(tmp_path):
    with Pictures(FiguresConfig(), tmp_path, wanted=True) as pictures:
        pictures.of_training(EPOCHS, 1, Inspection(dead_units={"hidden.0": {1: 0.5}}))
        pictures.of_test([[3, 1], [0, 2]], ["cat", "dog"], Inspection())
        written = pictures.finish()
    assert names(written) == ["learning_curves", "dead_units", "confusion_matrix", "per_class"]
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_fails_is_said_and_harms_no_other(tmp_path, caplog):
    with Pictures(FiguresConfig(), tmp_path, wanted=True) as pictures, caplog.at_level(logging.WARNING):
        pictures.of_test([[3, 1], [0, 2]], ["one class too few"], Inspection())
        pictures.of_training(EPOCHS, 1, Inspection())
        assert names(pictures.finish()) == ["learning_curves"]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"{tmp_path}/figures/{name}.png was not written" for name in ("confusion_matrix", "per_class")
    ]


def test_a_drawing_process_that_dies_costs_the_figures_and_nothing_else(tmp_path, caplog):
    with Pictures(FiguresConfig(), tmp_path, wanted=True) as pictures, caplog.at_level(logging.WARNING):
        pictures._process.kill()
        pictures._process.wait()
        pictures.of_training(EPOCHS, 1, Inspection())
        pictures.of_test([[3, 1], [0, 2]], ["cat", "dog"], Inspection())
        assert pictures.finish() == []
    assert all("the drawing process has ended" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == 3


def test_the_process_ends_with_its_context_even_by_an_error(tmp_path):
    pictures = Pictures(FiguresConfig(), tmp_path, wanted=True)
    with pytest.raises(KeyboardInterrupt), pictures:
        raise KeyboardInterrupt
    assert pictures._process.poll() is not None


@pytest.mark.parametrize(("choice", "wanted"), [("default", False), ("none", True)])
def test_where_nothing_is_wanted_there_is_no_process(choice, wanted, composed, tmp_path):
    with Pictures(composed(f"figures={choice}").figures, tmp_path, wanted) as pictures:
        pictures.of_training(EPOCHS, 1, Inspection())
        assert pictures.finish() == []
        assert pictures._process is None
    assert list(tmp_path.iterdir()) == []
