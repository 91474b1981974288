"""Which strategies on how many processes are measured, and the settings of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dlproj.config.checks import ConfigurationError, require
from dlproj.config.data import DataSpec
from dlproj.config.optim import OptimConfig
from dlproj.config.root import Config
from dlproj.experiments import one_run
from dlproj.labs.scaling.cost import STRATEGIES, Job, Layout

_MADE = ("data=feature_sum", "data.features=784")  # data that needs no download
# One thread, so that each process has a core.
_SETTINGS = ("model.hidden=[1024,1024,1024]", "data.batch_size=256", "trainer.threads=1", "name=scaling")
_MEASURED = (
    "figures=none",
    "trainer.steps_per_execution=1",
    "trainer.progress_bar=false",
    "trainer.max_epochs=1000",
    "scheduler=constant",
    "trainer.limit_val_batches=1",
    "data.drop_last=true",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A strategy on so many processes."""

    layout: Layout

    @property
    def processes(self) -> int:
        """One for each part of the work, but for layer_split, which has devices."""
        return 1 if self.layout.strategy == "layer_split" else self.layout.ways()

    @property
    def name(self) -> str:
        """The case as people read it, such as ddp × 2."""
        return self.layout.strategy if self.processes == 1 else f"{self.layout.strategy} × {self.processes}"

    def overrides(self, batch_size: int) -> list[str]:
        """The overrides on top of the job's, whose batch all processes share."""
        layout = self.layout
        trainer = "auto" if layout.strategy == "single" else layout.strategy
        chosen = [f"trainer={trainer}", f"data.batch_size={batch_size // layout.data_parallel}"]
        if self.processes > 1:
            chosen.append(f"trainer.devices={self.processes}")
        if layout.tensor_parallel > 1:
            chosen.append(f"trainer.tensor_parallel_size={layout.tensor_parallel}")
        if layout.micro_batches > 1:
            chosen.append(f"trainer.micro_batches={layout.micro_batches}")
        return chosen


def layouts(processes: int, tensor_parallel: int = 2) -> list[Layout]:
    """Every strategy that shares a step over so many processes; of a single process, the one that needs no other.

    tensor_parallel: the processes that split a layer where the others shard it.
    """
    n, t = processes, tensor_parallel
    if n == 1:
        return [Layout("single")]
    shared = [
        Layout("ddp", data_parallel=n),
        Layout("fsdp", data_parallel=n),
        Layout("tensor_parallel", tensor_parallel=n),
        Layout("pipeline", stages=n, micro_batches=max(4, n)),
    ]
    both = [Layout("fsdp_tensor_parallel", data_parallel=n // t, tensor_parallel=t)] if n > t and n % t == 0 else []
    return [*shared[:3], *both, *shared[3:]]


def cases(processes: Sequence[int], strategies: Sequence[str], devices: int) -> list[Case]:
    """The cases of these strategies, or of all if none is named, on these numbers of processes, the first of them 1.

    devices: what a single process can split the layers over. Raises ConfigurationError.
    """
    for name in strategies:
        require(name in STRATEGIES, f"{name} is not a strategy: choose from {', '.join(STRATEGIES)}")
    every = [Case(layout) for n in processes for layout in layouts(n)]
    every[1:1] = [Case(Layout("layer_split", stages=devices))]  # a single process on all devices
    asked = ("single", *strategies)  # beside which the others are judged
    return [case for case in every if not strategies or case.layout.strategy in asked]


def settings(overrides: Sequence[str], case: Case | None = None, batch_size: int = 0) -> Config:
    """The settings of the job, or of a case of it. Raises ConfigurationError, and what Hydra raises."""
    chosen_here = [override for override in overrides if override.startswith("trainer=")]
    require(not chosen_here, f"{' '.join(chosen_here)} is chosen here: set --strategy, or trainer.accelerator=cpu")
    chosen = [*_MEASURED, *case.overrides(batch_size)] if case else []
    data = () if any(override.startswith("data=") for override in overrides) else _MADE
    return one_run([*data, *_SETTINGS, *overrides, *chosen])


def job_of(config: Config) -> Job:
    """The step that the settings describe. Raises ConfigurationError where it is not of an MLP."""
    model, trainer = config.model, config.trainer
    plain = trainer.precision == "32-true" and trainer.accumulate_grad_batches == 1
    require(plain, "the cost of a step is known for trainer.precision=32-true and no accumulation: leave them out")
    require(trainer.pipeline_schedule == "1f1b", "the cost of a pipeline is known for trainer.pipeline_schedule=1f1b")
    layers = model.dense_layers()
    if layers is None:
        raise ConfigurationError("the cost of a step is known for model=mlp: set that")
    spec: DataSpec = config.data.spec()
    units = [layer.units for layer in layers]
    widths = (model.inputs_of(spec), *units, model.outputs_for(spec))
    return Job(widths, config.data.batch_size, states_of(config.optim))


def states_of(optim: OptimConfig) -> int:
    """Numbers that the optimizer keeps for each weight."""
    weights = torch.nn.Parameter(torch.zeros(2, 2))
    weights.grad = torch.zeros(2, 2)
    optimizer = optim.build([weights])
    optimizer.step()
    return sum(value.shape == weights.shape for value in optimizer.state[weights].values())
