"""Private names of libraries stand in library_internals alone, and pyproject.toml bounds those libraries above."""

import ast
import importlib
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from pytorch_lightning.strategies import DDPStrategy

TOP = Path(__file__).parents[2]
ROOM = TOP / "src/dlproj/library_internals"
PACKAGES = {"torch": "torch", "lightning": "pytorch-lightning", "torchmetrics": "torchmetrics", "hydra": "hydra-core"}
# Names with an underscore that their makers document: of Enum, of namedtuple, of os, and of Hydra's files.
DOCUMENTED = {"_value_", "_asdict", "_replace", "_exit", "_target_"}


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED


def defined_in(tree):
    """Private names that a module defines itself: functions, classes, attributes that it sets, fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def private_names(source):
    """Line and name of each private name of another module or library that a module's source uses."""
    tree = ast.parse(source)
    own = set(defined_in(tree))
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=module, names=names) if module != "__future__":
                found = [*(module or "").split("."), *(one.name for one in names)]
            case ast.Import(names=names):
                found = [part for one in names for part in one.name.split(".")]
            case ast.Attribute(attr=name):
                found = [name] if name not in own else []
            case ast.Call(func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[_, ast.Constant(value=name), *_]):
                found = [name]
            case ast.Constant(value=str(text)) if re.fullmatch(r"\w+(\.\w+)+( \w+)?", text):  # "torch._dynamo"
                found = re.split(r"[. ]", text)
            case _:
                found = []
        yield from ((node.lineno, name) for name in found if is_private(name))


@pytest.mark.parametrize(
    "source",
    [
        "import torch._dynamo",
        "from torch._utils import rebuild",
        "from torch.nn.modules.batchnorm import _BatchNorm",
        "def f(trainer):\n    trainer._signal_connector = None",
        "class A:\n    def f(self):\n        return self.trainer._results",
        "class A(Base):\n    def f(self):\n        return self._of_the_base",
        "getattr(module, '_flat_weights', None)",
        "logging.getLogger('torch.distributed._tensor')",
    ],
)
def test_a_private_name_is_found(source):
    assert len(list(private_names(source))) == 1


def test_names_of_ones_own_and_documented_ones_are_not():
    source = (
        "import os\nclass A:\n    def _f(self, other):\n        self._x = other._x\n        return self._f(os._exit)"
    )
    assert list(private_names(source)) == []


def test_private_names_of_libraries_stand_in_their_room_alone():
    paths = [*(TOP / "src").rglob("*.py"), *(TOP / "benchmarks").rglob("*.py"), TOP / "train.py"]
    found = {
        f"{path.relative_to(TOP)}:{line}: {name}"
        for path in paths
        if path.parent != ROOM
        for line, name in private_names(path.read_text(encoding="utf-8"))
    }
    assert not found, "private names of libraries belong to src/dlproj/library_internals, each with a test here"


def overridden(cls):
    """Private names of a class that also one of its bases from a library has."""
    foreign = {"dlproj", "hydra_plugins", *sys.stdlib_module_names}
    bases = [base for base in cls.__mro__[1:] if base.__module__.partition(".")[0] not in foreign]
    own = {name for name in vars(cls) if is_private(name)} - {"_abc_impl"}  # which every abstract class has
    return {name for name in own if any(name in vars(base) for base in bases)}


def test_no_class_has_a_private_name_of_the_library_that_it_derives_from():
    """It would override it, which no name in the source tells."""
    found = set()
    for path in sorted((TOP / "src").rglob("*.py")):
        name = ".".join(path.relative_to(TOP / "src").with_suffix("").parts).removesuffix(".__init__")
        classes = [one for one in vars(importlib.import_module(name)).values() if isinstance(one, type)]
        found |= {
            f"{name}.{cls.__name__}.{one}" for cls in classes if cls.__module__ == name for one in overridden(cls)
        }
    assert not found, "to override a private method, derive from a class of src/dlproj/library_internals that does"


def test_a_private_method_that_overrides_a_librarys_is_found():
    class Ours(DDPStrategy):
        def _setup_model(self, model):
            return model

        def _of_our_own(self):
            pass

    assert overridden(Ours) == {"_setup_model"}


def requirements():
    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    everything = [
        *project["dependencies"],
        *(one for some in project["optional-dependencies"].values() for one in some),
    ]
    return {one.name: one.specifier for one in map(Requirement, everything)}


def test_each_module_of_the_room_is_of_one_of_these_libraries():
    assert {path.stem for path in ROOM.glob("*.py")} == {"__init__", *(f"{library}_internals" for library in PACKAGES)}


def locked():
    return dict(line.split("==") for line in (TOP / "locked.txt").read_text(encoding="utf-8").split())


@pytest.mark.parametrize("name", PACKAGES.values())
def test_a_library_with_private_names_in_use_is_bounded_by_what_was_tested(name):
    """Above by the version after the newest in locked.txt and in the record of the benchmarks."""
    recorded = (TOP / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
    versions = [locked()[name], *re.findall(rf"\b{name} (\d[\d.]*)", recorded)]
    newest = max(map(Version, versions))
    bounds = [one.version for one in requirements()[name] if one.operator == "<"]
    assert bounds == [f"{newest.major}.{newest.minor + 1}"], f"{name} {newest} is the newest that was tested"


def test_what_the_tests_ran_with_is_admitted():
    """Both the versions that locked.txt fixes and those that are installed here."""
    fixed = locked()
    for name, bounds in requirements().items():
        for where, found in (("locked.txt", fixed.get(name)), ("installed", installed(name))):
            assert found is None or bounds.contains(found, prereleases=True), f"{name}{bounds}, {where}: {found}"


def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
