"""MLflow as a tracker: by its client, to a local store or a server."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dlproj.config.checks import UserError
from dlproj.file_systems import lock
from dlproj.runs.choosing import LOGS
from dlproj.trackers.entry import Entry, identity

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_ID, _DIGEST = "dlproj.id", "dlproj.digest"  # tags of MLflow's runs
_LOCAL = "sqlite:///"
_STATUS = {"running": "RUNNING", "interrupted": "KILLED", "failed": "FAILED"}  # others are FINISHED
# Characters that servers before MLflow 2.10 take.
_LONGEST_PARAMETER, _LONGEST_TAG = 500, 5000


class MLflowTracker:
    """Sends runs to an experiment of an MLflow store."""

    def __init__(self, tracking_uri: str | None = None, experiment: str | None = None) -> None:
        """tracking_uri: by default that of MLFLOW_TRACKING_URI, or else a database in logs/."""
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{_LOCAL}{LOGS.resolve()}/mlflow.db"
        with self._alone():
            self.client = self._client()
            self._experiment = self._experiment_id(experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "dlproj")
        self._sent: dict[str, set[tuple[str, int]]] = {}  # metrics and steps by run of MLflow

    def _client(self) -> "MlflowClient":
        from mlflow.tracking import MlflowClient
        from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

        try:
            return MlflowClient(self._uri)
        except UnsupportedModelRegistryStoreURIException as error:
            scheme, begins = self._uri.partition(":")[0], "http://, https:// or sqlite:///"
            raise UserError(f"MLflow has no address that begins with {scheme}:, but with {begins}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes out while the tables of a local database are made, which MLflow itself does not."""
        if not self._uri.startswith(_LOCAL):
            yield
            return
        database = Path(self._uri.removeprefix(_LOCAL))
        database.parent.mkdir(parents=True, exist_ok=True)
        with database.with_name(f".{database.name}.lock").open("a") as file:
            lock(file, wait=True)
            yield

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        if found := self.client.get_experiment_by_name(name):
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(name, self._artifacts(name)))
        except MlflowException:
            if found := self.client.get_experiment_by_name(name):  # another process has made it meanwhile
                return str(found.experiment_id)
            raise

    def _artifacts(self, experiment: str) -> str | None:
        """Where a local store keeps files: in a hidden folder, since they include whole runs; a server has its own."""
        if not self._uri.startswith(_LOCAL):
            return None
        return (Path(self._uri.removeprefix(_LOCAL)).resolve().parent / ".mlflow" / experiment).as_uri()

    def send(self, entry: Entry) -> bool:
        """Send what MLflow does not have yet; False if it has all."""
        run = self._run(entry)
        run_id = run.info.run_id
        ended = entry.status != "running"
        digest = entry.digest() if ended else ""
        if ended and run.data.tags.get(_DIGEST) == digest:
            return False
        self._send_settings(run, entry)
        self._send_metrics(run, entry)
        if not ended:
            if run.info.status != "RUNNING":
                self.client.update_run(run_id, "RUNNING")
            return True
        for path in entry.files:
            below = path.parent.relative_to(entry.folder).as_posix()
            self.client.log_artifact(run_id, str(path), None if below == "." else below)
        self.client.set_terminated(run_id, _STATUS.get(entry.status, "FINISHED"), int(entry.end * 1000))
        self.client.set_tag(run_id, _DIGEST, digest)
        return True

    def close(self) -> None:
        """Do nothing: everything is sent at once."""

    def _run(self, entry: Entry) -> "Run":
        """MLflow's run of the entry, made if there is none."""
        with identity(entry.folder) as kept:
            found = self.client.search_runs([self._experiment], f"tags.`{_ID}` = '{kept['id']}'", max_results=1)
            if found:
                return found[0]
            tags = {_ID: kept["id"], "mlflow.source.name": "dlproj", "mlflow.source.type": "LOCAL"}
            if entry.parent:
                tags["mlflow.parentRunId"] = self._run(entry.parent).info.run_id
            if commit := entry.facts.get("git_commit"):
                tags["mlflow.source.git.commit"] = commit.removesuffix("+")
            run = self.client.create_run(self._experiment, int(entry.start * 1000), tags, entry.name)
        self._sent[run.info.run_id] = set()
        return run

    def _send_settings(self, run: "Run", entry: Entry) -> None:
        from mlflow.entities import Param, RunTag

        # A parameter of MLflow cannot change: of a run that was made longer, the tags and config.yaml have the new one.
        params = [
            Param(_name(key), str(value)[:_LONGEST_PARAMETER])
            for key, value in entry.settings.items()
            if _name(key) not in run.data.params
        ]
        facts = {"dlproj.status": entry.status} | {f"dlproj.{name}": words for name, words in entry.facts.items()}
        tags = [RunTag(key, words[:_LONGEST_TAG]) for key, words in facts.items()]
        for i in range(0, len(params), 100):  # as many as MLflow takes at once
            self.client.log_batch(run.info.run_id, params=params[i : i + 100])
        self.client.log_batch(run.info.run_id, tags=tags)

    def _send_metrics(self, run: "Run", entry: Entry) -> None:
        from mlflow.entities import Metric

        run_id = run.info.run_id
        if run_id not in self._sent:
            self._sent[run_id] = {
                (key, point.step) for key in run.data.metrics for point in self.client.get_metric_history(run_id, key)
            }
        points = [
            Metric(_name(key), value, int(entry.time_of(epoch) * 1000), epoch)
            for epoch, row in [*entry.epochs.items(), (entry.last_epoch, entry.outcome)]
            for key, value in row.items()
            if (_name(key), epoch) not in self._sent[run_id]
        ]
        for i in range(0, len(points), 1000):
            self.client.log_batch(run_id, metrics=points[i : i + 1000])
        self._sent[run_id] |= {(point.key, point.step) for point in points}


def _name(key: str) -> str:
    return re.sub(r"[^\w/. -]", "_", key, flags=re.ASCII)
