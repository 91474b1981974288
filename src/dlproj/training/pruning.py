"""The run of a search's trial: it reports each epoch to the search and learns when to stop."""

import logging
import os
import secrets
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from dlproj.config.checks import ConfigurationError, UserError
from dlproj.config.sweep import TrialConfig
from dlproj.training.ending import Ending

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.storages.journal import JournalFileOpenLock, JournalFileSymlinkLock
    from optuna.trial import Trial

_log = logging.getLogger(__name__)
_TRIES, _PAUSE = 10, 0.5  # seconds
_LOCKED = 60  # seconds that SQLite waits while another process writes; its default of 5 is short for a shared folder


class Prune(Callback):
    """Reports the monitored metric after each epoch, and ends training if the search's pruner says so."""

    def __init__(self, config: TrialConfig, ending: Ending | None = None) -> None:
        self.config = config
        self.ending = ending or Ending()
        self.pruned_after = 0  # the epoch, from 1; 0 if not pruned
        self._trial: Trial | None = None

    def state_dict(self) -> dict[str, Any]:
        """Keep the epoch, in case the run is killed after it was pruned."""
        return {"pruned_after": self.pruned_after}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the epoch."""
        if epoch := state_dict["pruned_after"]:
            self._end(epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        """Ask the pruner on rank 0, and stop all processes if it says so."""
        epoch = trainer.current_epoch + 1
        if trainer.strategy.reduce_boolean_decision(
            trainer.is_global_zero and self._has_no_hope(epoch, float(trainer.callback_metrics[self.config.monitor])),
            all=False,
        ):
            trainer.should_stop = True
            self._end(epoch)

    def _end(self, epoch: int) -> None:
        self.pruned_after = epoch
        self.ending.status, self.ending.reason = "pruned", f"pruned after epoch {epoch}"

    def _has_no_hope(self, epoch: int, value: float) -> bool:
        self._trial = self._trial or find_trial(self.config)
        try:
            if value == value:  # NaN cannot be compared
                self._trial.report(value, epoch)
            return self._trial.should_prune()
        except Exception as error:  # from the storage: hours of training are worth more than a report
            _log.warning("the search did not see epoch %d (%s): the run continues", epoch, _reason(error))
            return False


def find_trial(config: TrialConfig, opened: "tuple[Study, BaseStorage] | None" = None) -> "Trial":
    """Return the trial from its study, which is loaded from the storage unless both are given."""
    from optuna.trial import Trial

    with in_one_line(storage_words(config.storage)):
        study, storage = opened or _open_study(config)
        study_id = storage.get_study_id_from_name(config.study)
        return Trial(study, storage.get_trial_id_from_study_id_trial_number(study_id, config.number))


def _open_study(config: TrialConfig) -> "tuple[Study, BaseStorage]":
    import optuna

    storage, pruner = open_storage(config.storage), make_pruner(config.pruner, config.pruner_settings)
    return optuna.load_study(study_name=config.study, storage=storage, pruner=pruner), storage


def storage_words(url: str) -> str:
    """Return the storage's name for messages: a file's path, but no URL, which may contain a password."""
    return "hydra.sweeper.storage" if "://" in url else url


def open_storage(url: str) -> "BaseStorage":
    """Open the database at a URL, or else the journal in a file."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return _data_base(url) if "://" in url else _journal(Path(url))


def _journal(path: Path) -> "BaseStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock

    if path.is_file() and path.stat().st_size and not _is_journal(path.read_bytes()):  # Optuna would append to it
        raise ConfigurationError(f"{path} is not an Optuna journal: name another file as hydra.sweeper.storage")
    lock = JournalFileSymlinkLock(str(path)) if _has_links(path.parent) else JournalFileOpenLock(str(path))
    _drop_partial_line(path, lock)
    return JournalStorage(JournalFileBackend(str(path), lock))


def _has_links(folder: Path) -> bool:
    """True if the file system supports symbolic links, Optuna's default lock; exFAT and some network ones do not."""
    probe = folder / f".{secrets.token_hex(8)}.link"
    try:
        probe.symlink_to("nowhere")
    except OSError:
        return False
    probe.unlink()
    return True


def _drop_partial_line(path: Path, lock: "JournalFileSymlinkLock | JournalFileOpenLock") -> None:
    """Cut off the partial line of a process that was killed: Optuna would append to it."""
    if path.is_file() and _ends_within_a_line(path.read_bytes()):
        lock.acquire()  # another process may be writing that line
        try:
            content = path.read_bytes()
            if _ends_within_a_line(content):
                _log.warning("%s ended with a partial line of a process that was killed: it is dropped", path)
                os.truncate(path, content.rindex(b"\n") + 1)
        finally:
            lock.release()


def _ends_within_a_line(journal: bytes) -> bool:
    return _is_journal(journal) and b"\n" in journal and not journal.endswith(b"\n")


def _is_journal(content: bytes) -> bool:
    return content.startswith(b'{"op_code"')


def _data_base(url: str) -> "BaseStorage":
    """Open a database, trying again while another machine that starts at the same time creates its tables."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import DBAPIError, IntegrityError

    waiting: dict[str, Any] = (
        {"engine_kwargs": {"connect_args": {"timeout": _LOCKED}}} if url.startswith("sqlite") else {}
    )
    for _ in range(_TRIES):
        try:
            return RDBStorage(url, **waiting)
        except DBAPIError as error:
            if not (isinstance(error, IntegrityError) or "already exists" in str(error)):
                raise
            time.sleep(_PAUSE)
    return RDBStorage(url, **waiting)


def make_pruner(name: str, settings: Mapping[str, Any] | None) -> "BasePruner":
    """Build Optuna's pruner. Raises ConfigurationError for settings that it does not have."""
    from optuna import pruners

    classes = {
        "none": pruners.NopPruner,
        "median": pruners.MedianPruner,
        "successive_halving": pruners.SuccessiveHalvingPruner,
    }
    with in_one_line("hydra.sweeper.pruner_settings"):
        return classes[name](**settings or {})


@contextmanager
def in_one_line(key: str, advice: str = "") -> Iterator[None]:
    """Turn any error of Optuna or a database driver into a one-line ConfigurationError that ends with `advice`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{key} cannot be used: {_reason(error)}{advice}") from error


def _reason(error: Exception) -> str:
    """Return the driver's message without SQLAlchemy's statement, or the name of a package that is not installed."""
    missing = getattr(error.__cause__ or error, "name", None) if isinstance(error, ImportError) else None
    if missing:
        return f"it needs the package {missing}, which is not installed"
    if isinstance(error, JSONDecodeError):
        return "it is damaged or not an Optuna journal"
    cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
    return " ".join(str(cause).split())[:300] or type(error).__name__
