"""What the tests of the data sets share."""

import os

import pytest


@pytest.fixture(scope="session")
def keras():
    """Keras on torch, as an oracle."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


@pytest.fixture
def left_over():
    """Call with a root: the names of temporary files and folders in it."""
    return lambda root: [path.name for path in root.iterdir() if path.name.startswith(".")]
