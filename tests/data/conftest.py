"""What the tests of the data sets share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real():
    """Call with a folder's name: the root that holds the real data, or a skip."""

    def root_with(name):
        root = os.environ.get("DLPROJ_DATA_DIR")
        if not root or not (Path(root) / name).is_dir():
            pytest.skip(f"needs the real data: set DLPROJ_DATA_DIR to a folder that holds {name}")
        return root

    return root_with


@pytest.fixture(scope="session")
def keras():
    """Keras on torch, as an oracle."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


@pytest.fixture
def left_over():
    """Call with a root: the names of temporary files and folders in it."""
    return lambda root: [path.name for path in root.iterdir() if path.name.startswith(".")]
