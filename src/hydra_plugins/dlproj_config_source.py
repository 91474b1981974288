"""Where Hydra finds the settings classes that a defaults list names, such as `/schema/model@_here_: mlp`."""

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

# What it takes from dlproj is imported when it is needed: Hydra imports every plugin at its every start.


class SettingsClasses(ConfigSource):
    """`schema/<group>/<name>`: dlproj's own classes by their short names, others as `my_package.my_module.MyConfig`."""

    @staticmethod
    def scheme() -> str:
        """What precedes :// in the search path."""
        return "settings"

    def load_config(self, config_path: str) -> ConfigResult:
        """The class with its defaults. Raises ConfigurationError where the name leads to none."""
        from dlproj.config.schemas import settings_class

        group, name = _parts(config_path)
        node = OmegaConf.structured(settings_class(group, name))
        for name in ("arguments", "columns"):  # of the user's own code and tables: any name can be set
            if name in node:
                OmegaConf.set_struct(node[name], False)
        return ConfigResult(self.provider, self.full_path(), node, {"package": None})

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        """True for `schema` and its groups."""
        from dlproj.config.schemas import SCHEMAS

        group, name = _parts(config_path)
        return not name and (config_path.rstrip("/") == "schema" or group in SCHEMAS)

    def is_config(self, config_path: str) -> bool:
        """True for a short name of a group, and for any dotted name: load_config() checks whether it exists."""
        from dlproj.config.schemas import SCHEMAS

        group, name = _parts(config_path)
        return group in SCHEMAS and (name in SCHEMAS[group] or "." in name)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The short names of a group."""
        from dlproj.config.schemas import SCHEMAS

        group, name = _parts(config_path)
        return sorted(SCHEMAS.get(group, ())) if not name and results_filter is not ObjectType.GROUP else []


def _parts(config_path: str) -> tuple[str, str]:
    """Group and name of `schema/<group>/<name>`; "" for what is not there."""
    above, _, below = config_path.removesuffix(".yaml").rstrip("/").partition("/")
    group, _, name = below.partition("/")
    return (group, name) if above == "schema" else ("", "")
