"""One of each kind of part, in a package and a folder of settings as a user has them outside of dlproj."""

import textwrap

SOURCES = {
    "settings.py": '''
        """What can be set. As dlproj's own: nothing heavy is imported before build()."""

        import math
        from dataclasses import dataclass

        from dlproj.config.images import ImageConfig, image_spec
        from dlproj.config.fields import setting
        from dlproj.config.model import ModelConfig
        from dlproj.config.optim import OptimConfig
        from dlproj.config.scheduler import SchedulerConfig


        @dataclass(slots=True)
        class StripesConfig(ImageConfig):
            """Bright rows or columns."""

            train_samples: int = setting(120, "of the training set", "[1, inf)")

            def spec(self):
                return image_spec((1, 4, 4), ("row", "column"))

            def build(self, seed):
                from own_parts.data import StripesDataModule

                return StripesDataModule(self, seed)


        @dataclass(slots=True)
        class ScaledConfig(ModelConfig):
            """A linear map of scaled pixels."""

            scale: float = setting(1.0, "of the pixels", "(0, inf)")

            def hidden_layers(self):
                return []

            def inputs_of(self, spec):
                return math.prod(spec.shape)

            def build(self, spec, optim, scheduler):
                from own_parts.model import ScaledClassifier

                return ScaledClassifier(self, spec, optim, scheduler)


        @dataclass(slots=True)
        class NAdamConfig(OptimConfig):
            """Adam with Nesterov's momentum."""

            def build(self, parameters):
                from torch.optim import NAdam

                return NAdam(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)


        @dataclass(slots=True)
        class HalvingConfig(SchedulerConfig):
            """Half the rate after each epoch."""

            def build(self, optimizer, epochs, steps):
                from torch.optim.lr_scheduler import ExponentialLR

                return {"scheduler": ExponentialLR(optimizer, 0.5)}
    ''',
    "data.py": """
        import torch

        from dlproj.data.batches import Samples
        from dlproj.data.image import ImageDataModule


        class StripesDataModule(ImageDataModule):
            def load(self):
                return stripes(self.config.train_samples), stripes(40)


        def stripes(count):
            random, targets = torch.Generator().manual_seed(count), torch.arange(count) % 2
            images = torch.randint(0, 50, (count, 1, 4, 4), generator=random, dtype=torch.uint8)
            for image, target in zip(images, targets.tolist()):
                (image if target == 0 else image.mT)[0, int(torch.randint(4, (1,), generator=random))] = 255
            return Samples(images, targets)
    """,
    "model.py": """
        from torch import nn

        from dlproj.models.classifier import Classifier
        from dlproj.models.penalties import Penalties


        class ScaledClassifier(Classifier):
            def __init__(self, config, spec, optim, scheduler):
                super().__init__(config, spec, optim, scheduler)
                self.scale = config.scale
                self.penalties = Penalties(self.add_output(config, spec, config.inputs_of(spec)))

            def forward(self, inputs):
                return self.output(self.scale * inputs.flatten(1))

            def sequential_layers(self):
                return [nn.Sequential(nn.Flatten(), self.output)]
    """,
    "parts.py": '''
        import json
        from pathlib import Path

        import torch
        from pytorch_lightning.callbacks import Callback
        from pytorch_lightning.loggers.logger import Logger
        from torchmetrics import Metric


        class Errors(Metric):
            """How many samples are taken for another class."""

            def __init__(self, num_classes):
                super().__init__()
                self.add_state("errors", torch.tensor(0), dist_reduce_fx="sum")

            def update(self, scores, targets):
                self.errors += (scores.argmax(1) != targets).sum()

            def compute(self):
                return self.errors


        class CountEpochs(Callback):
            """Writes how many epochs there were, those before a resumption among them."""

            def __init__(self, file):
                self.file, self.epochs = file, 0

            def state_dict(self):
                return {"epochs": self.epochs}

            def load_state_dict(self, state):
                self.epochs = state["epochs"]

            def on_train_epoch_end(self, trainer, model):
                self.epochs += 1
                Path(trainer.default_root_dir, self.file).write_text(str(self.epochs))


        class Lines(Logger):
            """What it is told, a line of JSON each."""

            name, version = "lines", ""

            def __init__(self, save_dir):
                super().__init__()
                self.file = Path(save_dir, "lines.jsonl")

            def write(self, *told):
                with self.file.open("a") as file:
                    file.write(json.dumps(told) + "\\n")

            def log_hyperparams(self, params):
                self.write("settings", params["model"]["scale"])

            def log_metrics(self, metrics, step=None):
                self.write("metrics", step, metrics)

            def finalize(self, status):
                self.write("end", status)


        class Unreachable(Lines):
            """A server that is away."""

            def write(self, *told):
                raise ConnectionError("no route to host")
    ''',
    "figures.py": """
        from matplotlib.figure import Figure


        def errors(run):
            figure = Figure()
            figure.subplots().plot(list(run.epochs), [row["val/errors"] for row in run.epochs.values()])
            return figure
    """,
}
FILES = {
    "data/stripes.yaml": """
        # Bright rows or columns
        defaults:
          - /schema/data@_here_: own_parts.settings.StripesConfig
          - _self_

        batch_size: 8
    """,
    "model/scaled.yaml": """
        # A linear map
        defaults:
          - /schema/model@_here_: own_parts.settings.ScaledConfig
          - _self_

        scale: 2
    """,
    "optim/nadam.yaml": """
        # Adam with Nesterov's momentum
        defaults:
          - /schema/optim@_here_: own_parts.settings.NAdamConfig
          - _self_

        learning_rate: 0.01
    """,
    "scheduler/halving.yaml": """
        # Half the rate after each epoch
        defaults:
          - /schema/scheduler@_here_: own_parts.settings.HalvingConfig
          - _self_
    """,
    "metrics/errors.yaml": """
        # Samples taken for another class
        errors:
          _target_: own_parts.parts.Errors
          direction: min
    """,
    "figures/extra/errors.yaml": """
        # Errors by epoch
        errors:
          _target_: own_parts.figures.errors
    """,
    "callbacks/extra/count_epochs.yaml": """
        # Counts epochs
        count_epochs:
          _target_: own_parts.parts.CountEpochs
          file: epochs.txt
    """,
    "logger/lines.yaml": """
        # Lines of JSON
        lines:
          _target_: own_parts.parts.Lines
    """,
    "logger/table.yaml": """
        # Lightning's table
        table:
          _target_: pytorch_lightning.loggers.CSVLogger
          name: table
    """,
    "logger/unreachable.yaml": """
        # A server that is away
        unreachable:
          _target_: own_parts.parts.Unreachable
    """,
}
CHOICES = (
    "data=stripes",
    "model=scaled",
    "optim=nadam",
    "scheduler=halving",
    "metrics=[errors,cohen_kappa]",
    "figures/extra=[errors,learning_rate]",
    "callbacks/extra=[count_epochs,rich_model_summary]",
    "logger=[tensorboard,table,lines,unreachable]",
    "callbacks.early_stopping.monitor=val/errors",
)


def write(folder):
    """Write the package own_parts and the settings conf/ into the folder."""
    for below, files in (("own_parts", SOURCES | {"__init__.py": ""}), ("conf", FILES)):
        for name, text in files.items():
            path = folder / below / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip())
