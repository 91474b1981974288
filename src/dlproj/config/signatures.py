"""What a class or function of the user's takes, read from its source without running it; and whether arguments fit."""

import ast
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from inspect import Parameter
from pathlib import Path
from typing import NamedTuple

from dlproj.config.checks import ConfigurationError, require
from dlproj.file_systems import why

_LONGEST_TRAIL = 8  # modules that pass a name on


class Found(NamedTuple):
    """A definition in a source file; node is None where only running the code tells what the name is."""

    file: Path
    node: ast.ClassDef | ast.FunctionDef | None

    def parameters(self) -> list[Parameter] | None:
        """What it takes, without self; None where only running the code tells."""
        if self.node is None or self.node.decorator_list:
            return None
        if isinstance(self.node, ast.FunctionDef):
            return list(_parameters(self.node.args))
        for part in self.node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                return list(_parameters(part.args))[1:]
        return None


def parsed(key: str, file: Path, content: bytes | None = None) -> ast.Module:
    """The file's syntax tree. Raises ConfigurationError, which names the line of a mistake."""
    try:
        return ast.parse(file.read_bytes() if content is None else content)
    except OSError as error:
        raise ConfigurationError(
            f"{key} names {file}, which cannot be read ({why(error)}): set another file"
        ) from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise ConfigurationError(f"{file}{line} cannot be read as Python ({reason}): correct it") from error


def definition(key: str, where: str, file: Path, name: str, tree: ast.Module) -> Found:
    """The definition of `name` in the file, also where that imports it. Raises ConfigurationError if it has none.

    where: what a message calls the file.
    """
    found = _defined(file, name, tree)
    if found:
        return found
    raise no_name(key, where, name, _names(tree))


def no_name(key: str, where: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """The error for a name that a file or module does not have, with the nearest that it has."""
    near = get_close_matches(name, known := sorted(known), n=1)
    public = [one for one in known if not one.startswith("_")]
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(public[:10]) or 'no class and no function'}"
    return ConfigurationError(f"{key}: {where} has no {name}: {hint}")


def definition_in_package(key: str, module: str, name: str) -> Found | None:
    """As definition(), of an installed module; None where its source cannot be read. Nothing of it is imported."""
    top = module.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    require(spec is not None, f"{key}: there is no package {top}: install it, or name a file, my_file.py:{name}")
    file = _module_file(module)
    return definition(key, module, file, name, parsed(key, file)) if file else None


def _module_file(module: str) -> Path | None:
    top, *below = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    if not below:
        return Path(spec.origin)
    path = Path(spec.origin).parent.joinpath(*below)
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)


def _defined(file: Path, name: str, tree: ast.Module, trail: int = 0) -> Found | None:
    """The last definition of the name at the top of the file; None if it has none."""
    found = None
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            found = Found(file, node)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and trail < _LONGEST_TRAIL:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    found = _imported(file, node.module or "", alias.name, trail)
    return found or (Found(file, None) if name in _names(tree) or _is_open(tree) else None)


def _imported(file: Path, module: str, name: str, trail: int) -> Found:
    beside = file.parent.joinpath(*module.split(".")).with_suffix(".py")
    origin = beside if beside.is_file() else _module_file(module)
    try:
        tree = ast.parse(origin.read_bytes()) if origin else None
    except (OSError, SyntaxError, ValueError):
        tree = None
    found = _defined(origin, name, tree, trail + 1) if origin and tree else None
    return found or Found(file, None)


def _names(tree: ast.Module) -> set[str]:
    """What is bound at the top of the file, also within its if and try."""
    names = set()
    for node in _walk_top(tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _walk_top(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk_top(list(ast.iter_child_nodes(node)))


def _is_open(tree: ast.Module) -> bool:
    """True if the file may have names that it does not show: `from x import *`, or a __getattr__()."""
    names = _names(tree)
    return "*" in names or "__getattr__" in names


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    for i, one in enumerate(positional):
        default = Parameter.empty if i < required else None
        yield Parameter(one.arg, Parameter.POSITIONAL_OR_KEYWORD, default=default)
    if arguments.vararg:
        yield Parameter(arguments.vararg.arg, Parameter.VAR_POSITIONAL)
    for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield Parameter(one.arg, Parameter.KEYWORD_ONLY, default=Parameter.empty if value is None else None)
    if arguments.kwarg:
        yield Parameter(arguments.kwarg.arg, Parameter.VAR_KEYWORD)


def check_arguments(
    key: str, name: str, parameters: Sequence[Parameter], given: Collection[str], filled: Collection[str]
) -> None:
    """Raise ConfigurationError if `name` does not take what is given, or needs more.

    key: of the arguments, such as model.arguments. filled: names that are set where they are not given.
    """
    named = [one for one in parameters if one.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    known = [one.name for one in named]
    takes_any = any(one.kind is Parameter.VAR_KEYWORD for one in parameters)
    for unknown in [] if takes_any else [one for one in given if one not in known]:
        near = get_close_matches(unknown, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'none'}"
        raise ConfigurationError(f"{key}.{unknown} is no argument of {name}: {hint}")
    lacking = [one.name for one in named if one.default is Parameter.empty and one.name not in {*given, *filled}]
    example = ", ".join(f"{one}: …" for one in lacking)
    require(not lacking, f"{name} needs {' and '.join(lacking)}: set {key}='{{{example}}}'")
