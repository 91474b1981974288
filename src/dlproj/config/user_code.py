"""Code of the user's own that settings name, as my_file.py:Net or package.module:Net: checked, loaded, kept with a run.

Code runs only if consent.py allows it in this process. A run keeps copies of the files, and is used with these.
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
from dlproj.config.consent import COPIES, NAMING, allow, code_of, code_token, is_of_torch, may_run, remember
from dlproj.config.signatures import check_arguments, definition, definition_in_package, no_name, parsed
from dlproj.config.sources import Sources, read_sources

_log = logging.getLogger(__name__)
_sources: dict[str, Sources] = {}  # by their fingerprint


class UserCode:
    """A group of settings that names code: mixed into its class, which has the settings `arguments` and `code`."""

    __slots__ = ()
    key: ClassVar[str]  # the setting that names the code, such as "model.network"
    positional: ClassVar[int] = 0  # parameters that dlproj passes by position
    filled: ClassVar[tuple[str, ...]] = ()  # parameters that dlproj passes unless `arguments` has them
    own_settings: ClassVar[Mapping[str, str]] = {}  # parameters that `arguments` may not have, and their settings

    arguments: dict[str, Any]
    code: str | None

    def reference(self) -> str:
        """The code as typed, such as my_file.py:Net."""
        return str(getattr(self, self.key.partition(".")[2]))

    def source(self) -> tuple[str, str]:
        """The file or module, and the name in it. Raises ConfigurationError if the reference has not both."""
        text = self.reference()
        source, colon, name = text.rpartition(":")
        if not colon and not text.endswith(".py"):
            source, _, name = text.rpartition(".")
        is_module = all(part.isidentifier() for part in source.split("."))
        torch = NAMING[self.key]
        example = f"{torch}.Name" if torch else "package.module:Name"
        message = f"{self.key}={text} names no code: set such as my_file.py:Name or {example}"
        require(bool(source.strip()) and name.isidentifier() and (source.endswith(".py") or is_module), message)
        return source, name

    def file(self) -> Path | None:
        """The file that the settings name; None for a module."""
        source, _ = self.source()
        try:
            return Path(source).expanduser().absolute() if source.endswith(".py") else None
        except RuntimeError as error:  # no such user
            raise ConfigurationError(f"{self.key}={self.reference()}: {error}: name another file") from error

    def is_of_torch(self) -> bool:
        """True for a class of torch's, which needs no consent."""
        return is_of_torch(self.key, self.reference())

    def token(self) -> str:
        """What tells this code with its arguments from any other."""
        return code_token(self.reference(), self.arguments, self.code)

    def check_code(self) -> None:
        """Read the code that the user has named, without running it, and allow it from now on.

        Sets `code`. Raises ConfigurationError if it lacks the name or does not take the arguments.
        """
        (source, name), file = self.source(), self.file()
        self.code = None  # type: ignore[misc]
        if file is None:
            defined = definition_in_package(self.key, source, name)
        else:
            require(file.is_file(), f"{self.key}={self.reference()}: there is no file {file}: name another")
            sources = read_sources(self.key, file)
            self.code = sources.fingerprint()  # type: ignore[misc]
            _sources[self.code] = sources
            defined = definition(self.key, source, file, name, parsed(file, sources.contents[file.name]))
        parameters = defined.parameters() if defined else None
        if parameters is not None:
            self.check_given(name, parameters)
        remember(self.token())

    def check_given(self, name: str, parameters: list[inspect.Parameter]) -> None:
        """Raise ConfigurationError unless `name` takes the arguments."""
        key = f"{self.key.partition('.')[0]}.arguments"
        for argument, setting in self.own_settings.items():
            require(argument not in self.arguments, f"{key}.{argument} is a setting of its own: set {setting}")
        named = [parameter for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_POSITIONAL]
        for parameter in named[: self.positional]:
            require(parameter.name not in self.arguments, f"{key}.{parameter.name} is set by dlproj: leave it out")
        check_arguments(key, name, named[self.positional :], self.arguments, self.filled)

    def allow(self) -> None:
        """Let this code run in this process."""
        allow(self.token())

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise what goes wrong in the code as a ConfigurationError, with the line of the user's file."""
        try:
            yield
        except (UserError, MemoryError):
            raise
        except Exception as error:
            unusable = f"{self.key}={self.reference()} cannot be used: {type(error).__name__}: {error}"
            hint = f": change {self.key.partition('.')[0]}.arguments" if self.is_of_torch() else ""
            raise ConfigurationError(line_of(error) or " ".join(unusable.split()) + hint) from error

    def make(self, *positional: Any, **available: Any) -> Any:
        """Call the code with its arguments, and with those of `available` that it takes and that are not given.

        Raises ConfigurationError, with the line of the user's file, if that fails.
        """
        _, name = self.source()
        with self.errors():
            function = self._loaded()
            parameters = list(inspect.signature(function).parameters.values())
            self.check_given(name, parameters)
            filled = {each.name: available[each.name] for each in parameters if each.name in available}
            lacking = [each.name for each in parameters if each.name in self.filled and each.default is each.empty]
            lacking = [argument for argument in lacking if argument not in {*filled, *self.arguments}]
            has_none = f"{name} needs {' and '.join(lacking)}, which this data does not have"
            require(not lacking, f"{has_none}: set {self.key.partition('.')[0]}.arguments, or other data")
            with _sources[str(self.code)].importable() if self.file() else nullcontext():  # imports within functions
                return function(*positional, **filled | deepcopy(self.arguments))

    def _loaded(self) -> Any:
        (source, name), typed = self.source(), f"{self.key}={self.reference()}"
        allowed = self.is_of_torch() or may_run(self.token())
        require(allowed, f"{typed} may not run here: train with it, or allow the run's code")
        if self.file():
            require(self.code in _sources, f"{typed} has not been read: start again")
            module = _sources[str(self.code)].module()
        else:
            module = import_module(source)
        if not hasattr(module, name):
            raise no_name(self.key, source, name, vars(module))
        loaded = getattr(module, name)
        require(callable(loaded), f"{typed} is no class and no function: name one")
        is_optim = isinstance(loaded, type) and loaded.__module__.startswith("torch.optim")
        require(is_optim or not self.is_of_torch(), f"{typed} is no class of {NAMING[self.key]}")
        return loaded


def parts_with_code(config: Any) -> dict[str, UserCode]:
    """The groups of a run's settings that name code, by name."""
    groups = {name: getattr(config, name) for name in ("data", "model", "optim", "scheduler")}
    return {name: part for name, part in groups.items() if isinstance(part, UserCode)}


def _parts_in_files(config: Any) -> dict[str, tuple[UserCode, Path]]:
    files = {name: (part, part.file()) for name, part in parts_with_code(config).items()}
    return {name: (part, file) for name, (part, file) in files.items() if file}


def copies(config: Any) -> dict[str, bytes]:
    """The files that a run keeps, by their path in its folder."""
    kept = {group: _sources[str(part.code)].contents for group, (part, _) in _parts_in_files(config).items()}
    return {f"{COPIES}/{group}/{name}": content for group, files in kept.items() for name, content in files.items()}


def code_in_words(config: Any) -> str:
    """The files and modules that a run runs code of; "" if it has none but torch's."""
    parts = [part for part in parts_with_code(config).values() if not part.is_of_torch()]
    return ", ".join(dict.fromkeys(part.source()[0] for part in parts))


def admit(config: Any, folder: Path) -> None:
    """Allow the code of settings that another process of this run has checked, and read it: the run's copy or the file.

    Raises ConfigurationError if the file has changed since.
    """
    allow(*code_of(config.settings()))
    for group, (part, file) in _parts_in_files(config).items():
        if part.code not in _sources:
            copy = _copy(folder, group, file.name)
            sources = copy if copy and copy.fingerprint() == part.code else read_sources(part.key, file)
            message = f"{part.reference()} has changed since the run began: start it again"
            require(sources.fingerprint() == part.code, message)
            _sources[str(part.code)] = sources


def read_copies(config: Any, folder: Path, typed: Collection[str] = ()) -> None:
    """Use the run's own copies of its code, to which the user consented when its settings were loaded.

    typed: groups whose code the user has named just now. Raises ConfigurationError if a copy is not that code.
    """
    for group, (part, file) in _parts_in_files(config).items():
        if group in typed:
            continue
        copy = _copy(folder, group, file.name)
        if copy is None or copy.fingerprint() != part.code:
            message = f"{folder / COPIES / group} is not the code that the run was trained with"
            raise ConfigurationError(f"{message}: take the run's folder from another copy")
        _sources[copy.fingerprint()] = copy
        if _has_changed(file, copy):
            _log.warning("%s has changed: %s uses its own copy", part.source()[0], folder)


def _has_changed(file: Path, copy: Sources) -> bool:
    try:
        return file.read_bytes() != copy.contents[file.name]
    except (OSError, ValueError):  # it is not here at all
        return False


def _copy(folder: Path, group: str, name: str) -> Sources | None:
    root = (folder / COPIES / group).absolute()
    names = [name, *sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))]
    try:
        return Sources(root / name, {each: (root / each).read_bytes() for each in dict.fromkeys(names)})
    except (OSError, ValueError):
        return None


def line_of(error: BaseException) -> str | None:
    """The last line of the user's own files in the error's traceback, with the error; None without such a line."""
    files = {str(sources.file.parent / name) for sources in _sources.values() for name in sources.contents}
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename in files]
    if not frames:
        return None
    last = frames[-1]
    within = f", in {last.name}" if last.name != "<module>" else ""
    text = " ".join(str(error).split())
    path = os.path.relpath(last.filename)
    path = last.filename if path.startswith("..") else path
    return f"{path} line {last.lineno}{within}: {type(error).__name__}{f': {text}' if text else ''}"
