"""What all tests share."""

import os
from multiprocessing import set_forkserver_preload
from pathlib import Path

import pytest
import torch
from forked_commands import Commands
from hydra import compose, initialize_config_dir

from dlproj.config.compose import register
from dlproj.runs.new_run import checked

CONF = Path(__file__).parents[1] / "conf"

os.environ.update(KERAS_BACKEND="torch", KERAS_TORCH_DEVICE="cpu")  # read when keras is first imported


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked gpu where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a GPU")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images, and what dlproj remembers of the user's own code, stay within the tests."""
    os.environ["DLPROJ_CACHE_DIR"] = str(tmp_path_factory.mktemp("decoded") / "cache")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def composed():
    """Call with overrides, as on the command line: the typed settings."""
    register()

    def config(*overrides):
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return checked(compose("config", ["name=test", *overrides]))

    return config


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """Begins command lines of train.py in forks of one process."""
    forking = Commands(tmp_path_factory.mktemp("commands"))
    yield forking
    forking.close()


@pytest.fixture
def forked_processes(monkeypatch):
    """Have run_in_processes() fork from a server that has imported dlproj, which spares each process its imports.

    tests/distributed/test_processes.py has them spawned, as users do.
    """
    from torch.distributed.launcher import api

    set_forkserver_preload(["dlproj.training.run", "torch.distributed.fsdp", "torch.distributed.pipelining"])
    launched = api.LaunchConfig
    monkeypatch.setattr(api, "LaunchConfig", lambda **settings: launched(**settings | {"start_method": "forkserver"}))


@pytest.fixture(scope="session")
def real():
    """Call with a folder's name: the root that holds the real data, or a skip."""

    def root_with(name):
        root = os.environ.get("DLPROJ_DATA_DIR")
        if not root or not (Path(root) / name).is_dir():
            pytest.skip(f"needs the real data: set DLPROJ_DATA_DIR to a folder that holds {name}")
        return root

    return root_with
