"""What all these tests share: little memory, and an empty folder to work in."""

import resource
from pathlib import Path

import pandas as pd
import pytest

pd.Series(["x"]).isin(["x"])  # Arrow's allocator reserves a gigabyte of addresses when it is first used


@pytest.fixture(autouse=True)
def _little_memory():
    """Asking for a gigabyte more than there is at the start is a MemoryError, or torch's word for it."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture(autouse=True)
def _nothing_written_where_we_are(tmp_path_factory, monkeypatch):
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    yield
    assert list(here.iterdir()) == []
