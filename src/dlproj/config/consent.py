"""Whose code may run: what the user has named in a training of their own, or has allowed.

Code that a folder of a run or a sweep names is compared with a file of hashes, that of what the user has named before.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlproj.config.checks import UserError

_allowed: set[str] = set()  # what may run in this process

# Packages whose names in settings need no consent: classes of the kind that is expected are made, nothing else.
_KNOWN = ("dlproj", "lightning", "pytorch_lightning", "torch", "torchmetrics")
_KNOWN_FIGURES = ("dlproj.reports.extra_figures.learning_rate",)  # a function gets any arguments, so each is named
_CODE = ("model.network", "data.load", "optim.target", "scheduler.target")
_PLAIN_OF_HYDRA = ("hydra.mode", "hydra.sweep.", "hydra.run.", "hydra.sweeper.", "hydra.verbose")


def token(*what: Any) -> str:
    """A hash of what is named."""
    return hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()


def allow(*tokens: str) -> None:
    """Let this run in this process."""
    _allowed.update(tokens)


def remember(*tokens: str) -> None:
    """Let this run in this process and in later ones of the user."""
    allow(*tokens)
    with suppress(OSError):  # a home that cannot be written to: the user is asked
        if new := sorted({*tokens} - _remembered()):
            _record().parent.mkdir(parents=True, exist_ok=True)
            with _record().open("a", encoding="ascii") as file:
                file.write("".join(f"{one}\n" for one in new))


def may_run(*tokens: str) -> bool:
    """True if all of it may run in this process, or was named before."""
    return {*tokens} <= _allowed or {*tokens} <= _allowed | _remembered()


def _record() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "dlproj" / "allowed-code"


def _remembered() -> set[str]:
    try:
        return set(_record().read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return set()


def names_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Tokens of what a run's settings have imported or called by a name that is not dlproj's own, by that name.

    settings: plain containers, with the class of each group under `schema`.
    """
    schema = [name for name in _entries(settings, "schema") if isinstance(name, str) and "." in name]
    groups = (("metrics",), ("logger",), ("callbacks", "extra"))
    nodes = [node for group in groups for node in _entries(settings, *group) if isinstance(node, Mapping)]
    names = [*schema, *(str(node.get("_target_")) for node in nodes)]
    found = {name: token(name) for name in names if name.partition(".")[0] not in _KNOWN}
    for node in _entries(settings, "figures", "extra"):
        if isinstance(node, Mapping) and node.get("_target_") not in _KNOWN_FIGURES:
            found[str(node.get("_target_"))] = token(node)
    return found


def _entries(settings: Any, *path: str) -> Iterator[Any]:
    for key in path:
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    yield from settings.values() if isinstance(settings, Mapping) else ()


def admit_names(settings: Mapping[str, Any], folder: Path, allow_code: bool) -> None:
    """Allow what the settings in a run's folder name.

    Raises UserError unless the user has named the same in a training before, or allow_code is set.
    """
    found = names_of(settings)
    _admit(found.values(), f"{folder} names {', '.join(found)}", "see what that is", allow_code)


def admit_sweep(sweep: Path, overrides: Sequence[str], sources: Sequence[str], allow_code: bool) -> None:
    """Allow the command that a sweep's folder holds, if it can run code. Raises UserError as admit_names() does.

    sources: folders of settings files.
    """
    telling = [*(text for text in overrides if _may_name_code(text)), *(f"--config-dir {one}" for one in sources)]
    tokens = [sweep_token(overrides, sources)] if telling else []
    _admit(tokens, f"{sweep} goes on with {' '.join(telling)}", f"look at {sweep / 'multirun.yaml'}", allow_code)


def sweep_token(overrides: Iterable[str], sources: Iterable[str]) -> str:
    """What tells the command of a sweep from any other."""
    return token("sweep", [one for one in overrides if not one.startswith("sweep.resume=")], [*sources])


def _may_name_code(override: str) -> bool:
    key = override.partition("=")[0].lstrip("+~")
    of_hydra = key.startswith("hydra.") and not key.startswith(_PLAIN_OF_HYDRA)
    whole_group = "." not in key and "{" in override
    return key in _CODE or of_hydra or whole_group or "_target_" in override or "${" in override


def _admit(tokens: Iterable[str], what: str, look: str, allow_code: bool) -> None:
    tokens = list(tokens)
    if not (allow_code or may_run(*tokens)):
        message = f"{what}, which you have not trained with here: {look}, then add --allow-code"
        raise UserError(f"{message} (from Python: allow_code=True)")
    allow(*tokens)
