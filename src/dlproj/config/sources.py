"""A Python file of the user's and the files beside it that it imports, run from memory as they were read."""

import ast
import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from dlproj.config.checks import ConfigurationError
from dlproj.config.signatures import parsed
from dlproj.file_systems import why


@dataclass(frozen=True, slots=True)
class Sources(MetaPathFinder, SourceLoader):  # type: ignore[misc]
    """A file of the user's and the files beside it that it imports, as the importer of their modules."""

    file: Path
    contents: Mapping[str, bytes]  # by path relative to the file's folder; the file itself comes first

    def fingerprint(self) -> str:
        """A hash of all names and contents: 32 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, content in sorted(self.contents.items()):
            digest.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape") + content)
        return digest.hexdigest()[:32]

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a module among the files."""
        stem = fullname.replace(".", "/")
        for name, folders in ((f"{stem}.py", None), (f"{stem}/__init__.py", [str(self.file.parent / stem)])):
            if name in self.contents:
                path = self.file.parent / name
                return spec_from_file_location(fullname, path, loader=self, submodule_search_locations=folders)
        return None

    def get_filename(self, fullname: str) -> str:
        """The module's file."""
        spec = self.find_spec(fullname)
        return str(spec.origin if spec else self.file)

    def get_data(self, path: str | bytes) -> bytes:
        """The file's content."""
        return self.contents[Path(os.fsdecode(path)).relative_to(self.file.parent).as_posix()]

    def module(self) -> ModuleType:
        """Import the file, once in a process, under a name that no other module has."""
        name = self._name()
        if name in sys.modules:
            return sys.modules[name]
        spec = spec_from_file_location(name, self.file, loader=self)
        assert spec is not None
        module = sys.modules[name] = module_from_spec(spec)
        try:
            with self.importable():
                exec(compile(self.contents[self.file.name], str(self.file), "exec"), module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def _name(self) -> str:
        return f"user_code_{hashlib.sha256(os.fsencode(self.file)).hexdigest()[:16]}_{self.fingerprint()}"

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Let imports find the files before any other module of their names; afterwards sys.modules is as before."""
        names = {Path(name).parts[0].removesuffix(".py") for name in self.contents}
        others = _pop_modules(names)
        sys.modules.update(_imported_before.get(self._name(), {}))
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)
            _imported_before[self._name()] = _pop_modules(names)
            sys.modules.update(others)


_imported_before: dict[str, dict[str, ModuleType]] = {}  # modules beside a file, by the name of the file's own


def _pop_modules(packages: set[str]) -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in packages}


def read_sources(key: str, file: Path) -> Sources:
    """Read the file and the files beside it that it imports, directly or not. Raises ConfigurationError.

    key: the setting that names the file.
    """
    contents, waiting = dict[str, bytes](), [file]
    while waiting:
        path = waiting.pop(0)
        name = path.relative_to(file.parent).as_posix()
        if name in contents:
            continue
        try:
            contents[name] = path.read_bytes()
        except OSError as error:
            message = f"{key} needs {path}, which cannot be read ({why(error)}): name another file"
            raise ConfigurationError(message) from error
        for module in _imported_packages(parsed(path, contents[name])):
            waiting += _files_of(file.parent, module)
    return Sources(file, contents)


def _imported_packages(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _files_of(folder: Path, module: str) -> list[Path]:
    if (folder / module / "__init__.py").is_file():
        return sorted((folder / module).rglob("*.py"))
    return [folder / f"{module}.py"] if (folder / f"{module}.py").is_file() else []
