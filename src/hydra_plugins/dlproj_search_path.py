"""Where Hydra looks for a choice's file: first in the folder that --config-dir names, then in conf/."""

import os
import sys
from collections.abc import Sequence

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class OwnFilesFirst(SearchPathPlugin):
    """Has a user's own files win over those of the same name in conf/; Hydra itself would take them last."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Put the folder of --config-dir before conf/."""
        if (folder := config_dir(sys.argv[1:])) and os.path.isdir(folder):  # Hydra says what is wrong with another
            search_path.prepend("own files", f"file://{os.path.abspath(folder)}")
        search_path.append("settings classes", "settings://")  # see dlproj_config_source


def config_dir(arguments: Sequence[str]) -> str | None:
    """The value of --config-dir, or of -cd, among a command's arguments."""
    for i, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in ("--config-dir", "-cd"):
            return value if equals else next(iter(arguments[i + 1 :]), None)
    return None
