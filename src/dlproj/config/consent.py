"""Whose code may run: what the user has named in a training of their own, or has allowed.

Code that a folder of a run or a sweep names is compared with a file of hashes, that of what the user has named before.
A hash covers a name with its arguments; of files also their content, and of a module that is not installed its file.
"""

import hashlib
import json
import os
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dlproj.config.checks import UserError

COPIES = "code"  # folder in a run's folder with copies of the user's files, one folder a group
# The settings that name code, and the package of torch whose classes they name without consent.
NAMING = {
    "model.network": "",
    "data.load": "",
    "optim.target": "torch.optim",
    "scheduler.target": "torch.optim.lr_scheduler",
}
_TARGETS = ("metrics", "logger", "callbacks.extra", "figures.extra")  # groups of entries with a _target_
_allowed: set[str] = set()  # what may run in this process

_METRICS = "torchmetrics.classification."  # their arguments name no file and no server
_OWN = ("dlproj.", "lightning.pytorch.", "pytorch_lightning.")  # classes that may do so by a text
_FIGURE = {"_target_": "dlproj.reports.extra_figures.learning_rate"}  # any other function may get anything
_PLAIN_OF_HYDRA = ("hydra.mode", "hydra.sweep.", "hydra.run.", "hydra.sweeper.", "hydra.verbose")
_INSTALLED = tuple({f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def token(*what: Any) -> str:
    """A hash of what is named."""
    return hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()


def code_token(name: str, arguments: Mapping[str, Any], fingerprint: str | None = None) -> str:
    """A hash of a call: the code's name, its arguments, and the fingerprint of its files or where its module lies."""
    return token(name, arguments, fingerprint or _location(name))


def _location(name: str) -> str | None:
    """The file or folder of a module's package, as a folder may have another one of its name; None if installed."""
    package = name.replace(":", ".").partition(".")[0]
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    folders = list(spec.submodule_search_locations or []) if spec else []
    if spec is None or package == "dlproj" or not (folders or spec.has_location):  # the last: built into Python
        return None
    path = os.pathsep.join(folders) or str(spec.origin)
    return None if path.startswith(_INSTALLED) else path


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
                file.write("".join(f"{line}\n" for line in new))


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


def code_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """All code that a run's settings name and that needs consent: what a message says of it, by its token.

    settings: plain containers, with the class of each group under `schema`.
    """
    names = [str(name) for name in _at(settings, "schema").values()]
    code = dict(_call(name, {}) for name in names if "." in name and not name.startswith("dlproj."))
    for group in _TARGETS:
        for node in _at(settings, *group.split(".")).values():
            if isinstance(node, Mapping) and not _is_harmless(group, node):
                arguments = {key: value for key, value in node.items() if key != "_target_"}
                code |= [_call(str(node.get("_target_")), arguments)]
    for key in NAMING:
        group, name = key.split(".")
        own = _at(settings, group)
        if name in own and not is_of_torch(key, str(own[name])):
            code |= [_call(str(own[name]), own.get("arguments"), own.get("code"))]
    return code


def _call(name: str, arguments: Any, fingerprint: Any = None) -> tuple[str, str]:
    """The token of a call, and the call in words: name, arguments, and where the module lies unless it is installed."""
    given = [f"{key}={value!r}" for key, value in arguments.items()] if isinstance(arguments, Mapping) else []
    where = "" if fingerprint else _location(name)
    words = f"{name}({', '.join(given)})" if given else name
    return code_token(name, arguments, fingerprint), f"{words} in {where}" if where else words


def _is_harmless(group: str, node: Mapping[str, Any]) -> bool:
    """True for what can read, write, send and run nothing that its arguments name."""
    name = str(node.get("_target_"))
    if group == "metrics":
        return name.startswith(_METRICS)
    if group == "figures.extra":
        return node == _FIGURE
    numbers = all(isinstance(value, float | int | None) for key, value in node.items() if key != "_target_")
    return name.startswith(_OWN) and numbers


def is_of_torch(key: str, name: str) -> bool:
    """True for the name of a class of torch's that the setting `key` may name without consent."""
    package = NAMING[key]
    return bool(package) and name.startswith((f"{package}.", f"{package}:")) and ".py:" not in name


def _at(settings: Any, *path: str) -> Mapping[str, Any]:
    for key in path:
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return settings if isinstance(settings, Mapping) else {}


def admit_settings(settings: Mapping[str, Any], folder: Path, allow_code: bool) -> None:
    """Allow the code that the settings in a run's folder name.

    Raises UserError, which names all that is new, unless the user has trained with it before or allow_code is set.
    """
    code = code_of(settings)
    look = f"look at {folder / COPIES}" if (folder / COPIES).is_dir() else "see what that is"
    new = [words for token, words in code.items() if not may_run(token)]
    _admit(code, f"{folder} runs {', '.join(new)}", look, allow_code)


def admit_sweep(sweep: Path, overrides: Sequence[str], sources: Sequence[str], allow_code: bool) -> None:
    """Allow the command that a sweep's folder holds, if it can run code. Raises UserError as admit_settings() does.

    sources: folders of settings files.
    """
    telling = [*(text for text in overrides if _may_name_code(text)), *(f"--config-dir {folder}" for folder in sources)]
    tokens = [sweep_token(overrides, sources)] if telling else []
    _admit(tokens, f"{sweep} goes on with {' '.join(telling)}", f"look at {sweep / 'multirun.yaml'}", allow_code)


def sweep_token(overrides: Iterable[str], sources: Iterable[str]) -> str:
    """What tells the command of a sweep from any other."""
    return token("sweep", [text for text in overrides if not text.startswith("sweep.resume=")], [*sources])


def _may_name_code(override: str) -> bool:
    """True if the override names code, or arguments of it, or a file of settings elsewhere, which may do so."""
    key = override.partition("=")[0].lstrip("+~")
    of_hydra = key.startswith("hydra.") and not key.startswith(_PLAIN_OF_HYDRA)
    of_code = key in NAMING or ".arguments" in key or any(key.startswith(f"{group}.") for group in _TARGETS)
    of_group = "." not in key.partition("@")[0] and ("{" in override or ".." in override)  # a file anywhere
    return of_hydra or of_code or of_group or "_target_" in override or "${" in override


def _admit(tokens: Iterable[str], what: str, look: str, allow_code: bool) -> None:
    tokens = list(tokens)
    if not (allow_code or may_run(*tokens)):
        message = f"{what}, which you have not trained with here: {look}, then add --allow-code"
        raise UserError(f"{message} (from Python: allow_code=True)")
    allow(*tokens)
