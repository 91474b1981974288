"""Code of the user's own that settings name, as my_file.py:Net or package.module:Net: checked, allowed, loaded, kept.

Code runs only if it is allowed in this process: because the user has typed its name, or has run the same code, to the
byte, by its name before, or says so for a run's folder. A run keeps the files, and is used with these.
"""

import inspect
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from typing import Any, ClassVar

from dlproj.config.checks import ConfigurationError, UserError, require
from dlproj.config.consent import allow, may_run, names_of, remember, token
from dlproj.config.signatures import check_arguments, definition, definition_in_package, no_name, parsed
from dlproj.config.sources import Sources, read_sources

_log = logging.getLogger(__name__)
COPIES = "code"  # folder in a run's folder, with one folder a group


_sources: dict[str, Sources] = {}  # by their fingerprint


class UserCode:
    """A group of settings that names code: mixed into its class, which has the settings `arguments` and `code`."""

    __slots__ = ()
    key: ClassVar[str]  # the setting that names the code, such as "model.network"
    of_torch: ClassVar[str] = ""  # a package of torch whose classes need no permission
    positional: ClassVar[int] = 0  # parameters that dlproj sets by position
    filled: ClassVar[tuple[str, ...]] = ()  # parameters that dlproj sets unless they are given
    elsewhere: ClassVar[Mapping[str, str]] = {}  # arguments that are settings, and their names

    arguments: dict[str, Any]
    code: str | None

    def named(self) -> str:
        """What the settings name, as typed."""
        return str(getattr(self, self.key.partition(".")[2]))

    def place(self) -> tuple[str, str]:
        """File or module, and the name in it. Raises ConfigurationError."""
        text = self.named()
        place, colon, name = text.rpartition(":")
        if not colon and not text.endswith(".py"):
            place, _, name = text.rpartition(".")
        whole = bool(place.strip()) and name.isidentifier()
        is_module = all(part.isidentifier() for part in place.split("."))
        example = f"{self.of_torch or 'package.module'}{'.' if self.of_torch else ':'}Name"
        message = f"{self.key}={text} names no code: set such as my_file.py:Name or {example}"
        require(whole and (place.endswith(".py") or is_module), message)
        return place, name

    def file(self) -> Path | None:
        """The file that the settings name; None for a module."""
        place, _ = self.place()
        try:
            return Path(place).expanduser().absolute() if place.endswith(".py") else None
        except RuntimeError as error:  # no such user
            raise ConfigurationError(f"{self.key}={self.named()}: {error}: name another file") from error

    def needs_permission(self) -> bool:
        """False for a class of torch's."""
        place, _ = self.place()
        return not (self.of_torch and f"{place}.".startswith(f"{self.of_torch}."))

    def token(self) -> str:
        """What tells this code with its arguments from any other."""
        return token(self.named(), self.arguments, self.code)

    def check_code(self) -> None:
        """Read the code that the user has named, without running it, and allow it.

        Sets `code`. Raises ConfigurationError if it lacks the name or does not take the arguments.
        """
        (place, name), file = self.place(), self.file()
        self.code = None  # type: ignore[misc]
        if file is None:
            found = definition_in_package(self.key, place, name)
        else:
            message = f"{self.key}={self.named()}: there is no file {file}: name another"
            require(file.is_file(), message)
            sources = read_sources(self.key, file)
            self.code = sources.fingerprint()  # type: ignore[misc]
            _sources[sources.fingerprint()] = sources
            found = definition(self.key, place, file, name, parsed(self.key, file, sources.contents[file.name]))
        parameters = found.parameters() if found else None
        if parameters is not None:
            self.check_given(name, parameters)
        self.allow()
        remember(self.token())

    def check_given(self, name: str, parameters: list[inspect.Parameter]) -> None:
        """Raise ConfigurationError unless `name` takes the arguments."""
        key = f"{self.key.partition('.')[0]}.arguments"
        for argument, setting in self.elsewhere.items():
            require(argument not in self.arguments, f"{key}.{argument} is a setting of its own: set {setting}")
        named = [one for one in parameters if one.kind is not inspect.Parameter.VAR_POSITIONAL]
        ours = [one.name for one in named[: self.positional]]
        mine = [one for one in self.arguments if one in ours]
        require(not mine, f"{key}.{''.join(mine[:1])} is set by dlproj: leave it out")
        check_arguments(key, name, named[self.positional :], self.arguments, self.filled)

    def allow(self) -> None:
        """Let this code run in this process."""
        allow(self.token())

    def make(self, *positional: Any, **available: Any) -> Any:
        """Call the code with its arguments, and with those of `available` that it takes and that are not given.

        Raises ConfigurationError, with the line of the user's file, if that fails.
        """
        _, name = self.place()
        with told(self.key, self.named()):
            function = self._loaded()
            takes = list(inspect.signature(function).parameters.values())
            self.check_given(name, takes)
            filled = {one.name: available[one.name] for one in takes if one.name in available}
            with _sources[str(self.code)].importable() if self.file() else nullcontext():  # imports within functions
                return function(*positional, **filled | deepcopy(self.arguments))

    def _loaded(self) -> Any:
        place, name = self.place()
        allowed = not self.needs_permission() or may_run(self.token())
        require(allowed, f"{self.key}={self.named()} may not run here: train with it, or allow the run's code")
        if self.file():
            require(self.code in _sources, f"{self.key}={self.named()} has not been read: start again")
            module = _sources[str(self.code)].module()
        else:
            module = import_module(place)
        if not hasattr(module, name):
            raise no_name(self.key, place, name, vars(module))
        found = getattr(module, name)
        require(callable(found), f"{self.key}={self.named()} is no class and no function: name one")
        is_torch = isinstance(found, type) and found.__module__.startswith("torch.optim")
        require(is_torch or self.needs_permission(), f"{self.key}={self.named()} is no class of {self.of_torch}")
        return found


def parts_with_code(config: Any, all_code: bool = False) -> dict[str, UserCode]:
    """The groups of a run's settings that name code, by name: that which needs permission, or all."""
    groups = {name: getattr(config, name) for name in ("data", "model", "optim", "scheduler")}
    parts = {name: one for name, one in groups.items() if isinstance(one, UserCode)}
    return {name: one for name, one in parts.items() if all_code or one.needs_permission()}


def copies(config: Any) -> dict[str, bytes]:
    """The files that a run keeps, by their path in its folder."""
    parts = {name: _sources[one.code].contents for name, one in parts_with_code(config).items() if one.code in _sources}
    return {f"{COPIES}/{group}/{name}": content for group, files in parts.items() for name, content in files.items()}


def shown(config: Any) -> str:
    """The code that a run runs, in words; "" if it has none."""
    return ", ".join(dict.fromkeys(one.place()[0] for one in parts_with_code(config).values()))


def admit(config: Any, folder: Path) -> None:
    """Allow the code of settings that another process of this run has checked, and read it: the run's copy or the file.

    Raises ConfigurationError if the file has changed since.
    """
    allow(*names_of(config.settings()).values())
    for group, part in parts_with_code(config).items():
        file = part.file()
        if file and part.code not in _sources:
            copy = _copy(folder, group, file.name)
            sources = copy if copy and copy.fingerprint() == part.code else read_sources(part.key, file)
            require(
                sources.fingerprint() == part.code, f"{part.named()} has changed since the run began: start it again"
            )
            _sources[str(part.code)] = sources
        part.allow()


def admit_run(config: Any, folder: Path, allow_code: bool, typed: Collection[str] = ()) -> None:
    """Allow the code of a run that was read from its folder, and use the run's copy of it.

    typed: groups whose code the user has named just now. Raises UserError unless the user has run this very code by its
    name before, or allow_code is set.
    """
    parts = {name: one for name, one in parts_with_code(config).items() if name not in typed}
    known = may_run(*(part.token() for part in parts.values()))
    look = f"look at {folder / COPIES}" if any(part.file() for part in parts.values()) else "see what that is"
    message = (
        f"{folder} runs code of {shown(config)}, which you have not trained with here: {look}, then add --allow-code"
    )
    if not (allow_code or known):
        raise UserError(f"{message} (from Python: allow_code=True)")
    for group, part in parts.items():
        if file := part.file():
            copy = _copy(folder, group, file.name)
            whole = copy is not None and copy.fingerprint() == part.code
            message = f"{folder / COPIES / group} is not the code that the run was trained with"
            require(whole, f"{message}: take the run's folder from another copy")
            assert copy is not None
            _sources[copy.fingerprint()] = copy
            if _has_changed(file, copy):
                _log.warning("%s has changed: %s uses its own copy", part.place()[0], folder)
        part.allow()


def _has_changed(file: Path, copy: Sources) -> bool:
    try:
        return file.read_bytes() != copy.contents[file.name]
    except (OSError, ValueError):  # it is not here at all
        return False


def _copy(folder: Path, group: str, name: str) -> Sources | None:
    root = (folder / COPIES / group).absolute()
    names = [name, *sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))]
    try:
        return Sources(root / name, {one: (root / one).read_bytes() for one in dict.fromkeys(names)})
    except (OSError, ValueError):
        return None


def line_of(error: BaseException) -> str | None:
    """Where in the user's own files the error was raised, and the error: one line; None if not in them."""
    files = {str(one.file.parent / name): one for one in _sources.values() for name in one.contents}
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename in files]
    if not frames:
        return None
    last = frames[-1]
    within = f", in {last.name}" if last.name != "<module>" else ""
    text = " ".join(str(error).split())
    path = os.path.relpath(last.filename)
    path = last.filename if path.startswith("..") else path
    return f"{path} line {last.lineno}{within}: {type(error).__name__}{f': {text}' if text else ''}"


@contextmanager
def told(key: str, named: str) -> Iterator[None]:
    """Raise what goes wrong in the user's code as a ConfigurationError, with the line of the user's file."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        reason = (
            line_of(error) or f"{key}={named} cannot be used: {type(error).__name__}: {' '.join(str(error).split())}"
        )
        raise ConfigurationError(reason) from error
