"""What the tests of the survey share."""

import numpy as np
import pytest
from PIL import Image

from dlproj.config.root import data_config
from dlproj.data.imdb import IMDBDataModule
from dlproj.survey.sets import read

REVIEWS = {
    "train/neg/0_1.txt": "bad bad film",
    "train/neg/1_1.txt": "bad",
    "train/pos/0_9.txt": "good film bad film again",
    "test/neg/0_1.txt": "bad unseen",
    "test/pos/0_9.txt": "good good good",
}


@pytest.fixture(scope="session")
def sets_of():
    """Call with a name and overrides: the official sets."""
    return lambda name, *overrides: read(data_config(name, overrides), 0)


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    """The root of five reviews: 3 + 1 and 5 words to train on, 2 and 3 to test."""
    monkeypatch.setattr(IMDBDataModule, "official_sizes", None)
    for name, text in REVIEWS.items():
        path = tmp_path / "aclImdb" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def pictures(tmp_path):
    """The root of 12 + 4 colour pictures, 4×4, in the classes cat and dog; dogs are brighter."""
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 2)):
        for name, low in (("cat", 0), ("dog", 128)):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(low, low + 128, (4, 4, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
    return tmp_path
