import os
import subprocess
from pathlib import Path

import pytest

from dlproj import machine
from dlproj.machine import git_commit, memory_bytes, peak_memory_bytes, require_memory, usable_cores, versions
from dlproj.settings import ConfigurationError


def test_the_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert usable_cores() == 3


def test_where_the_system_does_not_tell_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6


@pytest.mark.parametrize(
    ("limit", "bytes_"), [("max", 8000 * 4096), ("1000000\n", 1_000_000), (f"{10**15}", 8000 * 4096)]
)
def test_memory_is_the_machines_or_less_where_a_container_allows_less(limit, bytes_, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 8000, "SC_PAGE_SIZE": 4096}.__getitem__)
    monkeypatch.setattr(machine, "_CONTROL_GROUP", tmp_path / "memory.max")
    assert memory_bytes() == 8000 * 4096
    (tmp_path / "memory.max").write_text(limit)
    assert memory_bytes() == bytes_


def test_what_takes_more_than_half_of_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10**10)
    require_memory(4.9e9, "this", "--size")
    with pytest.raises(ConfigurationError, match="this takes 6 GB, the machine has 10: set --size lower"):
        require_memory(6e9, "this", "--size")


def test_the_commit_is_gits():
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True)
    if head.returncode:
        pytest.skip("the tests do not run from a git checkout")
    assert str(git_commit()).removesuffix("+") == head.stdout.strip()


def test_outside_a_checkout_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git_commit() is None


def test_peak_memory_is_in_bytes():
    held = b"x" * (300 * 2**20)
    peak, _ = peak_memory_bytes()
    assert len(held) < peak < 2**40


def test_versions_name_what_the_figures_depend_on():
    assert {"python", "torch", "pytorch-lightning", "torchmetrics", "dlproj"} <= set(versions())
