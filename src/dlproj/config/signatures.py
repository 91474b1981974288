"""The parameters of a class or function, read from its source without running it; whether arguments fit them."""

import ast
from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from inspect import Parameter
from pathlib import Path
from typing import NamedTuple

from dlproj.config.checks import ConfigurationError, require

_MOST_IMPORTS = 8  # modules through which an imported name is followed


class Definition(NamedTuple):
    """A definition in a source file; node is None where only running the code tells what the name is."""

    file: Path
    node: ast.ClassDef | ast.FunctionDef | None

    def parameters(self) -> list[Parameter] | None:
        """The parameters without self; None where only running the code tells."""
        if self.node is None or self.node.decorator_list:
            return None
        if isinstance(self.node, ast.FunctionDef):
            return list(_parameters(self.node.args))
        for part in self.node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                return list(_parameters(part.args))[1:]
        return None


def parsed(file: Path, content: bytes) -> ast.Module:
    """The file's syntax tree. Raises ConfigurationError, which names the line of a mistake."""
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise ConfigurationError(f"{file}{line} cannot be read as Python ({reason}): correct it") from error


def definition(key: str, source: str, file: Path, name: str, tree: ast.Module) -> Definition:
    """The definition of `name` in the file, or in the module that the file imports it from.

    key: the setting that names it. source: what a message calls the file. Raises ConfigurationError if there is none.
    """
    if defined := _defined(file, name, tree):
        return defined
    raise no_name(key, source, name, _names(tree))


def no_name(key: str, source: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """The error for a name that a file or module does not have, with the nearest that it has."""
    near = get_close_matches(name, known := sorted(known), n=1)
    public = [each for each in known if not each.startswith("_")]
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(public[:10]) or 'no class and no function'}"
    return ConfigurationError(f"{key}: {source} has no {name}: {hint}")


def definition_in_package(key: str, module: str, name: str) -> Definition | None:
    """As definition(), of an installed module; None where its source cannot be read. Nothing of it is imported."""
    package = module.partition(".")[0]
    message = f"{key}: there is no package {package}: install it, or name a file, my_file.py:{name}"
    require(_spec(package) is not None, message)
    file = _module_file(module)
    return definition(key, module, file, name, parsed(file, file.read_bytes())) if file else None


def _spec(package: str) -> ModuleSpec | None:
    try:
        return find_spec(package)
    except (ImportError, ValueError):
        return None


def _module_file(module: str) -> Path | None:
    package, *names = module.split(".")
    spec = _spec(package)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    if not names:
        return Path(spec.origin)
    path = Path(spec.origin).parent.joinpath(*names)
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _defined(file: Path, name: str, tree: ast.Module, imports: int = 0) -> Definition | None:
    """The last definition of the name at the top level of the file; None if it has none."""
    defined = None
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            defined = Definition(file, node)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and imports < _MOST_IMPORTS:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    defined = _imported(file, node.module or "", alias.name, imports)
    return defined or (Definition(file, None) if name in _names(tree) or _has_hidden_names(tree) else None)


def _imported(file: Path, module: str, name: str, imports: int) -> Definition:
    beside = file.parent.joinpath(*module.split(".")).with_suffix(".py")
    origin = beside if beside.is_file() else _module_file(module)
    try:
        tree = ast.parse(origin.read_bytes()) if origin else None
    except (OSError, SyntaxError, ValueError):
        tree = None
    defined = _defined(origin, name, tree, imports + 1) if origin and tree else None
    return defined or Definition(file, None)


def _names(tree: ast.Module) -> set[str]:
    """What is bound at the top level of the file, also within its if and try."""
    names = set()
    for node in _walk_top_level(tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def _walk_top_level(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _walk_top_level(list(ast.iter_child_nodes(node)))


def _has_hidden_names(tree: ast.Module) -> bool:
    """True if only running the file tells all of its names: `from x import *`, or a __getattr__()."""
    return not {"*", "__getattr__"}.isdisjoint(_names(tree))


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    for i, argument in enumerate(positional):
        default = Parameter.empty if i < required else None
        yield Parameter(argument.arg, Parameter.POSITIONAL_OR_KEYWORD, default=default)
    if arguments.vararg:
        yield Parameter(arguments.vararg.arg, Parameter.VAR_POSITIONAL)
    for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield Parameter(argument.arg, Parameter.KEYWORD_ONLY, default=Parameter.empty if value is None else None)
    if arguments.kwarg:
        yield Parameter(arguments.kwarg.arg, Parameter.VAR_KEYWORD)


def check_arguments(
    key: str, name: str, parameters: Sequence[Parameter], given: Collection[str], filled: Collection[str]
) -> None:
    """Raise ConfigurationError if `name` does not take an argument that is given, or lacks one that it needs.

    key: of the arguments, such as model.arguments. filled: parameters that are passed even if they are not given.
    """
    named = [each for each in parameters if each.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)]
    known = [each.name for each in named]
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in parameters)
    for unknown in [] if takes_any else [argument for argument in given if argument not in known]:
        near = get_close_matches(unknown, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(known) or 'none'}"
        raise ConfigurationError(f"{key}.{unknown} is no argument of {name}: {hint}")
    lacking = [each.name for each in named if each.default is Parameter.empty and each.name not in {*given, *filled}]
    example = ", ".join(f"{argument}: …" for argument in lacking)
    require(not lacking, f"{name} needs {' and '.join(lacking)}: set {key}='{{{example}}}'")
