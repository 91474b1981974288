"""What is used of libraries beyond their public API is there, and does what rests on it: a test a name."""

import importlib
import inspect
from importlib.metadata import version

import pytest
import pytorch_lightning as pl
import torch
from hydra.core.utils import JobReturn, JobStatus
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.strategies import DDPStrategy, Strategy
from torch.distributed.pipelining import PipelineStage
from torch.utils.tensorboard import SummaryWriter

from dlproj.library_internals import hydra_internals, lightning_internals, torch_internals, torchmetrics_internals

LIBRARIES = {"torch": "torch", "lightning": "pytorch-lightning", "torchmetrics": "torchmetrics", "hydra": "hydra-core"}


def gone(library, name):
    """The message of a failing test: which library has changed, and what rests on the name."""
    module = f"dlproj/library_internals/{library}_internals.py"
    return f"{LIBRARIES[library]} {version(LIBRARIES[library])} no longer has {name} as {module} uses it: mend it there"


def parameters(function):
    return list(inspect.signature(function).parameters)


def test_torch_prepares_a_stage_in_a_method_that_may_be_wrapped():
    message = gone("torch", "PipelineStage._prepare_forward_infra")
    method = getattr(PipelineStage, "_prepare_forward_infra", None)
    assert method is not None, message
    assert parameters(method)[:4] == ["self", "num_microbatches", "args", "kwargs"], message


def test_a_stages_preparation_draws_no_random_numbers_of_the_run():
    class Stage:
        device = torch.device("cpu")

        def _prepare_forward_infra(self, count, batch):
            return count + float(torch.rand(1)) * batch

    before = torch.get_rng_state()
    assert 2 <= torch_internals.keep_generators(Stage())._prepare_forward_infra(2, batch=1) < 3
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("module", [torch_internals.COMPILER, torch_internals.REDISTRIBUTION])
def test_torch_has_the_modules(module):
    assert importlib.util.find_spec(module) is not None, gone("torch", module)


def test_torch_logs_by_its_modules_names():
    logger = importlib.import_module(torch_internals.REDISTRIBUTION).logger
    assert logger.name == torch_internals.REDISTRIBUTION, gone("torch", f"{torch_internals.REDISTRIBUTION}.logger")


def test_torchs_compiler_has_what_stands_in_for_it():
    compiler = importlib.import_module(torch_internals.COMPILER)
    for name in ("disable", "graph_break", "OptimizedModule"):
        assert callable(getattr(compiler, name, None)), gone("torch", f"{torch_internals.COMPILER}.{name}")


@pytest.mark.parametrize("name", torch_internals.REBUILDERS)
def test_torch_has_the_functions_that_its_files_name(name):
    module, function = name.split()
    assert callable(getattr(importlib.import_module(module), function, None)), gone("torch", name)


def test_torch_has_a_writer_of_events_behind_its_summaries(tmp_path):
    with SummaryWriter(tmp_path) as summaries:
        assert hasattr(summaries, "_get_file_writer"), gone("torch", "SummaryWriter._get_file_writer")
        writer = torch_internals.file_writer(summaries)
        assert writer is torch_internals.file_writer(summaries)
        for name in ("add_event", "add_summary"):
            assert callable(getattr(writer, name, None)), gone("torch", f"FileWriter.{name}")
        summaries.close()
        assert torch_internals.file_writer(summaries) is not writer, gone("torch", "a writer that opens anew")


def test_lightning_tells_whether_gradients_accumulate():
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, accumulate_grad_batches=2)
    loop = trainer.fit_loop.epoch_loop
    assert hasattr(loop, "_should_accumulate"), gone("lightning", "_TrainingEpochLoop._should_accumulate")
    loop.batch_progress.current.ready = 1
    assert lightning_internals.accumulates(trainer)
    loop.batch_progress.current.ready = 2
    assert not lightning_internals.accumulates(trainer)


def test_lightning_takes_word_of_a_sigterm():
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert hasattr(trainer, "_signal_connector"), gone("lightning", "Trainer._signal_connector")
    assert not trainer.received_sigterm
    lightning_internals.announce_sigterm(trainer)
    assert trainer.received_sigterm, gone("lightning", "Trainer._signal_connector.received_sigterm")


def test_lightnings_checkpoint_tells_whether_it_saves_within_epochs(tmp_path):
    by_steps, by_epochs = ModelCheckpoint(tmp_path, every_n_train_steps=5), ModelCheckpoint(tmp_path, every_n_epochs=1)
    assert hasattr(by_steps, "_every_n_train_steps"), gone("lightning", "ModelCheckpoint._every_n_train_steps")
    assert lightning_internals.saves_within_epochs(by_steps)
    assert not lightning_internals.saves_within_epochs(by_epochs)


def test_lightning_wraps_the_model_in_a_method_of_its_own():
    message = gone("lightning", "Strategy._setup_model")
    for strategy in (Strategy, DDPStrategy):
        assert parameters(getattr(strategy, "_setup_model", parameters)) == ["self", "model"], message
    assert "self._setup_model(self.model)" in inspect.getsource(Strategy.setup), message
    whole = type("Whole", (lightning_internals.ModelAsItIs, DDPStrategy), {})
    assert whole()._setup_model(model := object()) is model


def test_lightning_counts_the_steps_of_manual_optimisation():
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(model := pl.LightningModule())
    model.automatic_optimization = False
    for steps in (1, 2):
        lightning_internals.count_step(trainer)
        assert trainer.global_step == steps, gone("lightning", "manual_optimization.optim_step_progress")


def test_lightning_goes_on_by_epochs_also_with_a_limit_of_steps():
    """Without it, Lightning takes the last epoch, which is complete, for one that was interrupted."""
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, max_steps=9)
    lightning_internals.resume_by_epochs(trainer)
    trainer.fit_loop.restarting = True
    assert not trainer.fit_loop.restarting, gone("lightning", "fit_loop._iteration_based_training")


def test_torchmetrics_has_the_names_that_stand_in_for_it():
    plot = importlib.import_module("torchmetrics.utilities.plot")
    for name in torchmetrics_internals.PLOT_TYPES:
        assert hasattr(plot, name), gone("torchmetrics", f"torchmetrics.utilities.plot.{name}")
    name = torchmetrics_internals.LOGGER
    logger = getattr(importlib.import_module("torchmetrics"), name, None)
    assert getattr(logger, "name", None) == "torchmetrics", gone("torchmetrics", f"torchmetrics.{name}")


def test_hydra_has_the_exception_of_a_failed_job():
    error = ValueError("no")
    job = JobReturn(status=JobStatus.FAILED)
    job.return_value = error
    assert hasattr(job, "_return_value"), gone("hydra", "JobReturn._return_value")
    assert hydra_internals.failure_of(job) is error


def test_hydras_sweeper_has_the_methods_that_ours_overrides():
    for name in ("setup", "split_arguments", "validate_batch_is_legal", "sweep"):
        assert callable(getattr(hydra_internals.BasicSweeper, name, None)), gone("hydra", f"BasicSweeper.{name}")
    fields = hydra_internals.BasicSweeperConf.__dataclass_fields__
    assert {"_target_", "max_batch_size", "params"} <= fields.keys(), gone("hydra", "BasicSweeperConf's settings")
