import os
import subprocess
from pathlib import Path

import pytest

from dlproj.machine import git_commit, peak_memory_bytes, usable_cores, versions


def test_the_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert usable_cores() == 3


def test_where_the_system_does_not_tell_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cores() == 6


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
