"""The arrays that all variants but dlproj's own and torchvision's read: written once, loaded by each worker.

NumPy only, so that the Keras variant can load them in a Python without torch; dlproj is imported to write them.
"""

from pathlib import Path

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]


def write(data: str, folder: Path) -> int:
    """Write the training and validation samples as dlproj splits and stores them; return the training samples.

    Images are uint8 rows of 784 pixels, reviews int32 rows of 200 ids padded at the front. Raises dlproj's UserError.
    """
    from dlproj.config.data import DataConfig, FMNISTConfig, IMDBConfig

    config: DataConfig = FMNISTConfig() if data == "fmnist" else IMDBConfig()
    module = config.build(seed=0)
    module.prepare_data()
    module.setup()
    for split, samples in (("train", module.train), ("val", module.val)):
        np.save(folder / f"{data}-{split}-inputs.npy", samples.inputs.flatten(1).numpy())
        np.save(folder / f"{data}-{split}-targets.npy", samples.targets.numpy())
    return len(module.train)


def load(data: str, split: str, folder: str) -> Arrays:
    """Inputs and int64 targets of the split "train" or "val"."""
    inputs, targets = (np.load(Path(folder) / f"{data}-{split}-{part}.npy") for part in ("inputs", "targets"))
    return inputs, targets.astype("int64")
