"""Weights & Biases as a tracker; its sweeps are groups of runs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlproj.runs.choosing import LOGS
from dlproj.trackers.entry import Entry, identity

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run

_DIGEST = "dlproj_digest"  # in the summary of wandb's runs
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
        self._project = project or os.environ.get("WANDB_PROJECT") or "dlproj"
        self._offline = wandb.setup().settings.mode == "offline"
        self._run: Run | None = None  # of the entry that is being sent

    def send(self, entry: Entry) -> bool:
        """Send what wandb does not have yet; False if it has all: the server knows, of offline runs the folder."""
        digest, key = entry.digest(), f"wandb offline {self._project}"
        with identity(entry.folder) as kept:
            if self._offline and kept.get(key) == digest:
                return False
            if self._run is not None and self._run.id != kept["id"]:
                self.close()
            if self._run is None:
                self._run = self._begin(entry, kept["id"])
            if self._run.summary.get(_DIGEST) == digest:
                self._finish(self._run, entry)
                return False
            self._send(self._run, entry)
            if entry.status != "running":
                self._send_outcome(self._run, entry, digest)
                self._finish(self._run, entry)
                kept |= {key: digest} if self._offline else {}
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

    def _send_outcome(self, run: "Run", entry: Entry, digest: str) -> None:
        run.log(entry.outcome | self._pictures(entry.files), step=max(entry.last_epoch, run.step))
        artifact = self._wandb.Artifact(f"run-{run.id}", type="run")
        for path in entry.files:
            artifact.add_file(str(path), path.relative_to(entry.folder).as_posix())
        run.log_artifact(artifact)
        if not self._offline:
            artifact.wait()
        run.summary.update(entry.outcome | {"status": entry.status, _DIGEST: digest})

    def _finish(self, run: "Run", entry: Entry) -> None:
        run.finish(exit_code=0 if entry.status in _ENDED_WELL else 1)
        self._run = None

    def _pictures(self, files: list[Path]) -> dict[str, Any]:
        pictures = [path for path in files if path.suffix == ".png"]
        return {f"figures/{path.stem}": self._wandb.Image(str(path)) for path in pictures}
