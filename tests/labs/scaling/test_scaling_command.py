"""`dlproj bench scaling`: on one process here, over several in `make test-all`."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dlproj.cli.app import app
from dlproj.config.checks import ConfigurationError
from dlproj.config.optim import AdagradConfig, AdamConfig, SGDConfig
from dlproj.labs.scaling.bench import measured, plan
from dlproj.labs.scaling.cases import states_of
from dlproj.labs.scaling.scaling_report import measured_table

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-c", "from dlproj.cli.app import main; main()"]
SMALL = ["model.hidden=[64,64,64]", "data.features=64", "data.batch_size=32", "data.train_samples=800"]


def rows(folder, name="scaling"):
    with (folder / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_leaves_a_page_with_figures_and_tables(tmp_path):
    result = CliRunner().invoke(
        app,
        ["bench", "scaling", *SMALL, "--processes", "1", "--steps", "3", "--output", str(tmp_path)],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("strategy\tms a step\tpredicted\tefficiency")
    assert [row["strategy"] for row in rows(tmp_path)] == ["single", "layer_split"]
    first = rows(tmp_path)[0]
    assert 0 < float(first["measured_lowest"]) <= float(first["measured_seconds"])
    # Activations that ReLU makes live beside those that it reads; and little else.
    assert float(first["predicted_kept_bytes"]) <= float(first["measured_kept_bytes"])
    assert float(first["measured_kept_bytes"]) < 1.3 * float(first["predicted_kept_bytes"])
    page = (tmp_path / "scaling.html").read_text()
    assert page.count("<svg ") == 3
    assert "MLP 64 → 3 × 64 → 2, 12,610 parameters, batches of 32" in page
    assert {file.name for file in tmp_path.glob("*.png")} == {
        "scaling.png",
        "scaling-gpus.png",
        "scaling-gpus-large.png",
    }


@pytest.mark.slow
def test_every_strategy_sends_the_bytes_of_its_formula(tmp_path):
    layers = ["model.hidden=[512,512,512]", "data.batch_size=256"]
    command = [*PROGRAM, "bench", "scaling", *layers, "trainer.accelerator=cpu", "--output"]
    subprocess.run([*command, str(tmp_path)], cwd=ROOT, check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    found = [row for row in rows(tmp_path) if int(row["processes"]) > 1]
    assert len(found) == 9
    for row in found:
        predicted = float(row["predicted_sent_bytes"])
        assert float(row["measured_sent_bytes"]) == pytest.approx(predicted, rel=0.03), row["strategy"]


@pytest.mark.parametrize(("optim", "states"), [(AdamConfig(), 2), (SGDConfig(), 0), (AdagradConfig(), 1)])
def test_the_optimizers_numbers_are_counted(optim, states):
    assert states_of(optim) == states


def test_what_cannot_be_measured_has_its_reason_and_the_rest_is_planned():
    planned = plan(["model.hidden=[8]", "data.batch_size=30"], [4], [])
    reasons = {one.case.name: one.why_not for one in planned.outcomes}
    assert reasons["single"] == reasons["layer_split"] == ""
    assert reasons["pipeline × 4"].startswith("2 layers are too few for 4 stages")
    assert reasons["ddp × 4"].startswith("a batch of 30 samples does not divide by 4 processes")
    assert reasons["tensor_parallel × 4"] == ""


def test_where_no_case_of_a_number_of_processes_can_be_the_others_are_measured():
    found = measured(plan([*SMALL, "trainer.accelerator=cpu"], [3], ["ddp"]), 2)
    assert [(one.case.name, bool(one.measured), bool(one.why_not)) for one in found.outcomes] == [
        ("single", True, False),
        ("ddp × 3", False, True),
    ]
    assert measured_table(found).cells[1][1].startswith("a batch of 32 samples does not divide by 3 processes")


def test_an_epoch_of_one_batch_is_timed_and_one_that_is_not_whole_left_out():
    found = measured(plan([*SMALL, "data.train_samples=40", "trainer.accelerator=cpu"], [1], ["single"]), 3)
    assert found.outcomes[0].measured.seconds > 0
    assert found.outcomes[0].config.data.drop_last


@pytest.mark.parametrize(
    ("overrides", "processes", "strategies", "message"),
    [
        (["model=gru", "model.image_reading=rows", "data=digits"], [1], [], "known for model=mlp: set that"),
        ([], [1], ["dpp"], "dpp is not a strategy: choose from single, ddp"),
        (["trainer=cpu"], [1], [], "trainer=cpu is chosen here: set --strategy, or trainer.accelerator=cpu"),
        (["trainer.precision=64-true"], [1], [], "known for trainer.precision=32-true and no accumulation"),
        (["trainer.pipeline_schedule=gpipe"], [1], [], "known for trainer.pipeline_schedule=1f1b"),
    ],
)
def test_what_is_no_job_is_refused(overrides, processes, strategies, message):
    with pytest.raises(ConfigurationError, match=message):
        plan(overrides, processes, strategies)


def test_a_misspelt_setting_is_one_line(tmp_path):
    done = subprocess.run(
        [*PROGRAM, "bench", "scaling", "model.hiden=[8]"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: unknown setting model.hiden: did you mean model.hidden?\n"


@pytest.mark.parametrize("text", ["", "0", "1,", "two", "1,-2"])
def test_what_are_no_numbers_of_processes_is_refused(text):
    result = CliRunner().invoke(app, ["bench", "scaling", "--processes", text])
    assert isinstance(result.exception, ConfigurationError)
    assert "is not a list of whole numbers from 1 on: set such as 1,2,4" in str(result.exception)


def test_settings_compose_for_every_case():
    planned = plan(SMALL, [2, 4], [])
    assert [one.case.name for one in planned.outcomes if not one.why_not] == [
        "single",
        "layer_split",
        "ddp × 2",
        "fsdp × 2",
        "tensor_parallel × 2",
        "pipeline × 2",
        "ddp × 4",
        "fsdp × 4",
        "tensor_parallel × 4",
        "fsdp_tensor_parallel × 4",
        "pipeline × 4",
    ]
    for one in planned.outcomes:
        assert one.config.data.batch_size * one.case.layout.data_parallel == 32
        assert one.config.trainer.processes() == one.case.processes
