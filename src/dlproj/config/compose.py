"""What the files of conf/ refer to: the settings classes, and resolvers."""

import secrets
from datetime import datetime

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from dlproj.config.root import Config
from dlproj.launch import started_by_torchrun


def register() -> None:
    """Put the settings classes where Hydra finds them, for the files under conf/ to build on, and their resolvers.

    `${stamp:}` is date, time and a random part, so that no two runs share it: but for processes that torchrun has
    started, which have one stamp, and so one folder. `${dashed:}` and `${either:}` of two are of names.
    """
    text = f"{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    if started_by_torchrun():
        from dlproj.distributed.processes import agree_on

        text = agree_on(text, "stamp")
    OmegaConf.register_new_resolver("stamp", lambda: text, replace=True)
    OmegaConf.register_new_resolver("either", lambda set_, otherwise: set_ or otherwise, replace=True)
    OmegaConf.register_new_resolver("dashed", lambda name: name.replace("/", "-"), replace=True)
    ConfigStore.instance().store(name="schema_root", node=Config)
