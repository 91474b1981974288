"""Chunks, jobs and options."""

import pytest

from benchmarks.cases import CASES, Job, shortened
from benchmarks.options import parse
from benchmarks.variants.dlproj_itself import overrides
from benchmarks.worker import MODULES

BY_NAME = {case.name: case for case in CASES}


def job(case, variant):
    return Job(case, variant, 1, "cpu", case.steps(54_000, variant), "arrays", "output")


def test_a_chunk_is_an_epoch_with_its_incomplete_batch_unless_limited():
    assert BY_NAME["mlp-1000-128"].steps(54_000, "floor") == 422
    assert shortened(BY_NAME["mlp-1000-128"], 4).steps(54_000, "floor") == 4
    assert BY_NAME["lstm-200-128"].steps(22_500, "floor") == 20
    assert BY_NAME["lstm-200-128"].steps(22_500, "floor with denormals") == 1
    assert shortened(BY_NAME["lstm-200-128"], 30).limit == 20


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_variant_has_a_module(case):
    assert {variant.split()[0] for variant in case.variants} <= MODULES.keys()


def test_a_job_survives_the_way_to_its_worker():
    there = job(BY_NAME["lstm-200-128"], "dlproj masked")
    back = Job.from_json(there.to_json())
    assert (back.case.name, back.variant, back.steps) == ("lstm-200-128", "dlproj masked", 20)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_dlproj_takes_the_settings(case, composed):
    config = composed(*overrides(job(case, "dlproj masked" if case.data == "imdb" else "dlproj")))
    assert config.data.batch_size == case.batch_size
    assert config.model.hidden == [case.hidden]
    assert config.trainer.limit_train_batches == case.limit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "mlp"], "argument --cases: mlp is none of mlp-1000-32, "),
        (["--variants", "floor,flor"], "argument --variants: flor is none of floor, "),
        (["--threads", "1,0"], "argument --threads: 0 is not a whole number from 1 up"),
        (["--rounds", "-1"], "argument --rounds: -1 is not a whole number from 1 up"),
    ],
)
def test_bad_options_are_answered_with_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_quick_limits_every_case():
    options = parse(["--quick", "--device", "cpu"])
    assert options.limit == 4
    assert {case.limit for case in options.cases} == {4}
    assert options.rounds == 2
