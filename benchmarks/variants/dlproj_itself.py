"""This project through its own configuration, with all that a run has: TensorBoard, progress bar, checkpoints, CSV."""

from pathlib import Path

import pytorch_lightning as pl
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException

from benchmarks.cases import EMBEDDING_DIM, EMBEDDING_ROWS, EVALUATION_BATCH, LEARNING_RATE, VOCABULARY, Job
from benchmarks.pacer import Pacer, UnavailableError
from benchmarks.variants.pacing import Pacing
from dlproj.command_errors import in_one_line
from dlproj.config.checks import UserError
from dlproj.config.compose import register
from dlproj.config.root import Config
from dlproj.runs.new_run import checked
from dlproj.training.callbacks import build_callbacks
from dlproj.training.monitors.loggers import EpochTable, EpochTensorBoard
from dlproj.training.trainer import build_trainer, prepare_process

_CONF = Path(__file__).parents[2] / "conf"
_ENDLESS = 1_000_000  # epochs
_SETTINGS = {
    "masked": ["data.padding=post", "model.masking=true"],
    "bucketed": ["data.bucket_by_length=true"],
    "bf16": ["trainer.precision=bf16-mixed"],
}


def run(job: Job, pacer: Pacer) -> None:
    """Train as the pacer says, put together as in dlproj.training.run.train()."""
    config = _config(overrides(job))
    folder = Path(job.output)
    prepare_process(config.trainer)
    pl.seed_everything(config.seed, verbose=False)
    data = config.data.build(config.seed)
    model = config.model.build(data.spec, config.optim, config.scheduler)
    callbacks = [*build_callbacks(config.callbacks, folder), Pacing(pacer, job.case.validation)]
    trainer = build_trainer(config.trainer, callbacks, folder)
    trainer.loggers = [EpochTensorBoard(folder), EpochTable(folder)]
    trainer.fit(model, datamodule=data)


def overrides(job: Job) -> list[str]:
    """The job as on dlproj's command line."""
    case = job.case
    settings = [
        "name=benchmark",
        f"data={case.data}",
        f"model={'lstm' if case.data == 'imdb' else 'mlp'}",
        f"model.hidden=[{case.hidden}]",
        f"optim.learning_rate={LEARNING_RATE}",
        f"data.batch_size={case.batch_size}",
        f"trainer.max_epochs={_ENDLESS}",
        f"trainer.threads={job.threads}",
        f"trainer.accelerator={'gpu' if job.device == 'cuda' else 'cpu'}",
    ]
    if case.limit:
        settings.append(f"trainer.limit_train_batches={case.limit}")
    if case.data == "imdb":
        settings += [f"data.vocabulary_size={VOCABULARY}", f"model.embedding_rows={EMBEDDING_ROWS}"]
        settings.append(f"model.embedding_dim={EMBEDDING_DIM}")
    # Where validation does not count there is as little as the best checkpoint needs.
    settings.append(f"data.eval_batch_size={EVALUATION_BATCH if case.validation else case.batch_size}")
    if not case.validation:
        settings.append("trainer.limit_val_batches=1")
    return settings + [setting for word in job.variant.split()[1:] for setting in _SETTINGS[word]]


def _config(settings: list[str]) -> Config:
    """The typed settings. Raises UnavailableError where this version of dlproj lacks one of them."""
    register()
    try:
        with initialize_config_dir(str(_CONF), version_base="1.3"):
            return checked(compose("config", settings))
    except (UserError, HydraException) as error:
        raise UnavailableError(in_one_line(error)) from error
