"""`python train.py --help`: every choice, and the settings that the typed choices come to.

Hydra's own takes 2 s: it copies all of its sources for each group.
"""

from collections.abc import Sequence
from pathlib import Path

from hydra import compose
from omegaconf import OmegaConf

from dlproj.config.places import CONF, TRAIN
from dlproj.experiments import composing
from hydra_plugins.dlproj_search_path import config_dir

_ADDED = ("experiment", "search", "trial")  # groups of which nothing is chosen unless it is added


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether --help or -h is among them."""
    return bool({"--help", "-h"} & set(arguments))


def help_text(arguments: Sequence[str]) -> str:
    """What can be typed, and every setting with its value under the overrides among the arguments.

    Raises what composing them raises.
    """
    folders = [CONF, *([Path(own)] if (own := config_dir(arguments)) else [])]
    with composing():
        settings = OmegaConf.to_yaml(compose("config", _overrides(arguments)))
    return "\n".join([
        "Train, test and record one classifier, or several with -m.",
        "",
        "Choices, GROUP=NAME:",
        *(f"{group}: {', '.join(names)}" for group, names in choices(folders).items()),
        "",
        "Settings, SETTING=VALUE, with these choices:",
        settings,
        f"{TRAIN} model=mlp optim=rmsprop",
        f"{TRAIN} data=imdb model=lstm trainer.max_epochs=1",
        f"{TRAIN} -m optim.learning_rate=0.1,0.01,0.001 seed=1,2",
    ])  # fmt: skip


def _overrides(arguments: Sequence[str]) -> list[str]:
    return [one for one in arguments if not one.startswith("-") and one != config_dir(arguments)]


def choices(folders: Sequence[Path]) -> dict[str, list[str]]:
    """The names of each group's files, sorted; files that begin with _ are what others share."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.glob("*/**/*.yaml"):
            group, *name = file.relative_to(folder).with_suffix("").parts
            if not name[-1].startswith("_"):
                found.setdefault(f"+{group}" if group in _ADDED else group, set()).add("/".join(name))
    return {group: sorted(names) for group, names in sorted(found.items())}
