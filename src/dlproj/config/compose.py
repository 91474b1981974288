"""Registers what the files of conf/ refer to: settings classes and resolvers."""

import secrets
from datetime import datetime

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from dlproj.config.root import Config
from dlproj.launch import agree_on, started_by_torchrun


def register() -> None:
    """Register the settings classes with Hydra's ConfigStore, and the resolvers that conf/ uses.

    `${stamp:}` is date, time and a random suffix, so that no two runs share a folder; processes started by torchrun
    share one stamp. `${either:a,b}` is a if set, else b. `${dashed:a/b}` is a-b.
    """
    text = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    if started_by_torchrun():
        text = agree_on(text, "stamp")
    OmegaConf.register_new_resolver("stamp", lambda: text, replace=True)
    OmegaConf.register_new_resolver("either", lambda set_, otherwise: set_ or otherwise, replace=True)
    OmegaConf.register_new_resolver("dashed", lambda name: name.replace("/", "-"), replace=True)
    ConfigStore.instance().store(name="schema_root", node=Config)
