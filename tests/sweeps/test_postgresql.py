"""Several machines on one search: two processes with folders of their own, on a real PostgreSQL server."""

import getpass
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from waiting import until

optuna = pytest.importorskip("optuna")
pytest.importorskip("psycopg", reason="needs PostgreSQL's driver: pip install 'psycopg[binary]'")

WORKER = """
    import sys
    from pathlib import Path
    from folders import write_run
    from dlproj.runs.record import read_run
    from dlproj.sweeps.search import Search
    from dlproj.config.search import SearchConfig
    from dlproj.sweeps.space import Space

    folder = Path(sys.argv[1])
    space = {"optim.learning_rate": "interval(0.1,0.9)"}
    config = SearchConfig(params=space, trials=30, storage=sys.argv[2], study="ours")
    search = Search(config, Space(space, []), folder)
    for overrides, trial in search.trials():
        run = read_run(write_run(folder / str(trial.number)))
        search.tell(trial, run)
"""


def find(program):
    """A program of PostgreSQL's, which Debian keeps out of the path."""
    installed = [shutil.which(program), *map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))]
    return next(filter(None, installed), None)


@pytest.fixture
def server():
    """The URL of a server of our own, on a socket and without a port."""
    if not (find("initdb") and find("postgres")):
        pytest.skip("needs a PostgreSQL server: apt install postgresql")
    user = "postgres" if os.geteuid() == 0 else getpass.getuser()  # which does not serve as root
    with TemporaryDirectory(dir="/tmp") as folder:
        shutil.chown(folder, user)
        as_user = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        data = f"{folder}/data"
        subprocess.run([find("initdb"), "-D", data, "-A", "trust", "-U", "dlproj", "-N"], check=True, **as_user)
        command = [find("postgres"), "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        process = subprocess.Popen(command, **as_user)
        try:
            until(lambda: Path(folder, ".s.PGSQL.5432").exists() or process.poll() is not None)
            yield f"postgresql+psycopg://dlproj@/postgres?host={folder}"
        finally:
            process.send_signal(signal.SIGINT)  # SIGTERM would wait for its clients
            process.wait(timeout=120)


@pytest.mark.slow
def test_two_processes_share_the_trials_of_one_search(server, tmp_path):
    script = textwrap.dedent(WORKER)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    workers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script, str(folder), server], env=environment)
        for folder in folders
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    storage = optuna.storages.RDBStorage(server)
    trials = optuna.load_study(study_name="ours", storage=storage).trials
    storage.engine.dispose()
    assert 30 <= len(trials) <= 31  # both may begin one when a last one is missing
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    places = [trial.user_attrs["place"].rpartition("/")[2] for trial in trials]
    assert set(places) == {"a", "b"}
    for folder in folders:  # each ran what it had asked for, and no other did
        assert len(list(folder.iterdir())) == places.count(folder.name)
