"""`python train.py --help`: every choice, and the settings that the typed choices come to.

Hydra's own takes 2 s: it copies all of its sources for each group.
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
from dlproj.config.places import CONF, TRAIN
from dlproj.experiments import composing
from hydra_plugins.dlproj_search_path import config_dir

_ADDED = ("experiment", "search", "trial")  # groups of which nothing is chosen unless it is added


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether --help or -h is among them."""
    return bool({"--help", "-h"} & set(arguments))


def help_text(arguments: Sequence[str]) -> str:
    """What can be typed, and every setting with its value under the overrides among the arguments and its help text.

    Raises what composing them raises.
    """
    folders = [CONF, *([Path(own)] if (own := config_dir(arguments)) else [])]
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
            f"{TRAIN} model=mlp optim=rmsprop",
            f"{TRAIN} data=imdb model=lstm trainer.max_epochs=1",
            f"{TRAIN} -m optim.learning_rate=0.1,0.01,0.001 seed=1,2",
        ]
    )


def _settings(node: DictConfig, prefix: str, explained: dict[type, str]) -> Iterator[tuple[str, str]]:
    """Each setting as it would be typed, and its help text; above those of a group, what the group is.

    explained: classes and the group that has shown their texts; of another one only what is set follows.
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
    """Name and text side by side, the text wrapped; below one another in a narrow terminal."""
    left = _LEFT if width >= 2 * _LEFT else 4
    for name, text in rows:
        if not name:
            yield from ["", text]
            continue
        below = textwrap.wrap(text, max(width - left, 20)) or [""]
        beside = len(name) < left
        yield f"{name:{left}}{below[0]}".rstrip() if beside else name
        yield from (" " * left + line for line in below[beside:] if line)


_LEFT = 40  # columns of names


def _overrides(arguments: Sequence[str]) -> list[str]:
    return [one for one in arguments if not one.startswith("-") and one != config_dir(arguments)]


def choices(folders: Sequence[Path]) -> dict[str, list[str]]:
    """The names of each group's files, sorted; files that begin with _ are what others share."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.glob("*/**/*.yaml"):
            group, *name = file.relative_to(folder).with_suffix("").parts
            if name[0] == "extra":
                group, name = f"{group}/extra", name[1:]
            if not name[-1].startswith("_"):
                found.setdefault(f"+{group}" if group in _ADDED else group, set()).add("/".join(name))
    return {group: sorted(names) for group, names in sorted(found.items())}
