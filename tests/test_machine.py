import os

import numpy as np
import pytest

from dlproj import machine
from dlproj.config.checks import ConfigurationError
from dlproj.launch import OURS
from dlproj.machine import (
    available_memory_bytes,
    memory_bytes,
    peak_memory_bytes,
    require_memory,
    reset_peak_memory,
    threads_of,
    usable_cores,
    versions,
)


@pytest.fixture(autouse=True)
def groups(monkeypatch, tmp_path):
    """Call with the process's own groups and the files of the groups' folder, in place of the machine's."""

    def write(own, files):
        monkeypatch.setattr(machine, "_CONTROL_GROUPS", tmp_path / "groups")
        monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "own")
        if own is not None:
            (tmp_path / "own").write_text(own)
        for name, content in files.items():
            path = tmp_path / "groups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    write(None, {})
    for name in (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "TORCHELASTIC_RUN_ID",
        "LOCAL_WORLD_SIZE",
        machine.SHARE_OF_CORES,
    ):
        monkeypatch.delenv(name, raising=False)
    return write


def test_the_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert usable_cores() == 3


def test_where_the_system_does_not_tell_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6


V1 = "5:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f\n0::/\n"  # of a container that sees the host's paths


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        (None, {}, 8),
        (None, {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),  # one and a half
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "1600000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": ""}, 8),
        ("0::/user.slice/a.scope\n", {"user.slice/a.scope/cpu.max": "300000 100000\n"}, 3),
        ("0::/user.slice/a.scope\n", {"user.slice/a.scope/cpu.max": "max 100000", "user.slice/cpu.max": "4 1"}, 4),
        ("0::/user.slice/a.scope\n", {"user.slice/b.scope/cpu.max": "100000 100000\n"}, 8),
        ("0::/../other\n", {"cpu.max": "200000 100000\n"}, 2),
        (V1, {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        (V1, {"cpu/docker/1f/cpu.cfs_quota_us": "500000", "cpu/docker/1f/cpu.cfs_period_us": "100000"}, 5),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        (V1, {"cpu/cpu.cfs_quota_us": "200000\n"}, 8),
    ],
)
def test_a_control_groups_share_of_time_limits_the_cores(own, files, cores, groups, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    groups(own, files)
    assert usable_cores() == cores


@pytest.mark.parametrize(
    ("own", "files", "bytes_"),
    [
        (None, {}, 8000 * 4096),
        (None, {"memory.max": "max"}, 8000 * 4096),
        (None, {"memory.max": "1000000\n"}, 1_000_000),
        (None, {"memory.max": f"{10**15}"}, 8000 * 4096),
        ("0::/a/b\n", {"a/b/memory.max": "3000000\n", "a/memory.max": "2000000\n"}, 2_000_000),
        (V1, {"memory/memory.limit_in_bytes": "5000000\n"}, 5_000_000),
        (V1, {"memory/docker/1f/memory.limit_in_bytes": "9223372036854771712\n"}, 8000 * 4096),
    ],
)
def test_memory_is_the_machines_or_less_where_a_control_group_allows_less(own, files, bytes_, groups, monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 8000, "SC_PAGE_SIZE": 4096}.__getitem__)
    groups(own, files)
    assert memory_bytes() == bytes_


@pytest.mark.parametrize(
    ("variables", "processes", "threads"),
    [
        ({}, 1, 8),
        ({}, 3, 2),
        ({}, 20, 1),
        ({"OMP_NUM_THREADS": "1"}, 1, 1),
        ({"OMP_NUM_THREADS": "3"}, 1, 3),
        ({"OMP_NUM_THREADS": "3"}, 4, 2),
        ({"OMP_NUM_THREADS": "64"}, 1, 8),
        ({"OMP_NUM_THREADS": "3,2"}, 1, 3),
        ({"OMP_NUM_THREADS": "0"}, 1, 8),
        ({"OMP_NUM_THREADS": "many"}, 1, 8),
        ({machine.SHARE_OF_CORES: "many"}, 1, 8),
        ({"MKL_NUM_THREADS": "2"}, 1, 2),
        ({"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "2"}, 1, 3),
        ({"OMP_NUM_THREADS": "4", machine.SHARE_OF_CORES: "2"}, 1, 2),  # of a run among others
        ({"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "2"}, 2, 4),  # not by the user
        ({"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "1"}, 1, 1),
        ({"OMP_NUM_THREADS": "3", "TORCHELASTIC_RUN_ID": "none"}, 2, 3),
        ({"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": f"{OURS}12ab"}, 2, 1),
    ],
)
def test_threads_are_a_share_of_the_cores_or_fewer_where_the_environment_says_so(
    variables, processes, threads, monkeypatch
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert threads_of(processes) == threads


def test_what_takes_more_than_half_of_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10**10)
    require_memory(4.9e9, "this", "--size")
    with pytest.raises(ConfigurationError, match="this takes 6 GB, the machine has 10: set --size lower"):
        require_memory(6e9, "this", "--size")


def test_peak_memory_is_in_bytes():
    held = b"x" * (300 * 2**20)
    peak, _ = peak_memory_bytes()
    assert len(held) < peak < 2**40


def test_versions_name_what_the_figures_depend_on():
    assert {"python", "torch", "pytorch-lightning", "torchmetrics", "dlproj"} <= set(versions())


@pytest.mark.parametrize(
    ("own", "files", "free"),
    [
        ("0::/job", {"job/memory.max": "5000\n", "job/memory.current": "1200\n"}, 3800),
        ("0::/job", {"job/memory.max": "max\n", "job/memory.current": "1200\n"}, None),
        ("0::/job", {"job/memory.max": "1000\n", "job/memory.current": "1200\n"}, 0),
        ("4:memory:/job", {"memory/job/memory.limit_in_bytes": "900", "memory/job/memory.usage_in_bytes": "300"}, 600),
    ],
)
def test_the_free_memory_is_what_the_machine_and_its_control_groups_leave(own, files, free, groups):
    groups(own, files)
    if free is None:
        assert 5000 < available_memory_bytes() <= memory_bytes()
    else:
        assert available_memory_bytes() == free


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux")
def test_the_peak_of_memory_can_be_counted_anew():
    size = 2**28
    np.ones(size, np.uint8)  # taken from the system, and given back at once
    before = peak_memory_bytes()[0]
    reset_peak_memory()
    assert peak_memory_bytes()[0] < before - size // 2
