"""Jobs as tasks of a Ray cluster: here of two nodes on this machine, with room for one run each."""

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from waiting import until

from dlproj.config.checks import ConfigurationError, DataError
from dlproj.sweeps.jobs import Job
from dlproj.sweeps.ray_tasks import RayTasks
from dlproj.sweeps.workers import run_jobs

pytest.importorskip("ray", reason="pip install -e '.[ray]'")

ROOT = Path(__file__).parents[2]
ONE = {"num_cpus": 1, "num_gpus": 0}
SPAWN = multiprocessing.get_context("spawn")


def keep_cluster(ours):
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    ours.send(nodes.address)
    ours.poll(None)  # until the tests have ended
    nodes.shutdown()


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster of two nodes. A process that knows Ray has threads: no other test could fork then."""
    theirs, ours = SPAWN.Pipe()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        keeper = SPAWN.Process(target=keep_cluster, args=(ours,))
        keeper.start()
    yield theirs.recv()
    theirs.close()
    ours.close()
    keeper.join()


def apart(function, *arguments):
    """What the function returns or raises in a process of its own."""
    with ProcessPoolExecutor(1, SPAWN) as pool:
        return pool.submit(function, *arguments).result()


def run_four(cluster, folder):
    def say():
        sys.stdout.write(f"hello {os.environ['DLPROJ_CORES']}\n")

    def fail():
        raise DataError("no such data: look elsewhere")

    def crash():
        raise ZeroDivisionError("a mistake")

    def die():
        os._exit(3)

    codes = {}
    jobs = [Job(function, folder / function.__name__) for function in (say, fail, crash, die)]
    run_jobs(jobs, RayTasks(cluster, ONE, None), lambda job, code: codes.update({job.folder.name: code}))
    return codes


def test_each_job_is_told_of_with_its_exit_code_and_what_it_printed(cluster, tmp_path):
    assert apart(run_four, cluster, tmp_path) == {"say": 0, "fail": 1, "crash": 1, "die": 1}
    assert (tmp_path / "say.log").read_text() == "hello 1\n"
    assert (tmp_path / "fail.log").read_text() == "error: no such data: look elsewhere\n"
    assert "ZeroDivisionError: a mistake" in (tmp_path / "crash.log").read_text()
    assert "died unexpectedly" in (tmp_path / "die.log").read_text()


def run_pairs(cluster, folder):
    def meet(i):
        pipe = folder / f"pair-{i // 2}"
        (pipe.read_bytes if i % 2 else lambda: pipe.write_bytes(b""))()  # each waits for the other to open it
        (folder / str(os.getpid())).touch()

    for pair in range(2):
        os.mkfifo(folder / f"pair-{pair}")
    jobs = [Job(partial(meet, i), folder / f"run-{i}") for i in range(4)]
    run_jobs(jobs, RayTasks(cluster, ONE, None), lambda *_: None)


def test_there_are_as_many_at_once_as_there_is_room_for_each_in_a_process_of_its_own(cluster, tmp_path):
    apart(run_pairs, cluster, tmp_path)
    assert len(list(tmp_path.glob("[0-9]*"))) == 4


def begin_and_stop(cluster, folder):
    def work():
        try:
            (folder / "begun").touch()
            while True:  # Ray interrupts Python between two steps, but no system call
                pass
        except KeyboardInterrupt:
            (folder / "interrupted").touch()

    tasks = RayTasks(cluster, ONE, 1)
    tasks.start(Job(work, folder / "run"))
    until((folder / "begun").exists)
    tasks.stop()


def test_what_runs_is_interrupted_and_may_write_its_record(cluster, tmp_path):
    apart(begin_and_stop, cluster, tmp_path)
    assert (tmp_path / "interrupted").exists()


def test_what_the_cluster_has_no_room_for_is_refused(cluster):
    with pytest.raises(ConfigurationError) as refused:
        apart(RayTasks, cluster, {"num_cpus": 1, "num_gpus": 2}, None)
    expected = "a run needs 1 CPU, 2 GPU, and the Ray cluster has 2 CPU, 0 GPU: set hydra.launcher.num_cpus"
    assert str(refused.value).startswith(expected)


def test_an_address_where_nothing_listens_is_refused():
    with pytest.raises(ConfigurationError) as refused:
        apart(RayTasks, "127.0.0.1:1", ONE, None)
    assert str(refused.value) == "hydra.launcher.address=127.0.0.1:1 cannot be used: Connection refused"


def test_options_that_ray_does_not_have_are_refused(cluster):
    with pytest.raises(
        ConfigurationError, match=r"hydra\.launcher\.options cannot be used: Invalid option keyword cpus"
    ):
        apart(RayTasks, cluster, ONE | {"cpus": 1}, None)


@pytest.mark.slow
def test_a_sweep_runs_on_the_cluster_and_compares_itself(cluster, tmp_path):
    overrides = [
        "+experiment=mlp/activations",
        "data=digits",
        "model.hidden=[16]",
        "model.activation=relu,tanh",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        "figures=none",
    ]
    command = [sys.executable, "-W", "error", str(ROOT / "train.py"), "-m", "hydra/launcher=ray", *overrides]
    done = subprocess.run([*command, f"hydra.launcher.address={cluster}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("logs/sweeps/*-mlp-activations")
    found = [json.loads((folder / name / "summary.json").read_text()) for name in "01"]
    assert [one["status"] for one in found] == ["completed"] * 2
    assert [one["name"] for one in found] == ["mlp-activations"] * 2
    assert "model.activation=relu" in found[0]["overrides"]
    assert "model.activation=tanh" in found[1]["overrides"]
    assert done.stdout.splitlines()[-1] == str(folder.relative_to(tmp_path) / "report.html")
