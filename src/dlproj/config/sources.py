"""A Python file of the user's with the files beside it that it imports, run from memory as they were read."""

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

from dlproj.config.signatures import parsed


@dataclass(frozen=True, slots=True)
class Sources(MetaPathFinder, SourceLoader):  # type: ignore[misc]
    """A file of the user's and the files beside it that it imports; imported from memory, as they were when read."""

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
        for name, below in ((f"{stem}.py", None), (f"{stem}/__init__.py", [str(self.file.parent / stem)])):
            if name in self.contents:
                place = self.file.parent / name
                return spec_from_file_location(fullname, place, loader=self, submodule_search_locations=below)
        return None

    def get_filename(self, fullname: str) -> str:
        """The module's file."""
        spec = self.find_spec(fullname)
        return str(spec.origin if spec else self.file)

    def get_data(self, path: str | bytes) -> bytes:
        """The file's content."""
        return self.contents[Path(os.fsdecode(path)).relative_to(self.file.parent).as_posix()]

    def module(self) -> ModuleType:
        """Run the file as a module, under a name that no other module has."""
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
        """Let imports find the files, and leave nothing of them among the modules of the process."""
        tops = {Path(name).parts[0].removesuffix(".py") for name in self.contents}
        hidden = _taken_out(tops)
        sys.modules.update(_imported_before.get(self._name(), {}))
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)
            _imported_before[self._name()] = _taken_out(tops)
            sys.modules.update(hidden)


_imported_before: dict[str, dict[str, ModuleType]] = {}  # modules beside a file, by the name of its own


def _taken_out(tops: set[str]) -> dict[str, ModuleType]:
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in tops}


def read_sources(key: str, file: Path) -> Sources:
    """Read the file and the files beside it that it imports, directly or not. Raises ConfigurationError."""
    folder, contents, waiting = file.parent, dict[str, bytes](), [file]
    while waiting:
        path = waiting.pop(0)
        name = path.relative_to(folder).as_posix()
        if name in contents:
            continue
        tree = parsed(key, path)
        contents[name] = path.read_bytes()
        for module in _imported(tree):
            waiting += _beside(folder, module)
    return Sources(file, contents)


def _imported(tree: ast.Module) -> Iterator[str]:
    """Names of the packages that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _beside(folder: Path, module: str) -> list[Path]:
    if (folder / module / "__init__.py").is_file():
        return sorted((folder / module).rglob("*.py"))
    return [folder / f"{module}.py"] if (folder / f"{module}.py").is_file() else []
