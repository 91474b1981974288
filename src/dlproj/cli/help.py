"""`python train.py --help`: all choices, and the settings that result from the typed ones.

Hydra's own help takes 2 s, because it copies all of its sources for each group.
"""

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, cast

from hydra import compose
from omegaconf import DictConfig, OmegaConf

from dlproj import formats
from dlproj.config.fields import help_of
from dlproj.config.places import CONF, train_command
from dlproj.experiments import composing
from hydra_plugins.dlproj_search_path import config_dir

_ADDED = ("experiment", "search", "trial")  # groups without a default choice: one is added with +


def asks_for_help(arguments: Sequence[str]) -> bool:
    """True if the arguments contain --help or -h."""
    return bool({"--help", "-h"} & set(arguments))


def help_text(arguments: Sequence[str]) -> str:
    """All choices, and every setting with its help text and its value under the typed overrides.

    Raises Hydra's and OmegaConf's errors for overrides that cannot be composed.
    """
    folders = [CONF, *([Path(own)] if (own := config_dir(arguments)) else [])]
    train = train_command()
    with composing():
        settings = list(_settings(compose("config", _overrides(arguments)), "", {}))
    return "\n".join(
        [
            "Train, test and record one classifier, or several with -m.",
            "",
            "Choices, GROUP=NAME:",
            *(f"{group}: {', '.join(names)}" for group, names in choices(folders).items()),
            "",
            "Settings, SETTING=VALUE, with these choices:",
            *_columns(settings, shutil.get_terminal_size().columns),
            "",
            f"{train} model=mlp optim=rmsprop",
            f"{train} data=imdb model=lstm trainer.max_epochs=1",
            f"{train} -m optim.learning_rate=0.1,0.01,0.001 seed=1,2",
        ]
    )


def _settings(node: DictConfig, prefix: str, explained: dict[type, str]) -> Iterator[tuple[str, str]]:
    """Each setting as typed, and its help text; a group's settings follow a line that describes the group.

    explained: classes whose help texts were shown, and in which group; a later group lists only what is set.
    """
    cls = cast(type, OmegaConf.get_type(node))
    texts, again = help_of(cls), cls in explained
    explained.setdefault(cls, prefix.rstrip("."))
    groups = {}
    for key, value in node.items_ex(resolve=False):
        if isinstance(value, DictConfig) and is_dataclass(OmegaConf.get_type(value)):
            groups[f"{prefix}{key!s}"] = value
        elif value is not None or not again:
            text = "" if again else texts[str(key)]
            parts = list(_made(value, f"{prefix}{key!s}"))
            yield from zip(parts, [text, *[""] * (len(parts) - 1)], strict=True)
    for name, group in groups.items():
        yield "", f"{name}: {_what_it_is(cast(type, OmegaConf.get_type(group)), explained)}"
        yield from _settings(group, f"{name}.", explained)


def _made(value: Any, name: str) -> Iterator[str]:
    """A setting as it would be typed; one that names things to make by each `_target_` and argument."""
    nodes = value.values() if isinstance(value, DictConfig) else []
    if any(isinstance(node, DictConfig) and "_target_" in node for node in nodes):
        yield from (f"{name}.{one}.{key}={_typed(part)}" for one, node in value.items() for key, part in node.items())
    else:
        yield f"{name}={_typed(value)}"


def _what_it_is(cls: type, explained: Mapping[type, str]) -> str:
    return f"as {explained[cls]}" if cls in explained else (cls.__doc__ or "").splitlines()[0]


def _typed(value: Any) -> str:
    plain = OmegaConf.to_container(value, enum_to_str=True) if OmegaConf.is_config(value) else value
    return formats.setting(plain.name if isinstance(plain, Enum) else plain)


def _columns(rows: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Lay out names and wrapped texts side by side, or below one another in a narrow terminal."""
    indent = _NAMES if width >= 2 * _NAMES else 4
    for name, text in rows:
        if not name:
            yield from ["", text]
            continue
        below = textwrap.wrap(text, max(width - indent, 20)) or [""]
        beside = len(name) < indent
        yield f"{name:{indent}}{below[0]}".rstrip() if beside else name
        yield from (" " * indent + line for line in below[beside:] if line)


_NAMES = 40  # columns for names


def _overrides(arguments: Sequence[str]) -> list[str]:
    return [text for text in arguments if not text.startswith("-") and text != config_dir(arguments)]


def choices(folders: Sequence[Path]) -> dict[str, list[str]]:
    """Names of each group's files, sorted, without the shared files, whose names begin with _."""
    groups: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.glob("*/**/*.yaml"):
            group, *name = file.relative_to(folder).with_suffix("").parts
            if name[0] == "extra":
                group, name = f"{group}/extra", name[1:]
            if not name[-1].startswith("_"):
                groups.setdefault(f"+{group}" if group in _ADDED else group, set()).add("/".join(name))
    return {group: sorted(names) for group, names in sorted(groups.items())}
