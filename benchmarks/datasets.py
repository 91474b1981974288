"""Arrays read by all variants except dlproj's and torchvision's: written once, loaded by each worker.

Loading needs only NumPy, for the Keras variant in a Python without torch; writing imports dlproj.
"""

from pathlib import Path

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]


def write(data: str, folder: Path) -> int:
    """Write the training and validation samples as split and stored by dlproj; return the number of training samples.

    Images are uint8 rows of 784 pixels, reviews int32 rows of 200 ids padded at the front. Raises dlproj's UserError.
    """
    from dlproj.config.data import DataConfig
    from dlproj.config.images import FMNISTConfig
    from dlproj.config.texts import IMDBConfig

    config: DataConfig = FMNISTConfig() if data == "fmnist" else IMDBConfig()
    module = config.build(seed=0)
    module.prepare_data()
    module.setup()
    for split, samples in (("train", module.train), ("val", module.val)):
        np.save(folder / f"{data}-{split}-inputs.npy", samples.inputs.flatten(1).numpy())
        np.save(folder / f"{data}-{split}-targets.npy", samples.targets.numpy())
    return len(module.train)


def load(data: str, split: str, folder: str) -> Arrays:
    """Load inputs and int64 targets of the split "train" or "val"."""
    inputs, targets = (np.load(Path(folder) / f"{data}-{split}-{part}.npy") for part in ("inputs", "targets"))
    return inputs, targets.astype("int64")
