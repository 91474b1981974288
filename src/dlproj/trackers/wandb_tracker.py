"""Weights & Biases as a tracker; its sweeps are groups of runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlproj.runs.choosing import LOGS
from dlproj.trackers.entry import Entry, identity

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

_ENDED_WELL = ("completed", "pruned", "diverged")


class WandbTracker:
    """Sends runs to a project of Weights & Biases, or with WANDB_MODE=offline to files for `wandb sync`."""

    def __init__(self, project: str | None = None) -> None:
        """project: by default that of WANDB_PROJECT, or else dlproj."""
        import wandb

        self._wandb = wandb
        self._settings = wandb.Settings(
            silent=True,
            console="off",
            save_code=False,
            disable_git=True,
            x_disable_stats=True,
            init_timeout=20,
            x_graphql_retry_max=2,
            x_file_stream_retry_max=2,
            x_file_transfer_retry_max=2,
        )
        self._project = project or self._settings.project or "dlproj"
        self._place = "/".join(filter(None, [self._settings.mode, self._settings.base_url, self._project]))
        self._run: Run | None = None  # of the entry that is being sent

    def send(self, entry: Entry) -> bool:
        """Send what was not sent from the run's folder; False if all was."""
        digest = entry.digest()
        with identity(entry.folder) as kept:
            key = f"wandb {self._place}"
            if kept.get(key) == digest:
                return False
            if self._run is not None and self._run.id != kept["id"]:
                self.close()
            if self._run is None:
                self._run = self._begin(entry, kept["id"])
            self._send(self._run, entry)
            if entry.status != "running":
                self._end(self._run, entry)
                kept[key] = digest
        return True

    def close(self) -> None:
        """End a run that was sent in part."""
        if self._run is not None:
            self._run.finish(exit_code=1)
            self._run = None

    def _begin(self, entry: Entry, run_id: str) -> "Run":
        sweep = entry.parent or (None if entry.settings else entry)
        LOGS.mkdir(exist_ok=True)
        return self._wandb.init(
            project=self._project,
            id=run_id,
            resume="allow",
            name=entry.name,
            group=sweep.name if sweep else None,
            config=entry.settings | {"dlproj": entry.facts},
            dir=str(LOGS.resolve()),
            settings=self._settings,
        )

    def _send(self, run: "Run", entry: Entry) -> None:
        for epoch, row in entry.epochs.items():
            if epoch >= run.step:
                run.log(row, step=epoch)

    def _end(self, run: "Run", entry: Entry) -> None:
        run.log(entry.outcome | self._pictures(entry.files), step=max(entry.last_epoch, run.step))
        run.summary.update(entry.outcome | {"status": entry.status})
        artifact = self._wandb.Artifact(f"run-{run.id}", type="run")
        for path in entry.files:
            artifact.add_file(str(path), path.relative_to(entry.folder).as_posix())
        run.log_artifact(artifact)
        run.finish(exit_code=0 if entry.status in _ENDED_WELL else 1)
        self._run = None

    def _pictures(self, files: list[Path]) -> dict[str, Any]:
        pictures = [path for path in files if path.suffix == ".png"]
        return {f"figures/{path.stem}": self._wandb.Image(str(path)) for path in pictures}
