"""Functions in several processes: results, errors in words, and nobody left behind."""

import os
import signal

import pytest
import torch.distributed

from dlproj.settings import DataError, UserError
from dlproj.training.processes import launched_by_torchrun, rank, run_in_processes


def all_ranks(offset):
    torch.distributed.init_process_group("gloo")
    ranks = [None, None]
    torch.distributed.all_gather_object(ranks, (rank() + offset, launched_by_torchrun()))
    torch.distributed.destroy_process_group()
    return ranks


def fail_in_one(how):
    if rank() == 1 and how == "user":
        raise DataError("no data: set data.root")
    if rank() == 1 and how == "bug":
        raise ZeroDivisionError("a bug")
    if rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.init_process_group("gloo")  # waits for the other for ever


def test_the_result_of_rank_0_comes_back_and_each_process_knows_its_rank():
    assert not launched_by_torchrun()
    assert run_in_processes(2, all_ranks, 10) == [(10, True), (11, True)]
    assert not launched_by_torchrun()


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("user", UserError, r"^no data: set data\.root$"),
        ("bug", RuntimeError, r"^process 1 failed: ZeroDivisionError: a bug\n(.|\n)*fail_in_one"),
        ("kill", RuntimeError, r"^process 1 failed: Signal 9"),
    ],
)
def test_a_process_that_fails_takes_the_others_down_and_says_why(how, error, message, capfd):
    with pytest.raises(error, match=message):
        run_in_processes(2, fail_in_one, how)
    assert "Traceback" not in capfd.readouterr().err
