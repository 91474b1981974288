"""The root of all settings: its groups, checks across them, and reading them from Hydra or a run's folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import isabstract
from pathlib import Path
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dlproj.config.callbacks import CallbacksConfig
from dlproj.config.checks import LARGEST_SEED, ConfigurationError, one_of, require
from dlproj.config.consent import admit_settings
from dlproj.config.conversion import explain, plain, refuse_unknown, typed
from dlproj.config.data import DataConfig, Sampling
from dlproj.config.fields import check_ranges, either, setting
from dlproj.config.figures import FiguresConfig
from dlproj.config.metrics import check_metrics
from dlproj.config.model import BALANCED, ModelConfig
from dlproj.config.optim import OptimConfig
from dlproj.config.places import CONF
from dlproj.config.reference import ReferenceConfig
from dlproj.config.renamed import with_new_names
from dlproj.config.scheduler import SchedulerConfig
from dlproj.config.schemas import BASES, SCHEMAS, schema_name, settings_class
from dlproj.config.sweep import SweepConfig
from dlproj.config.targets import check_targets
from dlproj.config.trainer import StrategyName, TrainerConfig
from dlproj.config.user_code import UserCode
from dlproj.config.whole_files import YAML_ERRORS, read_yaml, read_yaml_text, write_whole


@dataclass(slots=True)
class Config:
    """All settings of a run."""

    data: DataConfig = MISSING
    model: ModelConfig = MISSING
    optim: OptimConfig = MISSING
    scheduler: SchedulerConfig = MISSING
    callbacks: CallbacksConfig = MISSING
    trainer: TrainerConfig = MISSING
    metrics: dict[str, Any] = setting(dict, "further metrics of val and test by name: a _target_, and its direction")
    logger: dict[str, Any] = setting(dict, "what logs beside metrics.csv, by name: a _target_ each")
    figures: FiguresConfig = setting(FiguresConfig)
    reference: ReferenceConfig = setting(ReferenceConfig)
    sweep: SweepConfig = setting(SweepConfig)
    name: str = setting(MISSING, "part of the run folder's name")
    seed: int = setting(0, "seed of all random numbers", f"[0, {LARGEST_SEED}]")
    init_from: str | None = setting(
        None, "run whose weights training starts from: its folder, latest or best in logs, or a checkpoint's file"
    )
    overwrite: bool = setting(False, "replace an earlier run in the run's folder")

    def __post_init__(self) -> None:
        check_ranges(self, "")
        require(bool(self.name), "name is empty: set a word for the folder's name")
        require(self.init_from != "", "init_from is empty: name a run's folder, or leave it out")
        check_targets("logger", self.logger)
        check_metrics(self.metrics)
        self.callbacks.early_stopping.check_monitor(self.metrics)
        self._check_processes()
        self._check_optim()
        self.scheduler.check(self.optim.learning_rate, self.trainer.max_epochs)
        message = "data.bucket_by_length=true saves work only if padding is masked: set model.masking=true (of an RNN)"
        require(not (self.data.is_bucketed and self.model.reads_padding), message)
        stopping = self.callbacks.early_stopping
        by_epoch = stopping.patience is not None or stopping.restore_best
        message = "trainer.val_check_interval is for runs without early stopping: leave patience and restore_best unset"
        require(not (self.trainer.val_check_interval and by_epoch), message)
        message = "trainer.evaluate_train=true would go on training with model.eval_mode=false: leave one of them out"
        require(self.model.eval_mode or not self.trainer.evaluate_train, message)
        twice = self.model.class_weights == BALANCED and self.data.sampling is Sampling.balanced
        message = "model.class_weights=balanced would count what data.sampling=balanced has balanced: leave one out"
        require(not twice, message)
        in_blocks = self.trainer.steps_per_execution not in ("auto", 1)
        scaled = self.figures.gradients and self.trainer.precision == "16-mixed"
        message = "figures.gradients=true needs gradients that are not scaled: set trainer.precision=bf16-mixed"
        require(not scaled, message)
        message = "figures.gradients=true looks at each batch by itself: set trainer.steps_per_execution=1 or auto"
        require(not (self.figures.gradients and in_blocks), message)

    def _check_processes(self) -> None:
        normalised = any(getattr(layer, "batch_norm", False) for layer in self.model.hidden_layers())
        synchronised = self.trainer.strategy is StrategyName.ddp and self.trainer.uses_gpu()
        message = "model.batch_norm would see a part of each batch at a time: leave it out, or use one process"
        unsplit = self.trainer.processes() == self.trainer.micro_batches == 1
        require(unsplit or synchronised or not normalised, message)
        single_process = self.trainer.processes() == 1 and self.trainer.strategy is not StrategyName.pipeline
        message = "model.eval_mode=false needs one process that has the whole model: set trainer=auto"
        require(single_process or self.model.eval_mode, message)
        devices, blocks = len(self.trainer.layer_devices or []), len(self.model.hidden_layers()) + 1
        message = f"trainer.layer_devices names {devices} devices for {blocks} layers, the output among them"
        require(devices <= blocks, f"{message}: name fewer")
        if self.trainer.tensor_parallel_size > 1:
            self.model.check_tensor_parallel(self.trainer.tensor_parallel_size)
        if self.trainer.strategy is StrategyName.pipeline:
            require(not self.model.freeze, "model.freeze does not go with trainer=pipeline: set trainer=ddp or fsdp")
            self.model.check_pipeline(self.data.batch_size, self.trainer.processes(), self.trainer.micro_batches)
            message = "figures.gradients=true looks at layers that a pipeline has in other processes: set it to false"
            require(not self.figures.gradients, message)

    def _check_optim(self) -> None:
        optim, trainer = self.optim, self.trainer
        split = trainer.strategy in (StrategyName.pipeline, StrategyName.model_parallel)
        for name in ("layer_decay", "ema_decay", "swa_start"):
            unset = getattr(optim, name) in (None, 1.0)
            message = f"optim.{name} needs each process to have all weights: set trainer=auto or ddp"
            require(unset or not split, message)
        message = "trainer.precision=bf16-true is too coarse to average weights in: set bf16-mixed"
        require(not (optim.averages() and trainer.precision == "bf16-true"), message)
        message = "optim.layer_decay needs layers in an order, which model=custom does not tell: leave it out"
        require(optim.layer_decay == 1 or self.model.has_layers, message)
        lowest = getattr(self.scheduler, "min_learning_rate", 0.0)
        message = "scheduler.min_learning_rate would be one for all layers: leave it or optim.layer_decay out"
        require(optim.layer_decay == 1 or not lowest, message)

    def check_read(self) -> None:
        """Raise ConfigurationError if a setting has no effect in combination with the others.

        load() does not check this: recorded runs may have such settings.
        """
        for group in (self.data, self.model, self.scheduler, self.callbacks, self.trainer):
            group.check_read()

    def fallbacks(self) -> list[str]:
        """Messages about what this machine computes in another precision because it lacks trainer.precision."""
        return [] if self.trainer.uses_gpu() else self.model.fallbacks(self.trainer.precision)

    def settings(self) -> dict[str, Any]:
        """All settings of the run as plain containers, with the class of each group under `schema`."""
        own = plain(self)
        del own["sweep"], own["overwrite"]  # they concern other runs
        return {"schema": {group: schema_name(group, type(getattr(self, group))) for group in BASES}} | own

    def save(self, path: Path) -> None:
        """Write all settings as YAML, which load() reads."""
        write_whole(path, OmegaConf.to_yaml(OmegaConf.create(self.settings())))


def load(path: Path, allow_code: bool = False) -> Config:
    """Read settings written by Config.save(); the data need not exist.

    allow_code: also if they name code that the user has not named in a training before. Raises ConfigurationError if
    damaged, and UserError without the consent to such code.
    """
    try:
        text = read_yaml_text(path)
        if "${" in text:  # save() writes none, and one could read the environment
            raise ValueError("an interpolation")
        settings = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(text)))
        admit_settings(settings, path.parent, allow_code)
        return from_settings(settings)
    except (OSError, ValueError, AssertionError, OverflowError, *YAML_ERRORS, OmegaConfBaseException) as error:
        raise ConfigurationError(f"{path} is not the complete settings of a run: take it from another copy") from error


_TENSORBOARD = {"tensorboard": {"_target_": "dlproj.training.monitors.loggers.EpochTensorBoard"}}


def from_settings(settings: dict[str, Any]) -> Config:
    """Typed settings from what Config.settings() returned, also in an older version: missing ones take their default.

    Raises ConfigurationError, and OmegaConf's errors for containers that are not settings.
    """
    content = OmegaConf.create(with_new_names(settings))
    base = OmegaConf.structured(Config)
    for group, name in content.pop("schema").items():
        base[group] = OmegaConf.structured(settings_class(group, str(name)))
    if "logger" not in content:  # older versions always had TensorBoard
        content.logger = _TENSORBOARD
    if "root" not in base.data:  # older versions stored it for all data sets
        content.data.pop("root", None)
    return typed_config(cast(DictConfig, OmegaConf.merge(base, content)))


def data_config(name: str, overrides: Sequence[str]) -> DataConfig:
    """Settings of the data set `name`, with overrides as for train.py: `length=100`, `data.root=here`.

    Raises ConfigurationError, and DataError if the settings need files that are missing.
    """
    if "." not in name:
        one_of("data", name, tuple(SCHEMAS["data"]))
    values = _preset(name) | dict(map(data_setting, overrides))
    config: DataConfig = typed(settings_class("data", name), values, "data")
    config.check_read()
    if isinstance(config, UserCode):
        config.check_code()
    return config


def _preset(name: str) -> dict[str, Any]:
    """What conf/data/NAME.yaml sets otherwise than the class of the data."""
    file = CONF / "data" / f"{name}.yaml"
    values = read_yaml(file) if file.is_file() else {}
    return {key: value for key, value in values.items() if key != "defaults"}


def data_setting(text: str) -> tuple[str, Any]:
    """Name and value of an override: `length=100` or `data.root=here`. Raises ConfigurationError."""
    name, value = single_setting(text, "batch_size=64")
    return name.removeprefix("data."), value


def single_setting(text: str, such_as: str) -> tuple[str, Any]:
    """Full name and value of an override that sets one value. Raises ConfigurationError. such_as: for its message."""
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigurationError(f"{text} cannot be read: write SETTING=VALUE, such as {such_as}") from error
    single = override.type is OverrideType.CHANGE and not override.is_sweep_override()
    require(single, f"{text} sets no single value: write SETTING=VALUE, such as {such_as}")
    return override.key_or_group, override.value()


def typed_config(composed: DictConfig) -> Config:
    """Typed settings of a composed configuration; the data need not exist. Raises ConfigurationError."""
    _check_files(composed)
    refuse_unknown(composed)
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise ConfigurationError(explain(error)) from error
    except OverflowError as error:  # an int too large for a float
        raise ConfigurationError("a number among the settings is too large: set a smaller one") from error
    assert isinstance(config, Config)
    return config


def _check_files(composed: DictConfig) -> None:
    """Raise ConfigurationError if a user's own file is not built on a settings class."""
    message = "config.yaml is not built on the settings: begin it with defaults: [schema_root, …, _self_]"
    require(OmegaConf.get_type(composed) is Config, message)
    for group, base in BASES.items():
        if OmegaConf.is_missing(composed, group):
            continue
        kind = OmegaConf.get_type(composed, group) or dict
        built = issubclass(kind, base) and not isabstract(kind)
        schema = f"/schema/{group}@_here_: {either(list(SCHEMAS[group]))}"
        message = (
            f"the chosen file of {group}/ is not built on its settings: begin it with defaults: [{schema}, _self_]"
        )
        require(built, message)
